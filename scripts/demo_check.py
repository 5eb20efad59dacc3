#!/usr/bin/env python3
"""Checks the demo's guestbook through the gateway: page, health, custom route, collection, realtime, data over a redeploy.

Uses the standard library only. Exits 0, or says what failed and exits 1.
"""

import argparse
import http.client
import json
import subprocess
import sys
import threading
import time

HOST = "guestbook.lab.localhost"
LIMIT = 20


def request(port, method, path, body=None, host=HOST, headers=None):
    # by address: not every resolver knows *.localhost
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    all_headers = {"Host": f"{host}:{port}", **(headers or {})}
    payload = None
    if body is not None:
        payload = json.dumps(body)
        all_headers["Content-Type"] = "application/json"
    connection.request(method, path, payload, all_headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def expect(what, condition, detail=""):
    print(("ok      " if condition else "FAILED  ") + what)
    if not condition:
        sys.exit(f"{what}: {detail}")


class Realtime:
    """A subscription to the guestbook's messages over PocketBase's realtime API (server-sent events)."""

    def __init__(self, port):
        self.port = port
        self.events = []
        self.ready = threading.Event()
        self.changed = threading.Condition()
        self.failure = None
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        threading.Thread(target=self.read, daemon=True).start()
        if not self.ready.wait(LIMIT) or self.failure:
            sys.exit(f"the realtime connection was not made: {self.failure}")

    def read(self):
        try:
            self.connection.request("GET", "/api/realtime", headers={"Host": f"{HOST}:{self.port}"})
            response = self.connection.getresponse()
            event = {}
            for raw in response:
                line = raw.decode().rstrip("\n")
                if line:
                    name, _, value = line.partition(":")
                    event[name] = value
                    continue
                if event.get("event") == "PB_CONNECT":
                    client = json.loads(event["data"])["clientId"]
                    status, text = request(
                        self.port, "POST", "/api/realtime", {"clientId": client, "subscriptions": ["messages/*"]}
                    )
                    if status != 204:
                        self.failure = f"subscribing answered {status}: {text}"
                    self.ready.set()
                elif event:
                    with self.changed:
                        self.events.append(json.loads(event["data"]))
                        self.changed.notify_all()
                event = {}
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.failure = self.failure or str(error)
            self.ready.set()

    def wait_for(self, is_wanted):
        with self.changed:
            return self.changed.wait_for(lambda: any(is_wanted(e) for e in self.events), LIMIT)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--lab", required=True)
    arguments.add_argument("--socket", required=True)
    options = arguments.parse_args()
    port = options.port

    def lab(*words):
        done = subprocess.run([options.lab, "--socket", options.socket, *words], capture_output=True, text=True, timeout=120)
        expect(f"lab {' '.join(words)}", done.returncode == 0, done.stderr + done.stdout)
        return done.stdout

    status, text = request(port, "GET", "/")
    expect("the page answers", status == 200 and "<html" in text.lower(), f"{status} {text[:200]}")
    status, text = request(port, "GET", "/api/health")
    expect("/api/health answers", status == 200, f"{status} {text}")
    status, text = request(port, "GET", "/api/guestbook/stats")
    expect("the custom route answers", status == 200 and "messages" in json.loads(text), f"{status} {text}")
    before = json.loads(text)["messages"]
    status, text = request(port, "GET", "/api/collections/messages/records")
    expect("the collection answers", status == 200 and "items" in json.loads(text), f"{status} {text}")

    realtime = Realtime(port)
    message = f"hello at {time.time()}"
    status, text = request(
        port, "POST", "/api/collections/messages/records", {"author": "The demo", "body": message}
    )
    expect("a record can be written", status == 200, f"{status} {text}")
    record = json.loads(text)["id"]
    arrived = realtime.wait_for(lambda e: e.get("action") == "create" and e["record"]["id"] == record)
    expect("realtime tells of it through the gateway", arrived, f"{realtime.events} {realtime.failure}")

    lab("deploy", "--name", "guestbook")
    status, text = request(port, "GET", f"/api/collections/messages/records/{record}")
    expect("the record is there after a redeploy", status == 200 and json.loads(text)["body"] == message, f"{status} {text}")
    status, text = request(port, "GET", "/api/guestbook/stats")
    expect("the custom route counts it", json.loads(text)["messages"] == before + 1, text)

    status, text = request(port, "GET", "/", host="nobody.lab.localhost")
    expect("an unknown host gets a clear 404", status == 404, f"{status}")
    logs = lab("logs", "guestbook")
    expect("no install link is in the logs", "pbinstall" not in logs, logs)
    listed = json.loads(lab("ls", "--json"))
    expect("lab ls --json tells that it runs", listed["ok"] and listed["data"][0]["status"] == "running", listed)
    shown = lab("superuser", "guestbook", "demo@example.com", "--json")
    password = json.loads(shown)["data"]["password"]
    status, text = request(
        port, "POST", "/api/collections/_superusers/auth-with-password",
        {"identity": "demo@example.com", "password": password},
    )
    expect("the superuser that lab made can sign in", status == 200, f"{status}")
    print("everything answers")


if __name__ == "__main__":
    main()
