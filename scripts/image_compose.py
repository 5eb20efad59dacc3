#!/usr/bin/env python3
"""Brings the lab up by docker-compose.yml as it is, deploys into it, takes it down and up again, and sees the data again.

Called by scripts/image-test.sh after image_check.py, with the same Docker. The ports 8080 and 9000 must be free: they are what
the file publishes. Exits 0, or says what failed and exits 1.
"""

import argparse
import http.client
import json
import os
import pathlib
import subprocess
import sys

from image_check import DOMAIN, KEY, deploy, repositories, sees, write_record
from image_container import Container, docker, expect

COMPOSE = "/usr/bin/docker-compose"


class Composed(Container):
    """The container of the file's one service. Requests come by the published ports."""

    def __init__(self, override):
        super().__init__("", "", {}, {}, ())
        self.words = ["--project-name", "lab-compose", "--project-directory", ".", "--file", "docker-compose.yml", "--file", override]

    def compose(self, *words):
        environment = {**os.environ, "DOMAIN_NAME": DOMAIN, "LAB_API_KEY": KEY}
        done = subprocess.run([COMPOSE, *self.words, *words], env=environment, capture_output=True, text=True, timeout=180)
        expect(f"docker-compose {' '.join(words)}", done.returncode == 0, f"{done.stdout}{done.stderr}")
        return done.stdout

    def start(self):
        self.compose("up", "--detach", "--no-build")
        self.name = self.compose("ps", "--quiet").strip()
        self.pid = self.state()["Pid"]

    def connect(self, port):
        return http.client.HTTPConnection("127.0.0.1", port, timeout=30)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--image", required=True)
    arguments.add_argument("--work", type=pathlib.Path, required=True)
    arguments.add_argument("--pocketbase", type=pathlib.Path, required=True)
    options = arguments.parse_args()

    # what a network would bring, and the image that was built just now
    options.work.mkdir(parents=True)
    service = {
        "image": options.image,
        "environment": {"LAB_ALLOW_LOCAL_REPOSITORIES": "true", "LAB_POCKETBASE_SOURCE": "path:/opt/pocketbase"},
        "volumes": [f"{repositories(options.work / 'repositories')}:/srv/repositories:ro", f"{options.pocketbase}:/opt/pocketbase:ro"],
    }
    override = options.work / "override.json"
    override.write_text(json.dumps({"services": {"lab": service}}))
    lab = Composed(override)
    try:
        lab.start()
        lab.until_healthy()
        expect("the API's port is published", lab.request("GET", "/health", f"{DOMAIN}:9000", port=9000)[0] == 200)
        expect("it wants the key", lab.request("GET", "/api/apps", f"{DOMAIN}:9000", port=9000)[0] == 401)
        deploy(lab, "guestbook")
        record = write_record(lab, "hello")
        listed = lab.compose("exec", "-T", "lab", "lab", "ls")
        expect("`lab ls` in the container lists the app", "guestbook" in listed, listed)
        lab.compose("down")
        expect("nothing is left of the container", not docker("ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project=lab-compose").strip())
        lab.start()
        lab.until_healthy()
        sees(lab, record, "hello")
    finally:
        lab.compose("down", "--volumes")
    print("the compose file works")


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    main()
