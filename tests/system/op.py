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
    return b"__sanitizer_" in pathlib.Path(program).read_bytes()


class Attempt:
    """The operator at work; `connections`: documents with their `id`, `data_kib`: all the memory that it may take,
    `context`: what else it knows."""

    def __init__(self, operator, options, connections=(), *, number=1, folder="/", task_index=0, data_kib=None,
                 context=None, **environment):
        self.ours, theirs = socket.socketpair()
        tag = f"reeve:{KEY}:{task_index}:0"
        task = {"type": "task", "reeve": 1, "operator": operator, "run": "shop/1", "run_key": KEY, "dag": "shop",
                "task": "load", "task_index": task_index, "map_index": 0, "attempt": number, "tag": f"{tag}:{number}",
                "tag_prefix": f"{tag}:", "epoch": 7, "worker": "w1", "with": options,
                "context": {"params": {}, **(context or {})}, "connections": {one["id"]: one for one in connections},
                "notes": [], "timeout_ms": 0, "kill_grace_ms": 10000}
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

    def signal(self, number):
        os.kill(self.process.pid, number)

    def end(self, seconds=60):
        """Its end: status, log, and what it said."""
        said = b""
        self.ours.settimeout(seconds * reeve.PATIENCE)
        while True:
            try:
                piece = self.ours.recv(65536)
            except ConnectionResetError:
                break  # it ended without having read all
            if not piece:
                break
            said += piece
        status = self.process.wait(seconds)
        self.log.seek(0)
        log = self.log.read().decode()
        self.ours.close()
        self.log.close()
        return Ended(status, log, [json.loads(line) for line in said.splitlines()])


class Ended:
    def __init__(self, status, log, said):
        self.status, self.log, self.said = status, log, said
        self.outputs = {}
        for line in said:
            if line["type"] == "output":
                self.outputs.update(line["outputs"])
        errors = [line for line in said if line["type"] == "error"]
        assert len(errors) <= 1, said
        self.error = errors[0]["error"] if errors else None
        self.retry = errors[0].get("retry", True) if errors else None
        assert not (status == 0 and errors), (status, log, said)
