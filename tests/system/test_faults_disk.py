"""Disks that fail: errors and full disks at any write and sync of the master and the agent (FAULTS 7), and power cuts
that lose what was not synced (FAULTS 6)."""

import contextlib
import errno
import os
import signal

import pytest

import faulty
import ledger
from ledger import lines_in, until
from ordeal import Ordeal
from reeve import is_alive, is_stopped, program, wait_until

WHY_NO_PRELOAD = faulty.no_preload()
preloaded = pytest.mark.skipif(WHY_NO_PRELOAD is not None, reason=str(WHY_NO_PRELOAD))
STRIKES = int(os.environ.get("RV_STRIKES", "0"))  # of each kind; 0: few of the writes, most of the syncs


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
        self.finish(self.begin_under(kind))
        return self.disk.seen(kind) - before

    def begin_under(self, kind):
        """A run; for the syncs of an agent the master does not answer when its first task ends: only then is a result
        synced."""
        if self.victim != "w1" or kind != "sync":
            return self.begin()
        here, go = (self.cluster.folder / f"{name}.{self.number + 1}" for name in ("here", "go"))
        client = self.begin(first=f"touch {here}; until [ -e {go} ]; do sleep 0.01; done")
        agent, master = self.cluster.processes["w1"], self.cluster.processes["master"]
        wait_until(lambda: here.exists() or agent.poll() is not None, what="the first task")
        if agent.poll() is None:
            master.send_signal(signal.SIGSTOP)
            wait_until(lambda: is_stopped(master.pid), what="a master that stands still")
            before = self.disk.seen(kind)
            go.touch()
            wait_until(lambda: self.disk.seen(kind) > before or agent.poll() is not None, what="the sync of a result")
            master.send_signal(signal.SIGCONT)
        go.touch()
        return client

    def strike(self, kind, error, nth):
        """One run during which the disk fails once; whether the victim ended, which is then started again."""
        self.disk.fail(kind, error, nth=nth)
        client = self.begin_under(kind)
        process = self.cluster.processes[self.victim]
        wait_until(lambda: process.poll() is not None or client.process.poll() is not None, seconds=120,
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
    return sorted(dice.sample(range(1, most + 1), min(most, STRIKES or 4)))


# ---- power cuts ----

@pytest.fixture
def volumes(cluster):
    """A master and a worker w1, the folder of each on a file system whose power can be cut."""
    why_not = faulty.no_volume(cluster.folder)
    if why_not is not None:
        pytest.skip(why_not)
    made = {}
    try:
        for name, folder in (("master", cluster.data), ("w1", cluster.folder / "w1")):
            made[name] = faulty.Volume(folder, cluster.folder / f"{name}.img")
        cluster.data.chmod(0o700)
        yield made
    finally:
        cluster.end_all()
        for volume in made.values():
            volume.unmount()


def master_after_a_cut(cluster, volume):
    """The power of the master's disk goes, and with it the master; both come again."""
    volume.cut()
    cluster.kill("master")
    volume.restore()
    cluster.start_master()


def test_06_power_cut_right_after_an_acknowledged_submit_keeps_it(cluster, volumes):
    cluster.start_master()
    file = cluster.dag("d", {"a": {"bash": "cat data"}}, files={"data": "1\n"})
    runs = []
    for number in range(1, 9):
        (file.parent / "data").write_text(f"{number}\n")
        runs.append(cluster.submit(file, "--key", f"k{number}"))
        master_after_a_cut(cluster, volumes["master"])
        assert [run["run"] for run in cluster.json("runs")] == runs[::-1]
        assert cluster.submit(file, "--key", f"k{number}") == runs[-1]
    cluster.start_worker("w1", "--join", str(cluster.data), "--name", "w1", "--slots", "2")
    for number, run in enumerate(runs, 1):
        cluster.finish(run)
        log = lambda run=run: cluster.reeve("logs", f"{run}/a").out
        wait_until(lambda number=number, log=log: log() == f"{number}\n", what="the log of the files of that submit")


@pytest.mark.slow
def test_06_power_cuts_of_the_master_at_any_moment_lose_and_double_nothing(cluster, volumes, dice):
    ordeal = Ordeal(cluster)
    cluster.start_master()
    cluster.start_worker("w1", "--join", str(cluster.data), "--name", "w1", "--slots", "2")
    wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up")
    for _ in range(STRIKES or 6):
        goal, client = lines_in(ordeal.path) + dice.randrange(0, 8), ordeal.begin()
        wait_until(lambda goal=goal, client=client: lines_in(ordeal.path) >= goal or client.process.poll() is not None,
                   what="progress")
        master_after_a_cut(cluster, volumes["master"])
        ordeal.finish(client)


@preloaded
def test_06_result_on_a_workers_disk_survives_the_power_cut_of_its_host(cluster, volumes):
    """The host boots anew: nothing is left of the runner, and what was saved is recorded, once."""
    disk = faulty.Disk(cluster, "reeve-worker", cluster.folder / "w1/private/results")
    path = cluster.folder / "ledger"
    cluster.start_master()
    with faulty.started_with(cluster, disk.env):
        cluster.start_worker("w1", "--join", str(cluster.data), "--name", "w1", "--slots", "2")
    wait_until(lambda: "registered with the master" in cluster.log_of("w1"), what="a file of results that is made and empty")
    answered = cluster.folder / "answered"
    stop = f"{until(answered)}; kill -STOP {cluster.processes['master'].pid}"
    before = disk.done("sync")
    run = cluster.submit(cluster.dag("d", {"a": {"bash": ledger.script(path, stop)}}))
    answered.touch()
    wait_until(lambda: disk.done("sync") > before, what="the sync of the result")
    cluster.kill("master")
    cut_host(cluster, "w1", volumes["w1"])
    cluster.start_master()
    cluster.spawn("w1", *faulty.other_boot(cluster, program("reeve-worker"), "--data", cluster.folder / "w1"))
    cluster.finish(run)
    (attempt,) = cluster.tasks(run)["a"]["attempts"]
    assert attempt["state"] == "success"
    assert ledger.check(ledger.read(path), expected=[(run, "a")]) == []


def cut_host(cluster, name, volume):
    """The power of a worker's host: its disk, its agent, its runner and their tasks, at once."""
    mine = [pid for pid in cluster.processes_left() if pid not in {p.pid for p in cluster.processes.values()}]
    for pid in [cluster.processes[name].pid, *mine]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    volume.cut()
    for pid in mine:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    cluster.kill(name)
    wait_until(lambda: not any(map(is_alive, mine)), what="the end of all on that host")
    volume.restore()
