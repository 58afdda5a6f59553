"""A worker's side of descriptor 3 for one operator program, without a worker.

    ended = op.Attempt("python", {"code": "print(1)"}).end()
    assert ended.status == 0 and ended.log == "1\\n"
"""

import json
import os
import pathlib
import socket
import subprocess
import tempfile

import reeve

KEY = "0123456789abcdef"


def sanitized(program):
    """A sanitizer's shadow is memory too."""
    code = pathlib.Path(program).read_bytes()
    return any(name in code for name in (b"__sanitizer_", b"__asan_init", b"__tsan_init"))


class Attempt:
    """The operator at work; `connections`: documents with their `id`, `data_kib`: all the memory that it may take,
    `context`: what else it knows, `notes`: earlier attempts'. Its own notes are durable at once."""

    def __init__(self, operator, options, connections=(), *, number=1, folder="/", task_index=0, data_kib=None,
                 context=None, notes=(), **environment):
        self.ours, theirs = socket.socketpair()
        tag = f"reeve:{KEY}:{task_index}:0"
        task = {"type": "task", "reeve": 1, "operator": operator, "run": "shop/1", "run_key": KEY, "dag": "shop",
                "task": "load", "task_index": task_index, "map_index": 0, "attempt": number, "tag": f"{tag}:{number}",
                "tag_prefix": f"{tag}:", "epoch": 7, "worker": "w1", "with": options,
                "context": {"params": {}, **(context or {})}, "connections": {one["id"]: one for one in connections},
                "notes": list(notes), "timeout_ms": 0, "kill_grace_ms": 10000}
        self.ours.sendall(json.dumps(task).encode() + b"\n")
        self.log = tempfile.TemporaryFile()
        fd = theirs.fileno()
        program = reeve.program(f"reeve-op-{operator}")
        limit = f"ulimit -d {data_kib}; " if data_kib and not sanitized(program) else ""
        self.process = subprocess.Popen(
            ["bash", "-c", f'{limit}exec 3<&{fd} {fd}<&-; exec "$0"', program], pass_fds=[fd],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, cwd=folder,
            env=reeve.clean_environment(**environment))
        theirs.close()
        self.said = []

    def receive(self):
        try:
            return self.ours.recv(65536)
        except ConnectionResetError:
            return b""  # it ended without having read all

    def signal(self, number):
        os.kill(self.process.pid, number)

    def end(self, seconds=180):
        """Its end: status, log, and what it said."""
        lines, rest = self.said, b""
        self.ours.settimeout(seconds * reeve.PATIENCE)
        while piece := self.receive():
            *whole, rest = (rest + piece).split(b"\n")
            lines += map(json.loads, whole)
            for line in map(json.loads, whole):
                if line["type"] == "note":
                    self.ours.sendall(json.dumps({"type": "noted", "id": line["id"]}).encode() + b"\n")
        assert rest == b"", rest
        status = self.process.wait(seconds * reeve.PATIENCE)
        self.log.seek(0)
        log = self.log.read().decode()
        self.ours.close()
        self.log.close()
        return Ended(status, log, lines)


class Ended:
    def __init__(self, status, log, said):
        self.status, self.log, self.said = status, log, said
        self.outputs = {}
        for line in said:
            if line["type"] == "output":
                self.outputs.update(line["outputs"])
        self.notes = [line["note"] for line in said if line["type"] == "note"]
        errors = [line for line in said if line["type"] == "error"]
        assert len(errors) <= 1, said
        self.error = errors[0]["error"] if errors else None
        self.retry = errors[0].get("retry", True) if errors else None
        assert not (status == 0 and errors), (status, log, said)
