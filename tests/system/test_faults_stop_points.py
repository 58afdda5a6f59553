"""kill -9 at every store and send point of the master, the agent and the runner (FAULTS 3, 4, 5).

common/stop_points.def numbers the points; a build with them ends a program at the one that REEVE_STOP_AT names. At each
point a small DAG is under way; the program is started again, and the run must succeed: nothing lost, nothing twice, no
overlap, the log whole. The first pass through each point must be reached, so a point that nothing tries is seen.
"""

import os
import random
import re
import signal
import time

import pytest

import faulty
from ordeal import EXIT_RUNNER_DIED, Deaths
from reeve import BIN, ROOT, is_stopped, wait_until

LINE = re.compile(r'^STOP_POINT\((\d+), (\w+), (\w+), "[^"]+"\)$', re.M)
POINTS = LINE.findall((ROOT / "common/stop_points.def").read_text())
# What needs more than a small DAG: the write-ahead log is copied when it has 2,048 pages.
HEAVY = {"CHECKPOINTING", "CHECKPOINTED"}
# What comes only while the master does not answer: a result that is settled soon is not synced.
ALONE = {"RESULT_SYNCED"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not faulty.built_with("REEVE_STOP_AT"),
                       reason=f"the programs in {BIN} are built without REEVE_STOP_POINTS"),
]


def points_of(name):
    return [(int(number), point) for number, point, owner in POINTS if owner == name]


def test_03_every_line_of_the_list_is_a_point():
    lines = [line for line in (ROOT / "common/stop_points.def").read_text().splitlines()
             if line.startswith("STOP_POINT(")]
    assert len(POINTS) == len(lines) and len({number for number, _, _ in POINTS}) == len(lines)
    assert {owner for _, _, owner in POINTS} == {"master", "agent", "runner"}


class Stops(Deaths):
    """Deaths at numbered points."""

    def start_at(self, at):
        self.start_armed({"REEVE_STOP_AT": at})

    def revive(self):
        """Whether it had died; started again without a point. A later death would hit the next steps of the test."""
        died = self.process.poll() is not None
        status = self.end_victim()
        wanted = EXIT_RUNNER_DIED if self.victim == "runner" else -signal.SIGKILL
        assert status == wanted, f"ended with {status}:\n{self.cluster.logs()}"
        self.start_victim()
        return died

    def load_for(self, name):
        """What else a run must do to come by that point."""
        if name in HEAVY:
            return {"more": {f"n{n:03}": {"noop": None, "needs": f"n{n - 1:03}" if n else []} for n in range(300)}}
        return {"first": f"kill -STOP {self.cluster.processes['master'].pid}"} if name in ALONE else {}

    def strike(self, point, passes, name):
        """One run with a death in it; whether the point was reached."""
        self.end_all()
        self.start_at(f"{point}:{passes}")
        client = self.begin(**self.load_for(name))
        wait_until(lambda: self.process.poll() is not None or client.process.poll() is not None, seconds=120,
                   what=f"a death at point {point}, pass {passes}, or the run's end")
        died = self.revive()
        self.cluster.processes["master"].send_signal(signal.SIGCONT)
        self.finish(client, one_attempt=self.victim != "runner")
        return died

    def stopped(self):
        """The pid of the victim, when it has stopped itself."""
        pids = self.cluster.runners() if self.victim == "runner" else [self.process.pid]
        return next((pid for pid in pids if is_stopped(pid)), None)

    def pause(self, point, seconds):
        """One run in whose middle the victim stops for so long, and goes on as if nothing was."""
        self.end_all()
        self.start_at(f"{point}:1:pause")
        client = self.begin()
        pid = wait_until(self.stopped, what=f"a stop at point {point}")
        time.sleep(seconds)  # the fault itself
        os.kill(pid, signal.SIGCONT)
        self.finish(client)


@pytest.mark.parametrize("victim", ["master", "agent", "runner"])
def test_03_04_05_killed_at_every_point_loses_and_doubles_nothing(cluster, victim):
    seed = int(os.environ.get("RV_SEED", random.randrange(10**6)))
    print(f"RV_SEED={seed} repeats the choices of this run")
    dice = random.Random(seed)
    deaths = Stops(cluster, victim)
    unreached = []
    for number, name in points_of(victim):
        print(f"point {number} {name}", flush=True)
        if not any(deaths.strike(number, 1, name) for _ in range(6 if name in HEAVY else 1)):
            unreached.append(name)
        if name not in HEAVY | ALONE and dice.random() < 0.3:
            deaths.strike(number, dice.randrange(2, 6), name)
    assert not unreached, "no run came by these points: " + ", ".join(unreached)


@pytest.mark.parametrize("victim, name", [("master", "COMMITTED"), ("agent", "RESULT_WRITTEN"), ("runner", "TASK_BORN")])
def test_03_04_05_stopped_at_a_point_until_it_is_silent_loses_and_doubles_nothing(cluster, victim, name):
    (number,) = [number for number, point in points_of(victim) if point == name]
    Stops(cluster, victim).pause(number, 3)
