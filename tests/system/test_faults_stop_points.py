"""kill -9 at every store and send point of the master, the agent and the runner (FAULTS 3, 4, 5).

common/stop_points.def numbers the points; a build with them ends a program at the one that REEVE_STOP_AT names. At each
point a small DAG is under way; the program is started again, and the run must succeed: nothing lost, nothing twice, no
overlap, the log whole. The first pass through each point must be reached, so a point that nothing tries is seen.
"""

import os
import pathlib
import random
import re
import signal
import subprocess

import pytest

import ledger
from reeve import BIN, PATIENCE, ROOT, program, wait_until

EXIT_RUNNER_DIED = 75
LINE = re.compile(r'^STOP_POINT\((\d+), (\w+), (\w+), "[^"]+"\)$', re.M)
POINTS = LINE.findall((ROOT / "common/stop_points.def").read_text())
# What needs more than a small DAG: the write-ahead log is copied when it has 2,048 pages.
HEAVY = {"CHECKPOINTING", "CHECKPOINTED"}
# What comes only while the master does not answer: a result that is settled soon is not synced.
ALONE = {"RESULT_SYNCED"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(b"REEVE_STOP_AT" not in pathlib.Path(program("reeve-master")).read_bytes(),
                       reason=f"the programs in {BIN} are built without REEVE_STOP_POINTS"),
]


def points_of(name):
    return [(int(number), point) for number, point, owner in POINTS if owner == name]


def test_03_every_line_of_the_list_is_a_point():
    lines = [line for line in (ROOT / "common/stop_points.def").read_text().splitlines()
             if line.startswith("STOP_POINT(")]
    assert len(POINTS) == len(lines) and len({number for number, _, _ in POINTS}) == len(lines)
    assert {owner for _, _, owner in POINTS} == {"master", "agent", "runner"}


class Ordeal:
    """A master, one worker, and a run for each death."""

    def __init__(self, cluster, victim):
        self.cluster, self.victim = cluster, victim
        self.path, self.locks = cluster.folder / "ledger", cluster.folder / "locks"
        self.locks.mkdir()
        self.runs, self.lost, self.names = [], [], set()
        cluster.start(workers=1, slots=2)

    @property
    def process(self):
        return self.cluster.processes["master" if self.victim == "master" else "w1"]

    def dag(self, number, name):
        """A chain and a fork, with an output, a log, a file of its own, and a task that is terminated and killed."""
        stop = f"kill -STOP {self.cluster.processes['master'].pid};" if name in ALONE else ""
        say = lambda body=":": ledger.script(self.path, body, self.locks)
        tasks = {
            "a": {"bash": say(f"cat data; {stop} echo x={number} >$REEVE_OUTPUT")},
            "b": {"bash": say('[ "$X" -ge 0 ]'), "needs": "a", "env": {"X": "{{ outputs.a.x }}"}},
            "c": {"bash": say(), "needs": "a"},
            "late": {"bash": "trap '' TERM; while :; do sleep 0.05; done", "execution_timeout": "200ms",
                     "kill_grace": "100ms", "allow_failure": True},
            "d": {"bash": say(), "needs": ["b", "c", "late"], "trigger_rule": "all_done"},
        }
        self.names = {"a", "b", "c", "d"}
        if name in HEAVY:
            tasks.update({f"n{n:04}": {"noop": None, "needs": f"n{n - 1:04}" if n else []} for n in range(300)})
        return self.cluster.dag(f"d{number}", tasks, files={"data": f"said {number}\n"})

    def kill_runner(self):
        for pid in self.cluster.runners():
            os.kill(pid, signal.SIGKILL)

    def end_all(self):
        """A new epoch, and for an agent or runner also the end of the runner: each of its points comes again."""
        self.cluster.kill("master")
        if self.victim != "master":
            self.kill_runner()
            self.cluster.kill("w1")

    def start_armed(self, number, passes):
        at = {"REEVE_STOP_AT": f"{number}:{passes}"}
        self.cluster.env.update(at if self.victim == "master" else {})
        self.cluster.start_master(wait=False)
        self.cluster.env.pop("REEVE_STOP_AT", None)
        if self.victim != "master":
            self.cluster.env.update(at)
            self.cluster.start_worker("w1")
            self.cluster.env.pop("REEVE_STOP_AT")

    def submit(self, file, key):
        with open(self.cluster.folder / "submitted", "wb") as out:
            return subprocess.Popen([program("reeve"), "submit", file, "--key", key, "--wait"], stdout=out,
                                    stderr=out, stdin=subprocess.DEVNULL, env=self.cluster.env)

    def revive(self):
        """Whether it had died; started again without a point. A later death would hit the next steps of the test."""
        died = self.process.poll() is not None
        if not died and self.victim == "runner":
            self.kill_runner()
        elif not died:
            self.process.kill()
        status = self.process.wait(timeout=30 * PATIENCE)
        wanted = EXIT_RUNNER_DIED if self.victim == "runner" else -signal.SIGKILL
        assert status == wanted, f"ended with {status}:\n{self.cluster.logs()}"
        if self.victim == "master":
            self.cluster.start_master()
        else:
            self.cluster.start_worker("w1")
        return died

    def strike(self, point, passes, name):
        """One run with a death in it; whether the point was reached."""
        number = len(self.runs)
        self.end_all()
        self.start_armed(point, passes)
        file, key = self.dag(number, name), f"key{number}"
        client = self.submit(file, key)
        wait_until(lambda: self.process.poll() is not None or client.poll() is not None, seconds=60,
                   what=f"a death at point {point}, pass {passes}, or the run's end")
        died = self.revive()
        self.cluster.processes["master"].send_signal(signal.SIGCONT)
        client.wait(timeout=90 * PATIENCE)
        run = self.cluster.submit(file, "--key", key)
        said = (self.cluster.folder / "submitted").read_text().split("\n", 1)[0]
        assert not re.fullmatch(r"d\d+/\d+", said) or said == run, f"{said} was acknowledged, and then it was {run}"
        self.cluster.finish(run, seconds=90)
        self.judge(run, number)
        return died

    def judge(self, run, number):
        tasks = self.cluster.tasks(run)
        self.runs.append(run)
        self.lost += [(run, name, a["attempt"]) for name, task in tasks.items() for a in task["attempts"]
                      if a["state"] == "lost"]
        # What ended under a runner that died with it unreported is lost all the same, and runs again.
        lines = [line for line in ledger.read(self.path)
                 if line.kind != "end" or (line.run, line.task, line.attempt) not in self.lost]
        wrong = ledger.check(lines, expected=[(run, name) for name in self.names], lost=self.lost,
                             parents={"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]})
        assert not wrong, "\n".join(wrong)
        assert tasks["late"]["state"] == "failed" and tasks["late"]["reason"] == "timeout", tasks["late"]
        log = lambda: self.cluster.reeve("logs", f"{run}/a").out.count(f"said {number}\n")
        wait_until(lambda: log() == 1, what=f"the log of {run}/a")
        if self.victim != "runner":
            ran = [a for a in tasks["a"]["attempts"] if a["started_at"] is not None]
            assert [a["state"] for a in ran] == ["success"], tasks["a"]


@pytest.mark.parametrize("victim", ["master", "agent", "runner"])
def test_03_04_05_killed_at_every_point_loses_and_doubles_nothing(cluster, victim):
    seed = int(os.environ.get("RV_SEED", random.randrange(10**6)))
    print(f"RV_SEED={seed} repeats the choices of this run")
    dice = random.Random(seed)
    ordeal = Ordeal(cluster, victim)
    unreached = []
    for number, name in points_of(victim):
        if not any(ordeal.strike(number, 1, name) for _ in range(6 if name in HEAVY else 1)):
            unreached.append(name)
        if name not in HEAVY | ALONE and dice.random() < 0.5:
            ordeal.strike(number, dice.randrange(2, 6), name)
    assert not unreached, "no run came by these points: " + ", ".join(unreached)
