"""The checker of the ledger must be able to fail: each violation, written by hand, is seen."""

import os
import subprocess

import ledger

FINE = """\
start d/1 a 1 1 10.00 100
end d/1 a 1 1 10.10 100
start d/1 b 1 1 10.10 101
end d/1 b 1 1 10.30 101
"""
CHAIN = {"a": [], "b": ["a"]}
BOTH = [("d/1", "a"), ("d/1", "b")]


def wrong(tmp_path, text, **known):
    path = tmp_path / "ledger"
    path.write_text(text)
    return ledger.check(ledger.read(path), **known)


def test_fine_ledger_has_nothing_wrong(tmp_path):
    assert wrong(tmp_path, FINE, expected=BOTH, parents=CHAIN) == []


def test_task_without_end_is_lost(tmp_path):
    cut = FINE.replace("end d/1 b 1 1 10.30 101\n", "")
    assert wrong(tmp_path, cut, expected=BOTH) == ["d/1/b is lost: it never ended"]


def test_task_that_never_started_is_lost(tmp_path):
    assert wrong(tmp_path, FINE, expected=[*BOTH, ("d/1", "c")]) == ["d/1/c is lost: it never ended"]


def test_same_attempt_twice_is_seen(tmp_path):
    twice = FINE + "start d/1 a 1 1 10.50 102\nend d/1 a 1 1 10.60 102\n"
    assert wrong(tmp_path, twice, expected=BOTH) == [
        "d/1/a@1 started twice", "d/1/a@1 ended twice", "d/1/a ended 2 times"]


def test_second_attempt_after_success_is_seen(tmp_path):
    again = FINE + "start d/1 a 2 1 10.50 102\nend d/1 a 2 1 10.60 102\n"
    assert wrong(tmp_path, again, expected=BOTH) == ["d/1/a ended 2 times"]


def test_attempts_side_by_side_are_seen(tmp_path):
    text = ("start d/1 a 1 1 10.00 100\nstart d/1 a 2 1 10.20 102\n"
            "end d/1 a 1 1 10.30 100\nend d/1 a 2 1 10.40 102\n")
    found = wrong(tmp_path, text)
    assert "d/1/a@2 started while @1 had not ended" in found
    assert "d/1/a@1 ended while @2 was at work" in found


def test_attempt_after_a_lost_one_is_fine(tmp_path):
    text = "start d/1 a 1 1 10.00 100\nstart d/1 a 2 2 10.20 102\nend d/1 a 2 2 10.40 102\n"
    assert wrong(tmp_path, text, expected=[("d/1", "a")], lost=[("d/1", "a", 1)]) == []


def test_attempt_after_one_that_vanished_is_seen(tmp_path):
    text = "start d/1 a 1 1 10.00 100\nstart d/1 a 2 2 10.20 102\nend d/1 a 2 2 10.40 102\n"
    assert "d/1/a@2 started while @1 had not ended" in wrong(tmp_path, text)


def test_lost_attempt_that_goes_on_is_seen(tmp_path):
    text = ("start d/1 a 1 1 10.00 100\nstart d/1 a 2 2 10.20 102\n"
            "end d/1 a 1 1 10.30 100\nend d/1 a 2 2 10.40 102\n")
    assert "d/1/a@1 ended while @2 was at work" in wrong(tmp_path, text, lost=[("d/1", "a", 1)])


def test_lower_attempt_after_a_higher_one_is_seen(tmp_path):
    text = "start d/1 a 2 1 1.0 9\nend d/1 a 2 1 1.1 9\nstart d/1 a 1 1 1.2 9\nend d/1 a 1 1 1.3 9\n"
    assert "d/1/a@1 started after @2" in wrong(tmp_path, text)


def test_overlap_found_by_the_lock_is_seen(tmp_path):
    text = "start d/1 a 1 1 1.0 9\noverlap d/1 a 2 1 1.1 10\nstart d/1 a 2 1 1.1 10\nend d/1 a 2 1 1.2 10\n"
    found = wrong(tmp_path, text, lost=[("d/1", "a", 1)])
    assert found == ["d/1/a@2 found processes of another attempt alive"]


def test_child_before_its_parents_end_is_seen(tmp_path):
    lines = FINE.splitlines(keepends=True)
    early = lines[0] + lines[2].replace("10.10", "10.05") + lines[1] + lines[3]
    assert wrong(tmp_path, early, parents=CHAIN) == ["d/1/b@1 started before a above it ended"]


def test_child_before_its_parents_end_by_time_alone_is_seen(tmp_path):
    early = FINE.replace("start d/1 b 1 1 10.10", "start d/1 b 1 1 10.05")
    assert wrong(tmp_path, early, parents=CHAIN) == ["d/1/b@1 started before a above it ended"]


def test_order_holds_through_tasks_that_write_nothing(tmp_path):
    through = {"a": [], "n1": ["a"], "n2": ["n1"], "b": ["n2"]}
    lines = FINE.splitlines(keepends=True)
    early = lines[2].replace("10.10", "9.90") + lines[3].replace("10.30", "9.95") + lines[0] + lines[1]
    assert wrong(tmp_path, FINE, parents=through) == []
    assert wrong(tmp_path, early, parents=through) == ["d/1/b@1 started before a above it ended"]


def test_child_of_a_parent_without_end_is_seen(tmp_path):
    assert wrong(tmp_path, FINE.replace("end d/1 a 1 1 10.10 100\n", ""), parents=CHAIN) == [
        "d/1/a never ended, and tasks below it started"]


def test_epoch_that_falls_is_seen(tmp_path):
    text = "start d/1 a 1 5 1.0 9\nend d/1 a 1 5 1.1 9\nstart d/1 a 2 4 1.2 9\nend d/1 a 2 4 1.3 9\n"
    assert "d/1/a: epoch falls from 5 to 4" in wrong(tmp_path, text)


def test_script_writes_lines_that_the_reader_knows(tmp_path):
    path, locks = tmp_path / "ledger", tmp_path / "locks"
    locks.mkdir()
    env = {**os.environ, "REEVE_RUN_ID": "d/1", "REEVE_TASK": "a", "REEVE_ATTEMPT": "1", "REEVE_EPOCH": "7"}
    subprocess.run(["bash", "-eo", "pipefail", "-c", ledger.script(path, locks=locks)], env=env, check=True)
    lines = ledger.read(path)
    assert [(line.kind, line.run, line.task, line.attempt, line.epoch) for line in lines] == [
        ("start", "d/1", "a", 1, 7), ("end", "d/1", "a", 1, 7)]
    assert ledger.check(lines, expected=[("d/1", "a")], parents={"a": []}) == []


def test_script_sees_a_lock_that_a_child_of_another_attempt_holds(tmp_path):
    path, locks = tmp_path / "ledger", tmp_path / "locks"
    locks.mkdir()
    env = {**os.environ, "REEVE_RUN_ID": "d/1", "REEVE_TASK": "a", "REEVE_EPOCH": "7"}
    left = ledger.script(path, body="sleep 60 & echo $! >&3", locks=locks)
    reader, writer = os.pipe()
    subprocess.run(["bash", "-c", f"exec 3>&{writer}\n" + left], pass_fds=[writer], check=True,
                   env={**env, "REEVE_ATTEMPT": "1"})
    child = int(os.read(reader, 32))
    os.close(reader)
    os.close(writer)
    try:
        subprocess.run(["bash", "-c", ledger.script(path, locks=locks)], check=True, env={**env, "REEVE_ATTEMPT": "2"})
    finally:
        os.kill(child, 9)
    assert "overlap" in [line.kind for line in ledger.read(path)]
