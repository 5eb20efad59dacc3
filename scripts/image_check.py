#!/usr/bin/env python3
"""Tries the image out as Fly.io would run it: limits, a root-owned volume, no network, replaced containers, signals.

Called by scripts/image-test.sh, which has started a Docker of its own (DOCKER_HOST). Runs as root, with the standard library
only. Exits 0, or says what failed and exits 1.
"""

import argparse
import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import sys
import time

from image_container import Container, docker, expect, until

DOMAIN = "lab.example.com"
KEY = secrets.token_hex(16)
# an app that leaves processes behind: their parent ends first, so they become children of the container's process 1
ORPHANS = """routerAdd("GET", "/api/orphan", (e) => {
  $os.cmd("sh", "-c", "for i in 1 2 3; do sleep 0.3 & done; exit 0").run();
  return e.json(200, {});
});
"""
# part, how its layer can be told in the image's history, why it is there
PARTS = [
    ("Debian, slim", None, "libc, a shell, `setpriv`; security fixes for all below come with it"),
    ("Debian packages", "apt-get install", "git, ssh (private repositories), Python (supervisor), OpenSSL, certificate authorities"),
    ("Go", "COPY /usr/local/go", "builds apps that are Go programs; without its tests and documents"),
    ("Node.js", "COPY /usr/local/bin/node", "builds frontends"),
    ("npm, corepack", "COPY /usr/local/lib/node_modules", "fetch what frontends need; corepack brings pnpm and yarn"),
    ("Caddy", "COPY /caddy", "the public listener"),
    ("supervisor", "COPY /supervisor/supervisor", "runs the apps"),
    ("lab-server, lab", "COPY /out/lab", "Lab itself"),
]


def repositories(folder):
    """Bare repositories as anybody would push them, owned by the user that reads them in the container."""
    git = ["git", "-c", "user.name=Check", "-c", "user.email=check@example.com", "-c", "init.defaultBranch=main"]
    orphans = folder / "orphans"
    (orphans / "pb_hooks").mkdir(parents=True)
    (orphans / "pb_hooks" / "main.pb.js").write_text(ORPHANS)
    shutil.copytree("examples/apps/guestbook", folder / "guestbook")
    for name in ("guestbook", "orphans"):
        work = folder / name
        for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "As it is"]):
            subprocess.run([*git, "-C", work, *words], check=True, timeout=30)
        subprocess.run([*git, "clone", "--quiet", "--bare", work, folder / f"{name}.git"], check=True, timeout=30)
        shutil.rmtree(work)
    subprocess.run(["chown", "-R", "10001:10001", folder], check=True, timeout=30)
    return folder


def api(container, method, path, body=None, key=KEY):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return container.request(method, path, DOMAIN, body, headers)


def deploy(container, name):
    status, text = api(container, "POST", "/api/deploy", {"repository": f"/srv/repositories/{name}.git", "subdomain": name})
    expect(f"{name} is accepted for deployment", status == 202, f"{status} {text}")
    app = {}

    def is_settled():
        app.update(json.loads(api(container, "GET", f"/api/apps/{name}")[1]))
        return app["status"] in ("running", "failed")

    until(f"{name} is deployed", is_settled, 120)
    detail = api(container, "GET", f"/api/apps/{name}/deployments")[1]
    expect(f"{name} runs", app["status"] == "running", detail)


def app_request(container, method, path, body=None, app="guestbook"):
    return container.request(method, path, f"{app}.{DOMAIN}", body)


def write_record(container, body):
    record = {"author": "The check", "body": body}
    status, text = app_request(container, "POST", "/api/collections/messages/records", record)
    expect("a record is written", status == 200, f"{status} {text}")
    return json.loads(text)["id"]


def sees(container, record, body):
    def answer():
        status, text = app_request(container, "GET", f"/api/collections/messages/records/{record}")
        return status == 200 and json.loads(text)["body"] == body

    until("the app answers with its data", answer, 60)


def check_confinement(container):
    """What process 1 runs as, and with which limits."""
    status = container.read("/proc/1/status")
    field = {line.split(":")[0]: line.split(":")[1].split() for line in status.splitlines()}
    expect("process 1 is lab-server", field["Name"] == ["lab-server"], field["Name"])
    expect("it is not root", field["Uid"] == ["10001"] * 4 and field["Gid"] == ["10001"] * 4, field["Uid"])
    expect("it has no capability and can get none", [field[n] for n in ("CapEff", "CapBnd", "NoNewPrivs")]
           == [["0" * 16], ["0" * 16], ["1"]], status)
    limits = re.search(r"Max open files +(\d+) +(\d+)", container.read("/proc/1/limits"))
    expect("nofile is 10240", limits.groups() == ("10240", "10240"), limits.groups())
    listed = container.run_as_lab("ls", "-ldn", "/app/data", "/app/data/lost+found").splitlines()
    expect("the volume's top belongs to lab, lost+found still to root", [line.split()[2] for line in listed] == ["10001", "0"], listed)


def check_tools(container):
    wanted = {
        "lab-server --version": "lab-server ", "lab --version": "lab ", "caddy version": "v2.11.7", "supervisord --version": "4.3.0",
        "git --version": "git version", "node --version": "v24.", "npm --version": "11.", "corepack --version": "0.",
        "go version": "go1.26.", "ssh -V": "OpenSSH",
    }
    for command, version in wanted.items():
        said = container.run_as_lab("sh", "-c", f"exec 2>&1; exec {command}")
        expect(f"{command} works for the user lab", version in said, said)
    # a build of Go needs folders to write in, and finds them below the data directory
    said = container.run_as_lab(
        "sh", "-c", "mkdir -p /app/data/cache/try && cd /app/data/cache/try && printf 'package main\\nfunc main() {\\n println(7)\\n}\\n' >a.go"
        " && GOCACHE=$PWD/c TMPDIR=$PWD CGO_ENABLED=0 go build -o b a.go && ./b 2>&1; rm -rf /app/data/cache/try", limit=180)
    expect("a Go program is built on the volume", said.strip() == "7", said)


def check_doors(container):
    status, text = api(container, "GET", "/health", key=None)
    expect("GET /health on the lab's own host needs no key", status == 200, f"{status} {text}")
    status, text = api(container, "GET", "/api/apps", key=None)
    expect("the API there needs one", status == 401, f"{status} {text}")
    status, text = app_request(container, "GET", "/", app="nobody")
    expect("an unknown host gets a 404", status == 404, f"{status} {text}")
    public = sorted(port for address, port in container.listeners() if not address.startswith("127."))
    expect("only 8080 is open to the outside", set(public) == {8080}, container.listeners())


def check_orphans(container):
    for _ in range(5):
        status, text = app_request(container, "GET", "/api/orphan", app="orphans")
        expect("an app leaves processes behind", status == 200, f"{status} {text}")
    until("none of them is left, and no zombie", lambda: not [p for p in container.processes() if p[1] == "Z" or p[2] == "sleep"], 20)


def kept(volume):
    """What only the container that has the volume may change: Caddy's socket, supervisord's files."""
    paths = [volume / "caddy/admin.sock", volume / "supervisor/supervisord.conf", *sorted(volume.glob("supervisor/programs/*"))]
    return [(str(path), path.stat().st_ino, path.stat().st_ctime_ns) for path in paths]


def check_second(container, volume, options):
    """A second container on the same data is a mistake that must not go well, nor change anything."""
    before = kept(volume)
    second = Container("lab-second", container.image, container.mounts, container.env, options)
    second.start()
    try:
        until("a second container on the same volume ends", lambda: not second.state()["Running"], 20)
        said = second.logs()
        expect("it fails", second.state()["ExitCode"] == 1, second.state())
        expect("it says that the data is in use", "`/app/data` is in use" in said, said)
        expect("it started nothing", "started" not in said, said)
    finally:
        second.remove()
    expect("it changed nothing", kept(volume) == before, (before, kept(volume)))
    expect("the first one serves on", api(container, "GET", "/health")[0] == 200)


def check_end(container, signal, volume):
    began = time.monotonic()
    docker("kill", "--signal", signal, container.name)
    code = container.wait(60)
    took = time.monotonic() - began
    expect(f"{signal} ends it with 0 in under 30 s ({took:.1f} s)", code == 0 and took < 30, f"{code} after {took:.1f} s: {container.logs()}")
    state = container.state()
    expect("nothing was killed for memory", not state["OOMKilled"], state)
    left = sorted(str(p.relative_to(volume)) for p in volume.glob("apps/*/pb_data/*-wal"))
    expect("the apps closed their databases", not left, left)
    sockets = [str(p) for p in volume.rglob("*.sock") if p.is_socket()]
    print(f"        sockets left: {len(sockets)}")


def sizes(image, update):
    history = docker("history", "--no-trunc", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", image).splitlines()
    layers = [(int(line.split(" ", 1)[0]), line.split(" ", 1)[1]) for line in history]
    rows, total = [], sum(size for size, _ in layers)
    for part, mark, why in PARTS:
        size = sum(s for s, by in layers if mark and mark in by) or (layers[-1][0] if mark is None else 0)
        expect(f"the image's history has {part}", size > 0, history)
        rows.append((part, f"{size / 1e6:.0f}" if size >= 1e6 else f"{size / 1e6:.1f}", why))
    rows.append(("**all**", f"**{total / 1e6:.0f}**", "unpacked"))
    table = "| Part | MB | Why |\n|---|---:|---|\n" + "".join(f"| {a} | {b} | {c} |\n" for a, b, c in rows)
    print(table)
    if update:
        page = pathlib.Path(update)
        begin, end = "<!-- sizes -->\n", "<!-- /sizes -->"
        text = page.read_text()
        page.write_text(text[: text.index(begin) + len(begin)] + table + text[text.index(end):])


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--image", required=True)
    arguments.add_argument("--work", type=pathlib.Path, required=True)
    arguments.add_argument("--pocketbase", type=pathlib.Path, required=True)
    arguments.add_argument("--update")
    options = arguments.parse_args()
    sizes(options.image, options.update)

    volume = options.work / "volume"
    volume.mkdir(parents=True)
    # as a fresh ext4 volume is
    (volume / "lost+found").mkdir(mode=0o700)
    mounts = {
        "/app/data": (volume, "rw"),
        "/srv/repositories": (repositories(options.work / "repositories"), "ro"),
        "/opt/pocketbase": (options.pocketbase, "ro"),
    }
    env = {
        "DOMAIN_NAME": DOMAIN, "LAB_API_KEY": KEY, "LAB_ALLOW_LOCAL_REPOSITORIES": "true",
        "LAB_POCKETBASE_SOURCE": "path:/opt/pocketbase",
    }

    read_only = ("--read-only", "--tmpfs", "/tmp", "--tmpfs", "/run")
    first = Container("lab-first", options.image, mounts, env, read_only)
    first.start()
    first.until_healthy()
    check_confinement(first)
    check_doors(first)
    check_tools(first)
    deploy(first, "guestbook")
    record = write_record(first, "hello")
    sees(first, record, "hello")
    deploy(first, "orphans")
    check_orphans(first)
    check_second(first, volume, read_only)
    first.until_healthy()
    print(f"        memory at its highest: {first.peak_memory() // 2**20} MiB")
    # as when a machine is lost: no signal, no time
    first.remove()

    # without a read-only root, so that `docker diff` shows what was written beside the volume
    second = Container("lab-second", options.image, mounts, env, ("--tmpfs", "/tmp", "--tmpfs", "/run"))
    second.start()
    second.until_healthy()
    sees(second, record, "hello")
    later = write_record(second, "hello again")
    check_end(second, "TERM", volume)
    written = [line for line in docker("diff", second.name).splitlines() if not re.match(r"[AC] /(app|app/data|srv.*|opt.*|run|tmp)$", line)]
    expect("nothing was written outside /app/data, /tmp and /run", not written, written)
    second.remove()

    third = Container("lab-third", options.image, mounts, env, read_only)
    third.start()
    third.until_healthy()
    sees(third, record, "hello")
    sees(third, later, "hello again")
    check_orphans(third)
    check_end(third, "INT", volume)
    third.remove()
    print("the image works")


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    main()
