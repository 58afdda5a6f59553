"""One small run for each fault: submitted by a client that may see its master die, and judged by the ledger.

    ordeal = Ordeal(cluster)
    client = ordeal.begin()
    …a fault, and what died started again…
    ordeal.finish(client)
"""

import collections
import os
import re
import signal
import subprocess

import faulty
import ledger
from reeve import PATIENCE, program, wait_until

EXIT_RUNNER_DIED = 75  # of an agent
NAMES = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}

Client = collections.namedtuple("Client", "number file key process said")


class Ordeal:
    def __init__(self, cluster):
        self.cluster = cluster
        self.path, self.locks = cluster.folder / "ledger", cluster.folder / "locks"
        self.locks.mkdir()
        self.number, self.expected, self.lost = 0, [], []

    def dag(self, number, first=":", more=()):
        """A chain and a fork, with an output, a log, a file of its own, and a task that is terminated and killed."""
        say = lambda body=":": ledger.script(self.path, body, self.locks)
        tasks = {
            "a": {"bash": say(f"cat data; {first}; echo x={number} >$REEVE_OUTPUT")},
            "b": {"bash": say('[ "$X" -ge 0 ]'), "needs": "a", "env": {"X": "{{ outputs.a.x }}"}},
            "c": {"bash": say(), "needs": "a"},
            "late": {"bash": "trap '' TERM; while :; do sleep 0.05; done", "execution_timeout": "200ms",
                     "kill_grace": "100ms", "allow_failure": True},
            "d": {"bash": say(), "needs": ["b", "c", "late"], "trigger_rule": "all_done"},
            **dict(more),
        }
        return self.cluster.dag(f"d{number}", tasks, files={"data": f"said {number}\n"})

    def begin(self, **options):
        """A client that submits the next run and waits for it."""
        self.number += 1
        file, key = self.dag(self.number, **options), f"key{self.number}"
        said = self.cluster.folder / "submitted"
        with open(said, "wb") as out:
            process = subprocess.Popen([program("reeve"), "submit", file, "--key", key, "--wait"], stdout=out, stderr=out,
                                       stdin=subprocess.DEVNULL, env=self.cluster.env)
        return Client(self.number, file, key, process, said)

    def finish(self, client, one_attempt=True):
        """The run must succeed, be the one that was acknowledged, and have done all once; gives its tasks."""
        client.process.wait(timeout=180 * PATIENCE)
        run = wait_until(lambda: self.submitted(client), what="an accepted submit")
        said = client.said.read_text().split("\n", 1)[0]
        assert not re.fullmatch(r"d\d+/\d+", said) or said == run, f"{said} was acknowledged, and then it was {run}"
        self.cluster.finish(run)
        tasks = self.cluster.tasks(run)
        self.expected += [(run, name) for name in NAMES]
        self.lost += [(run, name, a["attempt"]) for name, task in tasks.items() for a in task["attempts"]
                      if a["state"] == "lost"]
        self.judge()
        assert (tasks["late"]["state"], tasks["late"]["reason"]) == ("failed", "timeout"), tasks["late"]
        log = lambda: self.cluster.reeve("logs", f"{run}/a").out.count(f"said {client.number}\n")
        wait_until(lambda: log() == 1, what=f"the log of {run}/a")
        if one_attempt:
            ran = [a for a in tasks["a"]["attempts"] if a["started_at"] is not None]
            assert [a["state"] for a in ran] == ["success"], tasks["a"]
        return tasks

    def submitted(self, client):
        """The run of that client's key; None while the master says that its disk is full."""
        result = self.cluster.reeve("submit", client.file, "--key", client.key)
        if result.status == 7 and "until there is space" in result.err:
            return None
        assert result.status == 0, f"{result.err}\n{self.cluster.logs()}"
        return result.out.strip()

    def judge(self):
        # What ended under a runner that died with it unreported is lost all the same, and runs again.
        lines = [line for line in ledger.read(self.path)
                 if line.kind != "end" or (line.run, line.task, line.attempt) not in self.lost]
        wrong = ledger.check(lines, expected=self.expected, lost=self.lost, parents=NAMES)
        assert not wrong, "\n".join(wrong)


class Deaths(Ordeal):
    """A master, one worker, and a run for each death of the victim: "master", "agent" or "runner"."""

    def __init__(self, cluster, victim):
        super().__init__(cluster)
        self.victim = victim
        cluster.start(workers=1, slots=2)

    @property
    def process(self):
        """Ends with the victim."""
        return self.cluster.processes["master" if self.victim == "master" else "w1"]

    def kill_runner(self):
        for pid in self.cluster.runners():
            os.kill(pid, signal.SIGKILL)

    def end_all(self):
        """A new epoch, and for an agent or runner also the end of the runner: each step of its start comes again."""
        self.cluster.kill("master")
        if self.victim != "master":
            self.kill_runner()
            self.cluster.kill("w1")

    def start_armed(self, env):
        """All that end_all ended; the victim with that environment."""
        with faulty.started_with(self.cluster, env if self.victim == "master" else {}):
            self.cluster.start_master(wait=False)
        if self.victim != "master":
            with faulty.started_with(self.cluster, env):
                self.cluster.start_worker("w1")

    def end_victim(self):
        """By kill -9, if it has not died; the status of `process`."""
        if self.process.poll() is None and self.victim == "runner":
            self.kill_runner()
        elif self.process.poll() is None:
            self.process.kill()
        return self.process.wait(timeout=30 * PATIENCE)

    def start_victim(self):
        if self.victim == "master":
            self.cluster.start_master()
        else:
            self.cluster.start_worker("w1")
