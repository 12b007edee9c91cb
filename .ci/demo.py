"""The demo's walk: start the line, dial it, read the draft, and with ONCE=yes confirm and dispatch it.

Only the public doors are used: the command line, SIP and the HTTP API. ./dev calls this.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

BIN = pathlib.Path(os.environ["BIN"])
ONCE = os.environ.get("ONCE") == "yes"
FOLDER = pathlib.Path(os.environ.get("DEMO_FOLDER", "var/demo"))
LISTEN = os.environ.setdefault("HOTLINE__HTTP__LISTEN", "127.0.0.1:8080")
SIP = os.environ.setdefault("HOTLINE__SIP__UDP", "127.0.0.1:5060")
os.environ.setdefault("HOTLINE__DATABASE__URL", f"sqlite://{FOLDER}/hotline.db")
os.environ.setdefault("HOTLINE__STORAGE__URL", f"file://{FOLDER}/recordings")
os.environ.setdefault("HOTLINE__STORAGE__SPOOL", f"{FOLDER}/spool")
os.environ.setdefault("HOTLINE__VAULT__KEYS", f"{FOLDER}/keys")
CALL, CALLER = "tests/calls/s01.wav", "13806352219"
OPERATOR = "demo"


class Failed(Exception):
    """One sentence for the person at the terminal."""


def hotline(*arguments):
    done = subprocess.run([BIN / "hotline", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"hotline {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def api(path, token=None, body=None):
    request = urllib.request.Request(f"http://{LISTEN}{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    if body is not None:
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise Failed(f"{path}: {error.code} {error.read().decode(errors='replace')}") from error


def wait_for(what, look, seconds, server):
    """Looks again and again until there is an answer; says so while it waits."""
    end, said = time.monotonic() + seconds, time.monotonic()
    while time.monotonic() < end:
        if server.poll() is not None:
            raise Failed(f"the line ended by itself with exit code {server.returncode}; its log is {FOLDER}/hotline.log")
        try:
            found = look()
        except (Failed, OSError):
            found = None
        if found:
            return found
        if time.monotonic() - said > 10:
            said = time.monotonic()
            print(f"   … still waiting for {what}", flush=True)
        time.sleep(0.2)
    raise Failed(f"no {what} within {seconds} s; the log is {FOLDER}/hotline.log")


def operator_token():
    """A person with the roles the demo needs, and a fresh token."""
    try:
        return hotline("user", "token", OPERATOR).split()[-1]
    except Failed:
        hotline("user", "add", OPERATOR, "--role", "agent", "--role", "dispatcher")
    return hotline("user", "token", OPERATOR).split()[-1]


def show(case):
    print(f"\n   draft {case['number']}")
    for name, field in case["fields"].items():
        value = field["value"]
        if value is None:
            continue
        said = " / ".join(
            f"{span['start_ms'] / 1000:.1f}-{span['end_ms'] / 1000:.1f} s “{span['text']}”" for span in field["evidence"]
        )
        print(f"   {name:15} {value}   [{field['source']}, {field['confidence']:.2f}] {said}")


def walk(server, token):
    known = {case["id"] for case in api("/api/v1/cases?limit=200", token)["items"]}
    print(f"-- dialling sip:12345@{SIP} as {CALLER}, playing {CALL} (half a minute)", flush=True)
    phone = [BIN / "sip-test", "call", "--to", f"sip:12345@{SIP}", "--from", CALLER, "--play", CALL,
             "--channel", "left", "--record", FOLDER / "heard.wav"]
    if subprocess.run(phone).returncode != 0:
        raise Failed("the test call failed")

    def fresh():
        items = api("/api/v1/cases?state=draft&limit=200", token)["items"]
        return next((case for case in items if case["id"] not in known), None)

    print("-- hung up; the line hears the recording and writes the draft", flush=True)
    case = api(f"/api/v1/cases/{wait_for('draft', fresh, 300, server)['id']}", token)
    show(case)
    return case


def confirm_and_dispatch(case, token):
    actions = f"/api/v1/cases/{case['id']}/actions"
    case = api(f"{actions}/confirm", token, {"version": case["version"], "read_back": True})
    print(f"\n-- confirmed: {case['number']} is {case['state']}")
    case = api(f"{actions}/dispatch", token, {"version": case["version"]})
    if case["state"] != "dispatched":
        raise Failed(f"the case is {case['state']}, not dispatched")
    print(f"-- dispatched: {case['lead']} leads, {', '.join(case['co']) or 'nobody'} helps, due {case['clocks']['unit_due']}")


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    hotline("config", "check")
    hotline("db", "migrate")
    with open(FOLDER / "hotline.log", "ab") as log:
        server = subprocess.Popen([BIN / "hotline", "serve"], stdout=log, stderr=log)
        try:
            wait_for("answer on /readyz", lambda: api("/readyz"), 60, server)
            token = operator_token()
            case = walk(server, token)
            if ONCE:
                confirm_and_dispatch(case, token)
            else:
                print(f"\n-- API and its description: http://{LISTEN}/docs")
                print(f"-- log-in: Authorization: Bearer {token}")
                print(f"-- dial sip:12345@{SIP} with any SIP phone; Ctrl-C ends the demo", flush=True)
                server.wait()
        finally:
            if server.poll() is None:
                server.send_signal(signal.SIGTERM)
            code = server.wait(timeout=90)
    if code != 0:
        raise Failed(f"the line ended with exit code {code}; its log is {FOLDER}/hotline.log")
    print("-- the line has ended cleanly")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except Failed as failure:
        sys.exit(f"demo: {failure}")
