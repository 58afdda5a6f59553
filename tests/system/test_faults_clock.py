"""Wall clocks that are stepped by a day, forward and back (FAULTS 13): leases, timeouts and retries do not see it."""

import datetime

import pytest

import faulty
import ledger
from ledger import until
from reeve import wait_until

WHY_NOT = faulty.no_preload()
DAY_S = 86400
FIRST_FAILS = '[ "$REEVE_ATTEMPT" -gt 1 ]'


def first_of(cluster, run):
    return (cluster.tasks(run)["a"]["attempts"] or [{"state": None}])[0]


@pytest.fixture(params=["master", "worker"])
def stepped(request, cluster):
    """(cluster, clock): a master and a worker w1, of which one lives by a clock that is stepped."""
    clock = faulty.Clock(cluster)
    with faulty.started_with(cluster, clock.env if request.param == "master" else {}):
        cluster.start_master()
    with faulty.started_with(cluster, clock.env if request.param == "worker" else {}):
        cluster.start_worker("w1")
    wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up")
    return cluster, clock


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
@pytest.mark.parametrize("step_s", [DAY_S, -DAY_S])
def test_13_wall_clock_stepped_by_a_day_touches_no_lease_timeout_or_retry(stepped, step_s):
    cluster, clock = stepped
    path, gate = cluster.folder / "ledger", cluster.folder / "gate"
    say = lambda body: ledger.script(path, body)
    run = cluster.submit(cluster.dag("d", {
        "stays": {"bash": say(until(gate)), "lease": "20s",
                  "kill_grace": "1s", "execution_timeout": "10m"},
        "late": {"bash": say("sleep 600"), "execution_timeout": "3s", "kill_grace": "1s", "allow_failure": True},
        "again": {"bash": say(FIRST_FAILS), "retries": 1, "retry_delay": "3s"},
    }))
    begun = lambda: {line.task for line in ledger.read(path)} if path.exists() else set()
    wait_until(lambda: begun() >= {"stays", "again"}, what="the start of both")
    # Where the machine is slow the delay of its retry may be over by now.
    wait_until(lambda: cluster.tasks(run)["again"]["attempts"][0]["state"] == "failed", what="the failure of one")
    clock.step(step_s)
    beats = lambda: cluster.json("workers")[0]["heartbeat_age_ms"]
    wait_until(lambda: beats() < 1500, what="a heartbeat")
    wait_until(lambda: cluster.tasks(run)["late"]["state"] == "failed", what="the timeout")
    wait_until(lambda: cluster.tasks(run)["again"]["state"] == "success", what="the retry")
    assert cluster.tasks(run)["late"]["reason"] == "timeout"
    wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up")
    wait_until(lambda: cluster.tasks(run)["stays"]["state"] == "running", what="the task that stays, at work")
    gate.touch()
    cluster.finish(run)
    lines = ledger.read(path)
    at = {(line.kind, line.task, line.attempt): line.boot for line in lines}
    assert at["start", "again", 2] - at["start", "again", 1] > 2.9, "a retry's delay is not cut short"
    assert len(cluster.tasks(run)["stays"]["attempts"]) == 1
    assert ledger.check(lines, expected=[(run, "stays"), (run, "again")], lost=[(run, "again", 1)]) == []


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
@pytest.mark.parametrize("step_s", [DAY_S, -DAY_S])
def test_13_retry_that_waits_over_a_restart_under_another_wall_clock_waits_at_most_its_delay(cluster, step_s):
    clock = faulty.Clock(cluster)
    with faulty.started_with(cluster, clock.env):
        cluster.start(workers=1)
        run = cluster.submit(cluster.dag("d", {"a": {"bash": FIRST_FAILS, "retries": 1, "retry_delay": "5s"}}))
        wait_until(lambda: first_of(cluster, run)["state"] == "failed", what="the failure")
        cluster.kill("master")
        clock.step(step_s)
        cluster.start_master()
    cluster.finish(run)
    first, second = cluster.tasks(run)["a"]["attempts"]
    assert (first["state"], second["state"]) == ("failed", "success")
    days = [datetime.datetime.fromisoformat(a["assigned_at"].replace("Z", "+00:00")) for a in (first, second)]
    assert abs((days[1] - days[0]).total_seconds() - step_s) < 60, "the clock was not stepped"
