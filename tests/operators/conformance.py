#!/usr/bin/env python3
"""Holds an operator program against its contract, docs/operators.md: conformance.py PROGRAM [--with JSON] …

It plays the worker: describes, a task that is to succeed, one whose answers come twice and among lines of later
versions, one that is stopped, and, with --bad, one that is to fail. A line a check; exit 1 when one failed.
"""

import argparse
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

LINE_MAX, TASK_MAX, NOTE_MAX, NOTES_MAX, DESCRIPTION_MAX = 131072, 262144, 4096, 16, 4096
GRACE_S = 3.0
AT_ONCE, A_SECOND = 1000, 100
NUMBER = (int,)
KEYS = {
    "note": {"id": NUMBER, "note": (dict,)},
    "output": {"outputs": (dict,)},
    "progress": {"text": (str,), "done": NUMBER, "total": NUMBER},
    "error": {"error": (str,), "retry": (bool,)},
}
NEEDED = {"note": ("id", "note"), "output": ("outputs",), "progress": (), "error": ("error",)}


class Breach(Exception):
    """The operator does not keep to the contract; the text says how."""


def unique(pairs):
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


class Said:
    """What an operator said so far, line by line."""

    def __init__(self):
        self.notes, self.outputs, self.error, self.lines = [], {}, None, 0
        self.left, self.at = float(AT_ONCE), time.monotonic()

    def take(self, line):
        """A line without its end: its message. Breach when it is none."""
        self.lines += 1
        now = time.monotonic()
        self.left = min(AT_ONCE, self.left + (now - self.at) * A_SECOND) - 1 - len(line) / 4096
        self.at = now
        if self.left < 0:
            raise Breach("it floods descriptor 3")
        try:
            message = json.loads(line.decode("utf-8"), object_pairs_hook=unique)
        except ValueError as error:
            raise Breach(f"line {self.lines} is no JSON: {error}: {line[:80]!r}") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Breach(f"line {self.lines} is no object with a type: {line[:80]!r}")
        self.check(message)
        return message

    def check(self, message):
        kind = message["type"]
        if kind not in KEYS:
            raise Breach(f"{kind!r} is no type that an operator can say")
        for key in NEEDED[kind]:
            if key not in message:
                raise Breach(f"{kind} lacks {key!r}")
        for key, types in KEYS[kind].items():
            if key in message and (not isinstance(message[key], types) or (
                    types is NUMBER and (isinstance(message[key], bool) or message[key] < 0))):
                raise Breach(f"{kind}: {key!r} has the wrong type: {message[key]!r}")
        if kind == "note":
            if message["id"] <= (self.notes[-1] if self.notes else 0):
                raise Breach("the ids of notes do not grow")
            if len(json.dumps(message["note"], separators=(",", ":")).encode()) > NOTE_MAX:
                raise Breach(f"a note has at most {NOTE_MAX} bytes")
            self.notes.append(message["id"])
            if len(self.notes) > NOTES_MAX:
                raise Breach(f"an attempt leaves at most {NOTES_MAX} notes")
        elif kind == "output":
            self.outputs.update(message["outputs"])
            if len(json.dumps(self.outputs).encode()) > 64 * 1024:
                raise Breach("outputs have at most 64 KiB")
        elif kind == "error":
            self.error = message


def task_of(options, password, notes=()):
    tag = "reeve:00000000c0ffee00:0:0:"
    return {
        "type": "task", "reeve": 1, "operator": options.name, "run": "conformance/1", "run_key": "00000000c0ffee00",
        "dag": "conformance", "task": "it", "task_index": 0, "map_index": 0, "attempt": len(notes) + 1,
        "tag": f"{tag}{len(notes) + 1}", "tag_prefix": tag, "epoch": 1, "worker": "w1", "with": options.given,
        "context": {"ds": "2026-11-21", "run_id": "conformance/1", "params": {}}, "notes": list(notes),
        "connections": options.connections or {"secret": {"id": "secret", "type": "generic", "password": password}},
        "timeout_ms": 0, "kill_grace_ms": int(GRACE_S * 1000), "a_key_of_a_later_version": {"x": [1]}}


class Attempt:
    """One start of the operator."""

    def __init__(self, options, answers="once", notes=()):
        self.options, self.answers, self.said, self.held = options, answers, Said(), b""
        self.password = secrets.token_hex(16)
        line = json.dumps(task_of(options, self.password, notes)).encode() + b"\n"
        assert len(line) <= TASK_MAX
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * TASK_MAX)
        self.socket.sendall(line)
        self.log = open(os.path.join(options.folder, "log"), "w+b")
        env = {**os.environ, "REEVE_RUN_ID": "conformance/1", "REEVE_TASK": "it", "REEVE_DAG": "conformance",
               "REEVE_OUTPUT": os.path.join(options.folder, "out")}
        fd = theirs.fileno()
        self.process = subprocess.Popen(
            [options.program], stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, cwd=options.folder,
            env=env, start_new_session=True, close_fds=False, preexec_fn=lambda: (os.dup2(fd, 3), os.closerange(4, 256)))
        theirs.close()
        self.check_exposed()

    def check_exposed(self):
        """No secret where others can read it."""
        for name in ("cmdline", "environ"):
            try:
                with open(f"/proc/{self.process.pid}/{name}", "rb") as file:
                    if self.password.encode() in file.read():
                        raise Breach(f"a connection's password stands in its {name}")
            except OSError:
                pass

    def answer(self, message):
        reply = json.dumps({"type": "noted", "id": message["id"]}).encode() + b"\n"
        if self.answers == "twice":
            reply = b'{"type": "a_type_of_a_later_version", "id": 1}\n' + reply + reply
        if self.answers != "never":
            try:
                self.socket.sendall(reply)
            except OSError:
                pass

    def receive(self):
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""  # it ended without having read all

    def hear(self, until):
        """Takes what is said until the time, or the end of both the process and its words. True: it has ended."""
        while True:
            over = self.process.poll() is not None
            ready, _, _ = select.select([self.socket], [], [], 0 if over else min(0.05, max(0, until - time.monotonic())))
            data = self.receive() if ready else b""
            self.held += data
            while b"\n" in self.held:
                line, self.held = self.held.split(b"\n", 1)
                if len(line) >= LINE_MAX:
                    raise Breach(f"a line has more than {LINE_MAX} bytes")
                message = self.said.take(line)
                if message["type"] == "note":
                    self.answer(message)
                elif message["type"] == "error":
                    until = min(until, time.monotonic() + GRACE_S)
            if len(self.held) >= LINE_MAX:
                raise Breach(f"a line has more than {LINE_MAX} bytes")
            if over and not data:
                return True
            if not over and time.monotonic() >= until:
                return False
            if not over and ready and not data:
                time.sleep(0.01)  # it closed its end, which it may

    def end(self):
        """Its exit status, once it has ended as the contract wants it."""
        status = self.process.returncode
        if self.held:
            raise Breach(f"its last line has no end: {self.held[:80]!r}")
        if status < 0:
            raise Breach(f"it died by signal {-status}")
        if status == 0 and self.said.error:
            raise Breach("it ended with 0 after its error")
        self.log.seek(0)
        if self.password.encode() in self.log.read():
            raise Breach("a connection's password stands in its log")
        return status

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.socket.close()
        self.log.close()


def describe(options):
    result = subprocess.run([options.program, "--describe"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, timeout=5, check=False)
    if result.returncode != 0 or len(result.stdout) > DESCRIPTION_MAX or result.stdout.count(b"\n") != 1:
        raise Breach(f"--describe prints one line and ends with 0; it ended with {result.returncode}: {result.stdout[:80]!r}")
    try:
        said = json.loads(result.stdout)
        version, own, problem = said["reeve"], said["version"], said.get("problem", "")
    except (ValueError, KeyError, TypeError) as error:
        raise Breach(f"its description lacks something: {error!r}") from None
    if version != 1 or not isinstance(own, str) or len(own.encode()) > 64 or not isinstance(problem, str):
        raise Breach(f"its description is of another contract: {result.stdout!r}")
    return f"version {own}" + (f", problem: {problem}" if problem else "")


def run(options, answers, notes=()):
    attempt = Attempt(options, answers, notes)
    try:
        if not attempt.hear(time.monotonic() + options.timeout):
            raise Breach("it does not end within its grace after its error" if attempt.said.error
                         else f"it does not end within {options.timeout} s")
        return attempt.end(), attempt.said
    finally:
        attempt.close()


def succeeds(options, answers="once", notes=()):
    status, said = run(options, answers, notes)
    if status != 0:
        why = said.error["error"] if said.error else "it said no error"
        raise Breach(f"a task that is to succeed ended with {status}: {why}")
    return f"{len(said.notes)} notes, outputs {sorted(said.outputs)}"


def succeeds_among_later_words(options):
    earlier = [{"attempt": 1, "id": 1, "at": "2026-11-21T03:00:02.117Z", "note": {"state": "of an earlier attempt"}}]
    return succeeds(options, "twice", earlier)


def stops(options):
    """Its notes are not answered, so that one that notes is waiting."""
    attempt = Attempt(options, "never")
    try:
        if attempt.hear(time.monotonic() + 0.5):
            return "it was too quick to be stopped"
        attempt.process.terminate()
        if not attempt.hear(time.monotonic() + GRACE_S):
            raise Breach(f"it does not end within {GRACE_S:.0f} s of SIGTERM")
        return "ended"
    finally:
        attempt.close()


def fails(options):
    options.given = options.bad
    status, said = run(options, "once")
    if status in (0, 99) or said.error is None:
        raise Breach(f"a task that is to fail ended with {status}, its error is {said.error}")
    return said.error["error"]


def check(name, function, options):
    try:
        print(f"ok    {name}: {function(options)}")
        return True
    except (Breach, OSError, subprocess.TimeoutExpired) as breach:
        print(f"FAIL  {name}: {breach}")
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--with", dest="given", type=json.loads, default={}, help="options of a task that succeeds")
    parser.add_argument("--bad", type=json.loads, help="options of a task that fails, with an error line")
    parser.add_argument("--connections", type=json.loads, help="its connections")
    parser.add_argument("--timeout", type=float, default=30)
    options = parser.parse_args()
    options.program = os.path.abspath(options.program)
    options.name = os.path.basename(options.program).removeprefix("reeve-op-")
    checks = [("describes itself", describe), ("a task succeeds", succeeds),
              ("answers twice and words of later versions", succeeds_among_later_words), ("is stopped", stops)]
    if options.bad is not None:
        checks.append(("a task fails", fails))
    else:
        print("skip  a task fails: no --bad was given")
    with tempfile.TemporaryDirectory() as options.folder:
        results = [check(name, function, options) for name, function in checks]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
