"""A DAG from submit to result, as the pages say: what a newcomer does in the first five minutes."""

import json
import re

import pytest

from reeve import ROOT, wait_until

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


def test_hello_runs_and_says_hello(started):
    run = started.submit(ROOT / "dags/hello/hello.yaml")
    assert run == "hello/1"
    started.finish(run)
    assert "Hello from hello, attempt 1 of run hello/1, on worker w" in started.ok("logs", "hello/1/hello")


def test_logs_of_an_ended_task_are_whole_at_once(started):
    file = started.dag("long", {"a": {"bash": "seq 300000"}})
    for _ in range(3):
        run = started.submit(file)
        started.finish(run)
        assert started.ok("logs", f"{run}/a").split() == [str(n) for n in range(1, 300001)]


def test_second_submit_gets_the_next_number(started):
    runs = [started.submit(ROOT / "dags/hello/hello.yaml") for _ in range(3)]
    assert runs == ["hello/1", "hello/2", "hello/3"]


def test_status_json_has_the_shape_of_the_contract(started):
    run = started.submit(started.dag("d", {"a": {"bash": "exit 3"}, "b": {"needs": "a", "noop": None}}))
    started.finish(run, status=1)
    document = started.json("status", run)
    assert {"run", "dag", "state", "logical_date", "started_at", "ended_at", "tasks"} <= document.keys()
    assert (document["run"], document["dag"], document["state"]) == ("d/1", "d", "failed")
    for key in ("logical_date", "started_at", "ended_at"):
        assert TIME.match(document[key]), (key, document[key])
    a, b = (started.tasks(run)[name] for name in "ab")
    assert {"task", "state", "reason", "error", "attempts"} <= a.keys()
    assert (a["state"], a["reason"]) == ("failed", "exit_code")
    (attempt,) = a["attempts"]
    assert {"attempt", "state", "worker", "exit_code", "reason", "error", "started_at", "ended_at"} <= attempt.keys()
    assert (attempt["attempt"], attempt["state"], attempt["exit_code"]) == (1, "failed", 3)
    assert attempt["worker"] in ("w1", "w2")
    assert attempt["started_at"] <= attempt["ended_at"]
    assert (b["state"], b["reason"], b["attempts"]) == ("upstream_failed", "upstream", [])


def test_status_and_logs_of_a_failed_run_end_zero(started):
    run = started.submit(started.dag("d", {"a": {"bash": "echo before; exit 1"}}))
    started.finish(run, status=1)
    assert started.reeve("status", run).status == 0
    assert "before" in started.ok("logs", run, "--failed")


def test_submit_with_wait_ends_as_the_run_does(started):
    good = started.reeve("submit", started.dag("good", {"a": {"bash": "true"}}), "--wait")
    bad = started.reeve("submit", started.dag("bad", {"a": {"bash": "false"}}), "--wait")
    assert (good.status, bad.status) == (0, 1)
    assert good.out.split()[0] == "good/1"


def test_submit_key_repeated_is_the_same_run(started):
    file = started.dag("d", {"a": {"noop": None}})
    assert [started.submit(file, "--key", key) for key in ("x", "x", "y")] == ["d/1", "d/1", "d/2"]


def test_workers_are_listed_with_their_slots(started):
    def listed():
        return {worker["worker"]: worker for worker in started.json("workers")}
    assert listed().keys() == {"w1", "w2"}
    wait_until(lambda: [listed()["w1"][key] for key in ("state", "slots", "running")] == ["up", 4, 0], what="w1 as it is")
    wait_until(lambda: listed()["w1"]["heartbeat_age_ms"] < 3000, what="a heartbeat")


def test_retries_count_attempts_and_end_in_success(started):
    body = 'echo "try $REEVE_ATTEMPT"; [ "$REEVE_ATTEMPT" -ge 3 ]'
    run = started.submit(started.dag("d", {"a": {"bash": body, "retries": 2, "retry_delay": "1s"}}))
    started.finish(run)
    attempts = started.tasks(run)["a"]["attempts"]
    assert [(a["attempt"], a["state"]) for a in attempts] == [(1, "failed"), (2, "failed"), (3, "success")]
    assert "try 1" in started.ok("logs", "d/1/a@1")
    assert "try 3" in started.ok("logs", "d/1/a")


@pytest.mark.parametrize("task, reason", [
    ({"exec": ["./not-there"]}, "not_found"),
    ({"exec": ["./plain.txt"]}, "not_executable"),
    ({"bash": "kill -9 $$"}, "signal"),
    ({"bash": "sleep 60", "execution_timeout": "1s", "kill_grace": "1s"}, "timeout"),
    ({"bash": "true", "artifacts": ["missing.csv"]}, "artifact"),
    ({"bash": 'head -c 70000 /dev/zero | tr "\\0" x > "$REEVE_OUTPUT"'}, "output"),
])
def test_reason_says_how_a_task_failed(started, task, reason):
    file = started.dag("d", {"a": task}, files={"plain.txt": "text"})
    (file.parent / "plain.txt").chmod(0o644)
    run = started.submit(file)
    started.finish(run, status=1)
    found = started.tasks(run)["a"]
    assert (found["state"], found["reason"]) == ("failed", reason)
    assert found["error"] and "\n" not in found["error"]


def test_cancel_ends_a_running_task_and_its_children(started):
    mark = started.folder / "pid"
    run = started.submit(started.dag("d", {"a": {"bash": f"sleep 600 & echo $! > {mark}.new; mv {mark}.new {mark}; wait"}}))
    wait_until(mark.exists, what="the task's start")
    started.ok("cancel", run)
    started.finish(run, status=1)
    document = started.json("status", run)
    assert (document["state"], document["tasks"][0]["state"]) == ("cancelled", "cancelled")
    pid = int(mark.read_text())
    wait_until(lambda: pid not in started.processes_left(), what="the end of the task's child")


def test_run_here_needs_no_server(cluster):
    result = cluster.reeve("run", ROOT / "dags/diamond/diamond.yaml")
    assert result.status == 0, result.err
    assert not cluster.processes_left()


def test_dag_of_the_master_is_submitted_by_name(cluster):
    cluster.start_master("--dags", str(ROOT / "dags"))
    cluster.start_worker("w1")
    names = {dag["dag"] for dag in cluster.json("dags")}
    assert {"hello", "diamond", "packages", "flaky", "region_report"} <= names
    run = cluster.submit("hello")
    cluster.finish(run)
    assert [r["run"] for r in json.loads(cluster.ok("runs", "-o", "json"))] == ["hello/1"]
