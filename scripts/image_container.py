"""A container of the image under test: Docker's command line, and HTTP from within its network namespace."""

import ctypes
import http.client
import json
import os
import socket
import subprocess
import sys
import time

DOCKER = "/usr/bin/docker"
# as a small machine of Fly.io has them
LIMITS = ("--memory", "2g", "--memory-swap", "2g", "--cpus", "2", "--ulimit", "nofile=10240:10240", "--pids-limit", "2000")
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def expect(what, condition, detail=""):
    print(("ok      " if condition else "FAILED  ") + what)
    if not condition:
        sys.exit(f"{what}: {detail}")


def until(what, condition, seconds):
    """Waits for `condition`, which may fail by an OSError while things start."""
    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            if condition():
                return expect(what, True)
        except (OSError, http.client.HTTPException, ValueError) as error:
            last = error
        time.sleep(0.1)
    return expect(what, False, f"not within {seconds} s; {last}")


def docker(*words, limit=60):
    done = subprocess.run([DOCKER, *words], capture_output=True, text=True, timeout=limit)
    if done.returncode:
        sys.exit(f"docker {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


class Container:
    def __init__(self, name, image, mounts, env, options):
        self.name, self.image, self.mounts, self.env, self.options = name, image, mounts, env, options
        self.pid = None

    def start(self):
        words = ["run", "--detach", "--name", self.name, "--network", "none", *LIMITS, *self.options]
        for target, (source, mode) in self.mounts.items():
            words += ["--volume", f"{source}:{target}:{mode}"]
        for name, value in self.env.items():
            words += ["--env", f"{name}={value}"]
        docker(*words, self.image)
        self.pid = self.state()["Pid"]

    def state(self):
        return json.loads(docker("inspect", "--format", "{{json .State}}", self.name))

    def logs(self):
        return subprocess.run([DOCKER, "logs", "--tail", "60", self.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=60).stdout

    def until_healthy(self):
        end = time.monotonic() + 90
        while (state := self.state())["Health"]["Status"] != "healthy":
            if not state["Running"] or time.monotonic() > end:
                probes = [probe["Output"] for probe in state["Health"]["Log"]]
                expect(f"{self.name} is healthy", False, f"{state['Status']} {probes}\n{self.logs()}")
            time.sleep(0.5)
        expect(f"{self.name} is healthy", True)

    def run_as_lab(self, *words, limit=60):
        return docker("exec", "--user", "lab", self.name, *words, limit=limit)

    def read(self, path):
        return docker("exec", self.name, "cat", path)

    def remove(self):
        docker("rm", "--force", self.name)

    def wait(self, seconds):
        return int(docker("wait", self.name, limit=seconds))

    def processes(self):
        """Process id, state and name of each, as the machine outside sees them."""
        lines = docker("top", self.name, "-eo", "pid,stat,comm").splitlines()[1:]
        return [(line.split()[0], line.split()[1][0], line.split()[2]) for line in lines]

    def peak_memory(self):
        """The most its processes had, page cache included, in bytes."""
        for line in open("/proc/self/cgroup" if self.pid is None else f"/proc/{self.pid}/cgroup"):
            _, controllers, path = line.strip().split(":", 2)
            if controllers == "memory":
                return int(open(f"/sys/fs/cgroup/memory{path}/memory.max_usage_in_bytes").read())
            if controllers == "" and os.path.exists(f"/sys/fs/cgroup{path}/memory.peak"):
                return int(open(f"/sys/fs/cgroup{path}/memory.peak").read())
        return 0

    def listeners(self):
        """Address and port of each listening TCP socket."""
        found = set()
        for name in ("tcp", "tcp6"):
            for line in open(f"/proc/{self.pid}/net/{name}").readlines()[1:]:
                local, state = line.split()[1], line.split()[3]
                if state == "0A":
                    address, port = local.split(":")
                    text = socket.inet_ntoa(bytes.fromhex(address)[::-1]) if name == "tcp" else address
                    found.add((text, int(port, 16)))
        return found

    def connect(self, port):
        """To the container, which has no network but its own loopback: the socket is made in there."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with open("/proc/self/ns/net") as ours, open(f"/proc/{self.pid}/ns/net") as theirs:
            enter(theirs)
            try:
                connection.connect()
            finally:
                enter(ours)
        return connection

    def request(self, method, path, host, body=None, headers=None, port=8080):
        """One HTTP request to the container."""
        connection = self.connect(port)
        all_headers = {"Host": host, **(headers or {})}
        if body is not None:
            body, all_headers["Content-Type"] = json.dumps(body), "application/json"
        connection.request(method, path, body, all_headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text


def enter(namespace):
    if libc.setns(namespace.fileno(), CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
