"""Memory that cannot be had, at places of the master, the agent and the runner from their first allocation to the last
of a run (FAULTS 8): it goes on, or it ends and says why; started again, nothing is lost and nothing twice.

unit_no_memory tries every place of the cores and the codec; here are those of the whole programs and of the libraries
below them. A longer try of places drawn afresh: RV_STRIKES=300.
"""

import os
import re
import shutil
import signal
import sqlite3

import pytest

import faulty
from ordeal import EXIT_RUNNER_DIED, Deaths
from reeve import wait_until

WHY_NO_PRELOAD = faulty.no_preload()
STRIKES = int(os.environ.get("RV_STRIKES", "8"))  # of each program
PROGRAMS = {"master": "reeve-master", "agent": "reeve-worker", "runner": "reeve-runner"}
ALL = 2**31  # from one on none can be had: whoever tries again gets nothing either

# Ours, the database's, libstdc++'s and the C library's.
SAID = re.compile(r"out of memory|bad_alloc|cannot allocate memory", re.I)
# A library that was refused something ends the program in its own words, which may lack the reason; "Unexpected error" is
# an assertion that has no memory for more.
LIBRARY_SAID = re.compile(r"Assertion|Unexpected error|Fatal|\(src/\w+\.cpp:\d+\)")
OURS = re.compile(r"\b(common|proto|master|worker)/[\w/]+\.[ch]:\d+")


class Refusals(Deaths):
    """A run for each allocation that is refused."""

    def __init__(self, cluster, victim):
        self.memory = faulty.Memory(cluster, PROGRAMS[victim])
        super().__init__(cluster, victim)
        self.name = "master" if victim == "master" else "w1"
        self.place = "none"
        self.most = self.strike(0, 0)

    def is_dead(self):
        return self.process.poll() is not None

    def watch(self, client):
        """Until the victim has died, or without it has brought the run to its end; what it had asked for by then."""
        ended = lambda: self.is_dead() or client.process.poll() is not None
        wait_until(ended, seconds=120, what=f"an end after allocation {self.place}")
        seen = self.memory.seen
        self.memory.mend()
        # A client that was sent away met a master that is ending, or one that could not do that one thing.
        if client.process.poll() not in (0, None):
            wait_until(lambda: self.is_dead() or self.cluster.reeve("ping").status == 0, what=f"an answer after allocation {self.place}")
            if not self.is_dead():
                self.cluster.finish(self.submitted(client))
        return seen

    def strike(self, first, count):
        """One run under that plan; how many allocations the victim has made."""
        self.place = f"{first} of the {self.victim}, {count} in all"
        self.end_all()
        self.memory.plan(first, count)
        before = len(self.cluster.log_of(self.name))
        self.start_armed(self.memory.env)
        client = self.begin()
        seen, died = self.watch(client), self.is_dead()
        status = self.end_victim()
        if died or status == -signal.SIGABRT:
            self.judge_death(status, self.cluster.log_of(self.name)[before:])
        self.judge_store()
        self.start_victim()
        self.finish(client, one_attempt=self.victim != "runner")
        return seen

    def judge_death(self, status, said):
        """By its own word. The runner has nowhere to write to once it is at work; its agent ends with it."""
        how = f"{self.memory.who} was refused allocation {self.place}; ended with {status}:\n{said}"
        assert self.memory.failed, how
        if self.victim == "runner" and status == EXIT_RUNNER_DIED:
            return
        by_library = self.memory.who != PROGRAMS[self.victim]
        # libpgm's look for its protocol's number: glibc's name service does not stand it. Nothing is open yet.
        if by_library and status == -signal.SIGSEGV and not said.strip():
            return
        assert status == -signal.SIGABRT or status > 0, how
        assert not OURS.search(said), how
        assert SAID.search(said) or by_library and LIBRARY_SAID.search(said), how

    def judge_store(self):
        """As it lies on the disk; a copy, since whoever opens it writes."""
        if self.victim != "master":
            return
        copy = self.cluster.folder / "copy"
        copy.mkdir()
        for path in self.cluster.data.glob("store.db*"):
            shutil.copy(path, copy)
        with sqlite3.connect(copy / "store.db") as store:
            assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)], self.place
        store.close()
        shutil.rmtree(copy)


def places(dice, most):
    """Of so many allocations: over the orders of magnitude, where a start is, and over all, where the run is."""
    early = [round(most ** dice.random()) for _ in range(STRIKES // 2)]
    return sorted([*early, *(dice.randint(1, most) for _ in range(STRIKES - len(early)))])


@pytest.mark.slow
@pytest.mark.skipif(WHY_NO_PRELOAD is not None, reason=str(WHY_NO_PRELOAD))
@pytest.mark.parametrize("victim", sorted(PROGRAMS))
def test_08_memory_refused_at_any_allocation_is_a_clean_end_and_a_restart_goes_on(cluster, dice, victim):
    refusals, refused = Refusals(cluster, victim), 0
    for first in places(dice, refusals.most):
        count = dice.choice([1, 1, ALL])
        print(f"{first} of {refusals.most}, {count} of them", flush=True)
        refused += refusals.strike(first, count) >= first
    assert refused > 0, "nothing was refused"
