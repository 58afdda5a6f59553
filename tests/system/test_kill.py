"""kill -9 of the master and of agents while work runs: each run succeeds, and the tasks' own ledger shows nothing lost,
no attempt twice, no overlap."""

import os
import random
import signal
import time

import pytest

import ledger
from ledger import lines_in, until
from reeve import ROOT, wait_until

ROUNDS = int(os.environ.get("RV_ROUNDS", "50"))
TASKS = 400


def random_dag(cluster, dice, path, locks):
    """(file, parents): tasks in layers, each below up to three of the tasks before it; most are short."""
    parents, tasks = {}, {}
    for index in range(TASKS):
        name = f"t{index:03}"
        above = range(max(0, index - 60), max(0, index - 10))
        parents[name] = [f"t{i:03}" for i in sorted(dice.sample(above, min(len(above), dice.randrange(4))))]
        body = f"sleep {dice.choice(['0.05', '0.1', '0.3'])}" if dice.random() < 0.2 else ":"
        tasks[name] = {"bash": ledger.script(path, body, locks), "needs": parents[name], "lease": "5m"}
    return cluster.dag("many", tasks), parents


def lost_attempts(cluster, run):
    return [(run, name, a["attempt"]) for name, task in cluster.tasks(run).items()
            for a in task["attempts"] if a["state"] == "lost"]


def kill_something(cluster, dice, path, whole):
    """At a random point of the work ends one or more of the programs by SIGKILL, and starts them again."""
    goal = lines_in(path) + dice.randrange(1, whole)
    deadline = time.monotonic() + 2
    wait_until(lambda: lines_in(path) >= goal or time.monotonic() > deadline, what="progress")
    victims = dice.sample(["master", "w1", "w2"], dice.choice([1, 1, 1, 2, 3]))
    for name in victims:
        cluster.kill(name)
    # A random pause is the fault itself: a program is away for so long.
    time.sleep(dice.choice([0, 0, 0.05, 0.3, 1]))
    for name in victims:
        if name == "master":
            cluster.start_master(wait=False)
        else:
            cluster.start_worker(name)
    if "master" in victims:
        cluster.wait_for_master()


@pytest.mark.slow
def test_work_survives_fifty_rounds_of_kills(started):
    seed = int(os.environ.get("RV_SEED", random.randrange(10**6)))
    print(f"RV_SEED={seed} RV_ROUNDS={ROUNDS} repeats the choices of this run")
    dice = random.Random(seed)
    path, locks = started.folder / "ledger", started.folder / "locks"
    locks.mkdir()
    file, parents = random_dag(started, dice, path, locks)
    runs, lost = [], []
    for number in range(ROUNDS):
        run = started.submit(file)
        packages = started.submit(ROOT / "dags/packages/packages.yaml")
        for _ in range(dice.randrange(1, 4)):
            kill_something(started, dice, path, TASKS // 2)
        started.finish(run)
        started.finish(packages)
        lost += lost_attempts(started, run)
        runs.append(run)
        wrong = ledger.check(ledger.read(path), expected=[(r, t) for r in runs for t in parents], lost=lost,
                             parents=parents)
        assert not wrong, f"round {number}, RV_SEED={seed}:\n" + "\n".join(wrong[:20])


@pytest.mark.slow
def test_acknowledged_submit_survives_kill_of_the_master(started):
    file = started.dag("d", {"a": {"bash": "true"}})
    for number in range(1, 11):
        run = started.submit(file)
        started.kill("master")
        started.start_master()
        assert run == f"d/{number}"
        started.finish(run)


def test_cancel_of_a_running_task_survives_kill_of_the_master(started):
    path = started.folder / "ledger"
    body = "trap '' TERM; sleep 600"
    run = started.submit(started.dag("d", {"a": {"bash": ledger.script(path, body), "kill_grace": "3s"}, "b": {"noop": None}}))
    wait_until(lambda: lines_in(path) == 1, what="the task's start")
    started.ok("cancel", f"{run}/a")
    started.kill("master")
    started.start_master()
    started.finish(run, status=1)
    assert {name: task["state"] for name, task in started.tasks(run).items()} == {"a": "cancelled", "b": "success"}
    started.kill("master")
    started.start_master()
    assert started.tasks(run)["a"]["state"] == "cancelled"


def test_task_outlives_its_agent_and_keeps_its_log(started):
    path, gate = started.folder / "ledger", started.folder / "gate"
    body = f"echo before; {until(gate)}; echo after; echo x=1 > $REEVE_OUTPUT"
    run = started.submit(started.dag("d", {"a": {"bash": ledger.script(path, body)}}))
    wait_until(lambda: lines_in(path) == 1, what="the task's start")
    for name in ("w1", "w2", "master"):
        started.kill(name)
    (pid,) = [line.pid for line in ledger.read(path)]
    assert pid in started.processes_left()
    for name in ("w1", "w2"):
        started.start_worker(name)
    started.start_master()
    gate.touch()
    started.finish(run)
    (attempt,) = started.tasks(run)["a"]["attempts"]
    assert (attempt["state"], attempt["exit_code"]) == ("success", 0)
    log = started.ok("logs", "d/1/a")
    assert "before" in log and "after" in log
    assert ledger.check(ledger.read(path), expected=[(run, "a")]) == []


def test_silent_worker_is_shown_within_three_seconds(started):
    started.processes["w1"].send_signal(signal.SIGSTOP)
    try:
        started.wait_for_silence("w1")
    finally:
        started.processes["w1"].send_signal(signal.SIGCONT)
    wait_until(lambda: started.workers_up() == {"w1", "w2"}, what="w1 up again")


def test_runner_killed_takes_its_tasks_along_and_they_run_again(started):
    path, locks = started.folder / "ledger", started.folder / "locks"
    locks.mkdir()
    body = '[ "$REEVE_ATTEMPT" -gt 1 ] || sleep 600'
    run = started.submit(started.dag("d", {"a": {"bash": ledger.script(path, body, locks)}}))
    wait_until(lambda: lines_in(path) == 1, what="the task's start")
    for pid in started.runners():
        os.kill(pid, signal.SIGKILL)
    for name in ("w1", "w2"):
        wait_until(lambda name=name: started.processes[name].poll() is not None, what=f"the end of {name}")
        started.start_worker(name)
    started.finish(run)
    first, *between, last = started.tasks(run)["a"]["attempts"]
    assert (first["state"], last["state"]) == ("lost", "success")
    # One may have gone to the other worker before that knew of its runner's death: it never started.
    assert all((a["state"], a["started_at"]) == ("lost", None) for a in between)
    assert ledger.check(ledger.read(path), expected=[(run, "a")], lost=[(run, "a", 1)]) == []


def test_stopped_programs_leave_nothing(started):
    run = started.submit(ROOT / "dags/hello/hello.yaml")
    started.finish(run)
    for name in ("w1", "w2"):
        started.stop_worker(name)
    assert started.kill("master", signal.SIGTERM) == 0, started.log_of("master")
    wait_until(lambda: not started.processes_left(), what="the end of all programs")


def test_stopped_agent_leaves_its_tasks_and_stop_now_ends_them(started):
    path = started.folder / "ledger"
    run = started.submit(started.dag("d", {"a": {"bash": ledger.script(path, "sleep 600")}}))
    wait_until(lambda: lines_in(path) == 1, what="the task's start")
    (pid,) = [line.pid for line in ledger.read(path)]
    name = started.tasks(run)["a"]["attempts"][0]["worker"]
    assert started.kill(name, signal.SIGTERM) == 0
    assert pid in started.processes_left()
    started.stop_worker(name)
    wait_until(lambda: pid not in started.processes_left(), what="the end of the task")
