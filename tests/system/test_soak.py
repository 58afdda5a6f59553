"""A soak of a minute (FAULTS 34). And its checkers must be able to fail: what it watches for, written by hand, is seen."""

import collections
import os
import pathlib
import signal
import subprocess
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "soak"))

import faulty  # noqa: E402
import gauges  # noqa: E402
import ledger  # noqa: E402
import people  # noqa: E402
import reeve  # noqa: E402
import verdict  # noqa: E402
import workload  # noqa: E402

SCRIPT = pathlib.Path(gauges.__file__).with_name("soak.py")
SANITIZED = faulty.built_with("__asan_init") or faulty.built_with("__tsan_init")
Sample = gauges.Sample
KIND = workload.Kind("d", None, "success", {"a": "success"}, {"a": []}, {"a"}, {"a": 2}, False)


def samples(phase, sizes, fds=20, pids=None):
    return [Sample(n, phase, "w1", pids[n] if pids else 7, 10, size, fds) for n, size in enumerate(sizes)]


def attempt(number, state="success", reason=None):
    return {"attempt": number, "state": state, "reason": reason}


def status(state="success", task="success", attempts=(attempt(1),)):
    return {"run": "d/1", "dag": "d", "state": state,
            "tasks": [{"task": "a", "state": task, "error": None, "attempts": list(attempts)}]}


def line(kind, number, position=0):
    return ledger.Line(position, kind, "d/1", "a", number, 1, 1.0, 99)


def test_memory_that_grows_in_the_calm_is_seen():
    assert gauges.calm_wrong(samples("calm", [10000] * 30)) == []
    assert gauges.calm_wrong(samples("calm", range(10000, 40000, 1000))) == [
        "memory of w1 grew in the calm: from 14500 to 34500 KiB"]


def test_memory_that_grows_from_restart_to_restart_is_seen():
    assert gauges.incarnations_wrong(samples("faults", [10000] * 30, pids=range(30))) == []
    assert "from restart to restart" in gauges.incarnations_wrong(
        samples("faults", range(10000, 40000, 1000), pids=range(30)))[0]


def test_logs_left_open_count_only_beyond_their_bound():
    logs = [f"/tmp/m/logs/0a/{n}.0.1.log" for n in range(64)]
    indices = [log.replace(".log", ".idx") for log in logs]
    others = ["socket:[7]", "/tmp/m/store.db", "/tmp/m/logs"]
    assert gauges.descriptors_of(others + logs) == gauges.descriptors_of(others + logs + indices) == 3
    assert gauges.descriptors_of(others + logs + indices + logs[:10]) == 13


def test_descriptors_that_stay_open_are_seen():
    before, after = samples("idle before", [10000] * 5), samples("idle after", [10000] * 5, fds=40)
    assert gauges.idle_wrong(before + after) == ["descriptors of w1 grew from idle to idle: from 20 to 40"]


def test_descriptors_that_grow_under_load_are_seen_where_there_are_values_enough():
    few = [Sample(n, "calm", "w1", 7, 10, 10000, 20 + 10 * (n > 7)) for n in range(12)]
    assert gauges.calm_wrong(few) == []
    many = [Sample(n, "calm", "w1", 7, 10, 10000, 20 + 10 * (n > 15)) for n in range(24)]
    assert gauges.calm_wrong(many) == ["descriptors of w1 grew in the calm: from 20 to 30"]


def test_acknowledged_submit_that_vanished_and_run_that_nobody_asked_for_are_seen():
    record = people.Record()
    record.runs = {"d/1": "d"}
    assert verdict.check_submits(record, {"d/1": {"dag": "d"}}) == []
    assert verdict.check_submits(record, {}) == ["d/1 was acknowledged and is not there"]
    assert len(verdict.check_submits(record, {"d/1": {"dag": "d"}, "d/2": {"dag": "d"}})) == 1
    record.unanswered = collections.Counter(d=1)
    assert verdict.check_submits(record, {"d/1": {"dag": "d"}, "d/2": {"dag": "d"}}) == []


def test_run_with_another_end_than_its_kind_is_seen_when_nobody_touched_it():
    assert verdict.check_run(KIND, status(), True) == []
    assert len(verdict.check_run(KIND, status("failed", "failed"), True)) == 2
    assert verdict.check_run(KIND, status("failed", "failed"), False) == []


def test_anything_alive_at_the_end_is_seen():
    assert verdict.check_run(KIND, status("running"), False) == ["d/1 has not ended: running"]
    assert len(verdict.check_run(KIND, status(task="ready"), False)) == 1
    assert len(verdict.check_run(KIND, status(attempts=[attempt(1, "unreachable")]), False)) == 1


def test_attempts_are_held_against_the_ledger():
    both = [line("start", 1), line("end", 1)]
    assert verdict.check_attempts(KIND, status(), both) == []
    assert verdict.check_attempts(KIND, status(), both[:1]) == ["d/1/a@1 is success and has 0 lines 'end'"]
    assert verdict.check_attempts(KIND, status(), both * 2) != []
    assert verdict.check_attempts(KIND, status(attempts=[attempt(1, "lost"), attempt(2, "lost")]), both[:1]) == []
    assert verdict.check_attempts(KIND, status(), [*both, line("start", 2)]) == [
        "d/1/a@2 wrote, and reeve knows no such attempt"]


def test_overlap_is_seen_in_runs_that_were_touched_too():
    lines = [line("start", 1, 0), line("start", 2, 1), line("overlap", 2, 2), line("end", 2, 3)]
    for untouched in ({"d/1"}, set()):
        wrong = verdict.check_ledger(KIND, [status(attempts=[attempt(1, "lost"), attempt(2)])], lines, untouched)
        assert wrong == ["d/1/a@2 found processes of another attempt alive"]


@pytest.mark.slow
@pytest.mark.weight(40)
@pytest.mark.skipif(SANITIZED, reason="memory under a sanitizer says nothing about its growth")
def test_34_random_kills_under_load_for_a_minute_keep_the_ledger_exact_and_memory_and_descriptors_flat(dice):
    """Most of the time is faults, the rest a calm. It ends its own cluster; told to end early too."""
    command = [sys.executable, SCRIPT, "--minutes", "1.2", "--workers", "2", "--seed", str(dice.randrange(10**6))]
    soak = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, env={**os.environ, "REEVE_BIN": str(reeve.BIN)})
    try:
        said, _ = soak.communicate(timeout=900)
    finally:
        if soak.poll() is None:
            soak.send_signal(signal.SIGINT)
            soak.wait(timeout=60)
    assert soak.returncode == 0, said
    assert "nothing wrong" in said.splitlines()[-1], said
