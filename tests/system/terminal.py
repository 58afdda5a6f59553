"""A command on a terminal of its own, as a person has it."""

import os
import pty
import select

import reeve
from reeve import wait_until


class Terminal:
    """`reeve ARGUMENTS` on a terminal of its own; what it shows is in `shown`."""

    def __init__(self, cluster, *arguments, **env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(cluster.folder)
            settings = {**cluster.env, "TERM": "xterm", **env}
            settings.pop("NO_COLOR" if "NO_COLOR" not in env else "", None)
            os.execve(reeve.program("reeve"), ["reeve", *map(str, arguments)], settings)
        self.shown = ""

    def read(self, seconds=0.1):
        """False at the end."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            piece = os.read(self.fd, 65536)
        except OSError:
            piece = b""
        self.shown += piece.decode(errors="replace")
        return bool(piece)

    def until(self, text):
        wait_until(lambda: self.read() and text in self.shown or text in self.shown, what=f"{text!r} on the terminal")

    def press_ctrl_c(self):
        os.write(self.fd, b"\x03")

    def end(self):
        while self.read(30):
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
