"""Machines that come back as they once were, and programs that are replaced while work goes on (FAULTS 23, 36, 37)."""

import os
import pathlib
import shutil
import signal
import time

import pytest

import faulty
import ledger
from ledger import lines_in, until
from reeve import program, wait_until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a host that booted at another time")


def sessions(cluster, name):
    return cluster.log_of(name, 1000).count("registered with the master")


def fill_in(copy, original):
    """The folder as it was when it was copied."""
    shutil.rmtree(original)
    shutil.copytree(copy, original, symlinks=True)


@as_root
def test_36_worker_whose_disk_is_restored_to_an_older_snapshot_changes_no_record(cluster):
    """It boots anew with a result that was settled long ago, and without the attempt that it has now."""
    path, gate = cluster.folder / "ledger", cluster.folder / "gate"
    snapshot, folder = cluster.folder / "snapshot", cluster.folder / "w1"
    cluster.start(workers=1)
    size = lambda: (folder / "private/results").stat().st_size
    empty, stop = size(), f"kill -STOP {cluster.processes['master'].pid}"
    answered = cluster.folder / "answered"
    first = cluster.submit(cluster.dag("first", {"a": {"bash": ledger.script(path, f"echo said; {until(answered)}; {stop}")}}))
    answered.touch()
    wait_until(lambda: lines_in(path) == 2, what="the end of a task that nobody hears of")
    wait_until(lambda: size() > empty, what="a saved result")
    shutil.copytree(folder, snapshot, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    cluster.processes["master"].send_signal(signal.SIGCONT)
    cluster.finish(first)
    before = cluster.json("status", first)
    second = cluster.submit(cluster.dag("second", {"b": {"bash": ledger.script(path, until(gate))}}))
    wait_until(lambda: lines_in(path) == 3, what="the start of another")
    mine = [pid for pid, name in cluster.processes_left().items() if name != "reeve-master"]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in mine:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
    cluster.processes["w1"].wait()
    wait_until(lambda: set(cluster.processes_left().values()) == {"reeve-master"}, what="the end of the machine")
    fill_in(snapshot, folder)
    cluster.spawn("w1", *faulty.other_boot(cluster, program("reeve-worker"), "--data", folder))
    wait_until(lambda: sessions(cluster, "w1") == 2, what="w1 as it was")
    third = cluster.submit(cluster.dag("third", {"c": {"bash": ledger.script(path)}}))
    cluster.finish(third)
    assert cluster.json("status", first) == before
    assert cluster.reeve("logs", f"{first}/a").out.endswith("said\n")
    (attempt,) = cluster.tasks(second)["b"]["attempts"]
    assert attempt["state"] in ("running", "unreachable"), "a stranger declares nothing gone"
    assert ledger.check(ledger.read(path), expected=[(first, "a"), (third, "c")]) == []


def test_37_older_store_that_meets_a_higher_epoch_stops_and_says_so(cluster):
    path, older = cluster.folder / "ledger", cluster.folder / "older"
    cluster.start(workers=1)
    file = cluster.dag("d", {"a": {"bash": ledger.script(path)}})
    cluster.finish(cluster.submit(file))
    cluster.kill("master")
    shutil.copytree(cluster.data, older, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    for _ in range(2):
        cluster.start_master()
        wait_until(lambda: "w1" in cluster.workers_up(), what="w1 up")
        cluster.finish(cluster.submit(file))
        cluster.kill("master")
    fill_in(older, cluster.data)
    cluster.start_master()
    wait_until(lambda: "nothing is dispatched any more" in cluster.log_of("master"), what="the master's word")
    count = lines_in(path)
    cluster.reeve("submit", file)
    time.sleep(2)  # a dispatch would show by now
    assert lines_in(path) == count, "nothing has started"
    assert cluster.processes["master"].poll() is None and cluster.processes["w1"].poll() is None
    assert cluster.reeve("ping").status == 0


WAIT_S = 300 + 300 / 5 + 5  # the usual lease and its margin: no run of the older store has a longer one


@pytest.mark.skipif(faulty.no_preload() is not None, reason=str(faulty.no_preload()))
def test_37_wait_of_an_accepted_restore_ends_by_itself_and_nothing_ran_twice(cluster):
    """Six minutes, which the master's own clocks skip over. What the store lacks is killed as its worker registers; what
    it has goes on once the wait is over, not before. A task without a lease is named: no wait is long enough for it."""
    path, older, gate = (cluster.folder / name for name in ("ledger", "older", "gate"))
    holds = f"until [ -e {gate} ]; do sleep 0.1; done"
    task = {"bash": ledger.script(path, holds), "lease": "30s", "kill_grace": "1s"}
    cluster.start(workers=1, slots=2)
    known = cluster.submit(cluster.dag("known", {
        "a": task, "b": {**task, "needs": "a"}, "n": {**task, "lease": "none", "needs": "a"}}))
    wait_until(lambda: lines_in(path) == 1, what="the start of a")
    cluster.kill("master")
    shutil.copytree(cluster.data, older, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    cluster.start_master()
    wait_until(lambda: "w1" in cluster.workers_up(), what="w1 up")
    cluster.submit(cluster.dag("unknown", {"u": task}))
    wait_until(lambda: lines_in(path) == 2, what="the start of what the older store lacks")
    (unknown,) = [line.pid for line in ledger.read(path) if line.task == "u"]
    cluster.kill("master")
    fill_in(older, cluster.data)
    clock = faulty.Clock(cluster)
    with faulty.started_with(cluster, clock.env):
        cluster.start_master("--accept-restore")
    wait_until(lambda: "w1" in cluster.workers_up(), what="w1 up")
    wait_until(lambda: not pathlib.Path(f"/proc/{unknown}").exists(), what="the end of what the store lacks")
    assert f"{known}: 1 of its tasks that are not over have lease: none (n)" in cluster.log_of("master", 50)
    gate.touch()
    wait_until(lambda: cluster.tasks(known)["a"]["state"] == "success", what="the end of a, which the store has")
    assert {cluster.tasks(known)[name]["state"] for name in ("b", "n")} == {"ready"}
    assert "is waited out" in cluster.ok("explain", f"{known}/b")
    clock.pass_by(WAIT_S - 60)
    wait_until(lambda: "w1" in cluster.workers_up(), what="w1 up")
    wait_until(lambda: cluster.json("workers")[0]["heartbeat_age_ms"] < 1500, what="a heartbeat after it")
    if "is waited out" in cluster.ok("explain", f"{known}/b"):  # not where the machine took a minute till here
        assert {cluster.tasks(known)[name]["state"] for name in ("b", "n")} == {"ready"}
    clock.pass_by(WAIT_S + 1)
    cluster.finish(known)
    lines = ledger.read(path)
    starts = [(line.task, line.attempt) for line in lines if line.kind == "start"]
    assert sorted(starts) == [("a", 1), ("b", 1001), ("n", 1001), ("u", 1)], starts


def test_23_agents_and_master_replaced_under_load_lose_no_task(started):
    """A rolling upgrade: each program goes on from another folder, one after another, while tasks start and end."""
    path, locks, gate = (started.folder / name for name in ("ledger", "locks", "gate"))
    locks.mkdir()
    folder = started.folder / "new"
    shutil.copytree(pathlib.Path(program("reeve")).parent, folder, symlinks=True,
                    ignore=lambda _, names: [name for name in names if not name.startswith("reeve")])
    victims = ("w1", "master", "w2")
    tasks = {f"g{n}": {"bash": ledger.script(path, until(gate), locks)} for n in range(2)}
    for name in victims:  # fifty tasks for each, which begin when its turn comes
        tasks[name] = {"bash": ledger.script(path, until(started.folder / f"turn.{name}"), locks)}
        tasks.update({f"{name}-{n:02}": {"bash": ledger.script(path, "sleep 0.05", locks), "needs": name} for n in range(50)})
    run = started.submit(started.dag("d", tasks))
    for name in victims:
        goal = lines_in(path) + 20
        (started.folder / f"turn.{name}").touch()
        wait_until(lambda goal=goal: lines_in(path) >= goal, what="progress")
        assert started.kill(name, signal.SIGTERM) == 0, started.log_of(name)
        kind = "reeve-master" if name == "master" else "reeve-worker"
        started.spawn(name, str(folder / kind), "--data", str(started.folder / ("m" if name == "master" else name)))
        wait_until(lambda: started.workers_up() == {"w1", "w2"}, what="both up")
    gate.touch()
    started.finish(run)
    assert all([a["state"] for a in task["attempts"] if a["started_at"] is not None] == ["success"]
               for task in started.tasks(run).values())
    wrong = ledger.check(ledger.read(path), expected=[(run, name) for name in tasks])
    assert not wrong, "\n".join(wrong)
