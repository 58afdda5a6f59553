"""What a fleet's commands say: explain, drain, audit."""

import re

from reeve import wait_until
from test_cli_output import TIME


def test_explain_says_what_a_run_and_a_task_wait_for(started):
    run = started.submit(started.dag("d", {"a": {"bash": "true", "queue": "gpu"}, "b": {"needs": "a", "noop": None}}))
    document = started.json("explain", run)
    assert document["run"] == run and document["state"] == "running"
    line, = started.json("explain", f"{run}/a")["lines"]
    assert line["task"] == "a" and line["waits_for"] == "queue" and "gpu" in line["text"]
    assert re.match(TIME, line["since"])
    assert started.json("explain", f"{run}/b")["lines"][0]["waits_for"] == "dependency"
    shown = started.ok("explain", run)
    assert shown.startswith(run) and "gpu" in shown
    assert started.reeve("explain", "nothing/1").status == 6
    assert started.reeve("explain", f"{run}/nothing").status == 6


def test_drained_worker_gets_no_task_until_it_is_undrained(started):
    assert "w1" in started.ok("drain", "w1")
    states = lambda: {worker["worker"]: worker["state"] for worker in started.json("workers")}
    wait_until(lambda: states() == {"w1": "draining", "w2": "up"}, what="one draining, one up")
    run = started.submit(started.dag("d", {f"t{n}": {"bash": "true"} for n in range(12)}))
    started.finish(run)
    assert {task["attempts"][0]["worker"] for task in started.tasks(run).values()} == {"w2"}
    assert "1 draining" in started.ok("status")
    started.ok("undrain", "w1")
    wait_until(lambda: started.workers_up() == {"w1", "w2"}, what="both up")
    assert started.reeve("drain", "w3").status == 6


def test_audit_lists_changes_newest_first(started):
    run = started.submit(started.dag("d", {"a": {"noop": None}}))
    started.ok("drain", "w1")
    started.ok("undrain", "w1")
    lines = started.json("audit")
    assert [line["number"] for line in lines] == sorted((line["number"] for line in lines), reverse=True)
    assert [line["action"] for line in lines][:3] == ["undrain", "drain", "submit"]
    assert lines[2]["target"] == run and lines[2]["who"] == "local" and not lines[2]["refused"]
    assert len(started.json("audit", "-n", 1)) == 1
    shown = started.ok("audit", "--since", "1h")
    assert re.search(rf"{TIME} +local +local +- +submit +{run}", shown)
