"""The demo's walk: start the line, an operator sits down, a citizen dials, both speak; read the draft, and with ONCE=yes
confirm and dispatch it.

Only the public doors are used: the command line, SIP and the HTTP API. ./dev calls this.
"""

import array
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
import wave

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
OPERATOR, SEAT = "demo-operator", "8001"
WELCOME = "config/prompts/welcome.wav"


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


def operator():
    """A person with the roles the demo needs: a fresh token, and a fresh secret for the telephone of their seat."""
    try:
        secret = hotline("user", "sip-secret", OPERATOR)
    except Failed:
        secret = hotline("user", "add", OPERATOR, "--role", "agent", "--role", "dispatcher", "--extension", SEAT)
    return hotline("user", "token", OPERATOR).split()[-1], secret.split()[-1]


def samples(path, side):
    """One side of a WAV file of 16 bits: 0 left, 1 right."""
    with wave.open(str(path)) as file:
        sound = array.array("h", file.readframes(file.getnframes()))
        return sound[side :: file.getnchannels()]


def loudness(sound):
    """The mean of each 20 ms."""
    return [sum(map(abs, sound[at : at + 160])) / 160 for at in range(0, len(sound) - 159, 160)]


def likeness(heard, said):
    """How much what was heard goes up and down as what was said: the best correlation of both at any delay; 1: the same."""
    heard, said = loudness(heard), loudness(said)
    heard += [0.0] * len(said)
    best = 0.0
    for delay in range(len(heard) - len(said)):
        part = heard[delay : delay + len(said)]
        if any(part):
            best = max(best, statistics.correlation(part, said))
    return best


def show(case):
    print(f"\n   draft {case['number']}")
    for name, field in case["fields"].items():
        value = field["value"]
        if value is None:
            continue
        said = " / ".join(
            f"{span['channel']} {span['start_ms'] / 1000:.1f}-{span['end_ms'] / 1000:.1f} s “{span['text']}”"
            for span in field["evidence"]
        )
        print(f"   {name:15} {value}   [{field['source']}, {field['confidence']:.2f}] {said}")


def walk(server, token, secret):
    known = {case["id"] for case in api("/api/v1/cases?limit=200", token)["items"]}
    print(f"-- an operator sits down at seat {SEAT}, and will say the right side of {CALL}", flush=True)
    heard = {side: FOLDER / f"heard-by-{side}.wav" for side in ("caller", "operator")}
    seat = subprocess.Popen([BIN / "sip-test", "seat", "--as", f"sip:{SEAT}@{SIP}", "--secret", secret, "--play", CALL,
                             "--channel", "right", "--record", heard["operator"]], stdout=subprocess.PIPE, text=True)
    try:
        if seat.stdout.readline().strip() != "registered":
            raise Failed("the operator's telephone could not register")
        print(f"-- dialling sip:12345@{SIP} as {CALLER}, saying the left side (half a minute)", flush=True)
        with wave.open(WELCOME) as welcome:
            lead_in = 1000 * welcome.getnframes() // welcome.getframerate()
        phone = [BIN / "sip-test", "call", "--to", f"sip:12345@{SIP}", "--from", CALLER, "--play", CALL,
                 "--channel", "left", "--lead-in", str(lead_in), "--record", heard["caller"]]
        if subprocess.run(phone).returncode != 0:
            raise Failed("the test call failed")
        if seat.wait(timeout=30) != 0:
            raise Failed("the operator's telephone had no call")
        print(f"   {seat.stdout.read().strip()}")
    finally:
        if seat.poll() is None:
            seat.kill()
    for hearer, side in (("operator", 0), ("caller", 1)):
        alike = likeness(samples(heard[hearer], 0), samples(CALL, side))
        print(f"-- what the {hearer} heard is {alike:.2f} like what the other said")
        if alike < 0.8:
            raise Failed(f"the {hearer} did not hear the other side")

    def fresh():
        items = api("/api/v1/cases?state=draft&limit=200", token)["items"]
        return next((case for case in items if case["id"] not in known), None)

    print("-- hung up; the line hears the recording and writes the draft", flush=True)
    case = api(f"/api/v1/cases/{wait_for('draft', fresh, 300, server)['id']}", token)
    said = api(f"/api/v1/calls/{case['call_id']}/transcript", token)["utterances"]
    print()
    for it in said:
        print(f"   {it['start_ms'] / 1000:5.1f} s  {it['channel']:8}  {it['text']}")
    if {it["channel"] for it in said} != {"caller", "operator"}:
        raise Failed("only one of the two was heard")
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
            token, secret = operator()
            case = walk(server, token, secret)
            if ONCE:
                confirm_and_dispatch(case, token)
            else:
                print(f"\n-- API and its description: http://{LISTEN}/docs")
                print(f"-- log-in: Authorization: Bearer {token}")
                print(f"-- a telephone for the operator: user {SEAT}, secret {secret}, registrar {SIP}")
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
