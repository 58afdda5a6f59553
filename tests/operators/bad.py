#!/usr/bin/env python3
"""Operators that break the contract, each in its own way: linked as reeve-op-NAME it behaves as NAME."""

import json
import os
import signal
import sys
import time

NAME = os.path.basename(sys.argv[0]).removeprefix("reeve-op-")


def write(data):
    os.write(3, data)


def say(**message):
    write(json.dumps(message).encode() + b"\n")


def task():
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(3, 65536)
    return json.loads(line)


def garbage():
    write(b"all went well\n")


def unended():
    write(b'{"type": "progress"')


def unknown():
    say(type="result", status="success")


def mistyped():
    say(type="output", outputs=["rows", 3])


def backwards():
    for number in (2, 1):
        say(type="note", id=number, note={})
        os.read(3, 4096)


def flood():
    while True:
        say(type="progress", done=1)


def oversized():
    say(type="progress", text="x" * 200000)


def lingers():
    say(type="error", error="it failed")
    time.sleep(600)


def denies():
    say(type="error", error="it failed")


def dies():
    os.kill(os.getpid(), signal.SIGSEGV)


def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def leaks():
    print(json.dumps(TASK["connections"]), flush=True)


def mute():
    pass


def foreign():
    pass


def describe():
    if NAME == "mute":
        return
    print(json.dumps({"reeve": 2 if NAME == "foreign" else 1, "version": "0"}))


if sys.argv[1:] == ["--describe"]:
    describe()
else:
    TASK = task()
    globals()[NAME]()
