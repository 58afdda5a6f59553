"""Disks that fail: errors and full disks at any write and sync of the master and the agent (FAULTS 7), and power cuts
that lose what was not synced (FAULTS 6)."""

import errno
import os
import random
import signal

import pytest

import faulty
from ordeal import Ordeal
from reeve import wait_until

WHY_NO_PRELOAD = faulty.no_preload()
preloaded = pytest.mark.skipif(WHY_NO_PRELOAD is not None, reason=str(WHY_NO_PRELOAD))
STRIKES = int(os.environ.get("RV_STRIKES", "0"))  # of each kind; 0: few of the writes, most of the syncs


@pytest.fixture
def dice():
    seed = int(os.environ.get("RV_SEED", random.randrange(10**6)))
    print(f"RV_SEED={seed} repeats the choices of this run")
    return random.Random(seed)


class Strikes(Ordeal):
    """A master and one worker; the disk of one of them fails."""

    def __init__(self, cluster, victim):
        super().__init__(cluster)
        self.victim = victim
        name, folder = ("reeve-master", cluster.data) if victim == "master" else ("reeve-worker", cluster.folder / "w1")
        self.disk = faulty.Disk(cluster, name, folder)
        self.start("master")
        self.start("w1")
        wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up")
        self.seen = {kind: self.seen_in_a_run(kind) for kind in faulty.KINDS}

    def start(self, name):
        with faulty.started_with(self.cluster, self.disk.env if name == self.victim else {}):
            if name == "master":
                self.cluster.start_master()
            else:
                self.cluster.start_worker("w1", slots=2)

    def seen_in_a_run(self, kind):
        before = self.disk.seen(kind)
        client = self.begin(**self.load_for(kind))
        self.go_on(kind, before)
        self.finish(client)
        return self.disk.seen(kind) - before

    def load_for(self, kind):
        """An agent syncs its results only while the master does not answer."""
        alone = self.victim == "w1" and kind == "sync"
        return {"first": f"kill -STOP {self.cluster.processes['master'].pid}"} if alone else {}

    def go_on(self, kind, before):
        if self.load_for(kind):
            wait_until(lambda: self.disk.seen(kind) > before, what="a sync")
            self.cluster.processes["master"].send_signal(signal.SIGCONT)

    def strike(self, kind, error, nth):
        """One run during which the disk fails once; whether the victim ended, which is then started again."""
        before = self.disk.seen(kind)
        self.disk.fail(kind, error, nth=nth)
        client = self.begin(**self.load_for(kind))
        process = self.cluster.processes[self.victim]
        self.go_on(kind, before)
        wait_until(lambda: process.poll() is not None or client.process.poll() is not None, seconds=60,
                   what=f"an end of {self.victim} or of the run, {kind} {nth} gives {errno.errorcode[error]}")
        self.disk.mend()
        died = process.poll() is not None
        if died:
            said = self.cluster.log_of(self.victim, 5)
            assert process.returncode > 0, f"ended with {process.returncode}:\n{said}"
            assert os.strerror(error) in said or "disk I/O error" in said, said
            self.start(self.victim)
        self.finish(client)
        return died


@preloaded
@pytest.mark.slow
@pytest.mark.parametrize("victim", ["master", "w1"])
@pytest.mark.parametrize("kind", faulty.KINDS)
def test_07_input_output_error_at_any_moment_ends_it_by_name_and_a_restart_resumes(cluster, dice, victim, kind):
    strikes = Strikes(cluster, victim)
    for nth in chosen(dice, strikes.seen[kind]):
        print(f"{kind} {nth} of {strikes.seen[kind]}", flush=True)
        strikes.strike(kind, errno.EIO, nth)


@preloaded
@pytest.mark.slow
@pytest.mark.parametrize("victim", ["master", "w1"])
def test_07_full_disk_at_any_write_is_waited_out(cluster, dice, victim):
    """Nothing ends: what failed once is done again, by itself."""
    strikes = Strikes(cluster, victim)
    for nth in chosen(dice, strikes.seen["write"]):
        print(f"write {nth} of {strikes.seen['write']}", flush=True)
        assert not strikes.strike("write", errno.ENOSPC, nth)


def chosen(dice, most):
    assert most > 0, "a run writes nothing?"
    return sorted(dice.sample(range(1, most + 1), min(most, STRIKES or 6)))
