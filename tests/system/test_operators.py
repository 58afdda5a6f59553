"""Operators of one's own: found, told, heard; their notes outlive whatever dies; and those that break the contract are
told from tasks that fail. docs/operators.md."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys

import pytest

import reeve
from reeve import ROOT, files_below, wait_until
from terminal import Terminal

CONFORMANCE = ROOT / "tests/operators/conformance.py"
EXAMPLES = ROOT / "operators/examples"
BREACHES = ["garbage", "unended", "unknown", "mistyped", "backwards", "flood", "oversized", "lingers", "denies"]
BAD = [*BREACHES, "dies", "deaf", "leaks", "mute", "foreign"]

# Says what it is told to, at the pace of files that the test makes.
PACED = """#!/usr/bin/env python3
import json, os, pathlib, sys, time
if sys.argv[1:] == ["--describe"]:
    sys.exit(print('{"reeve": 1, "version": "7"}'))
worker = os.fdopen(3, "rb+", buffering=0)
task = json.loads(worker.readline())
folder = pathlib.Path(task["with"]["folder"])
def mark(name):
    (folder / f"{name}.{task['attempt']}").touch()
def say(**message):
    worker.write(json.dumps(message).encode() + b"\\n")
say(type="output", outputs={"first": 1, "replaced": 1})
say(type="progress", text="halfway", done=1, total=2)
mark("started")
while "asks" in task["with"] and not (folder / task["with"]["asks"]).exists():
    time.sleep(0.01)
say(type="note", id=1, note={"of": task["attempt"], "tag": task["tag"]})
mark("noted")
answer = json.loads(worker.readline())
mark("answered")
while not (folder / "go").exists():
    time.sleep(0.01)
say(type="output", outputs={"replaced": 2, "notes": task["notes"], "answer": answer})
if task["with"].get("fails") and task["attempt"] == 1:
    say(type="error", error="the first attempt fails", retry=task["with"].get("retry", True))
    sys.exit(3)
"""


def conformance(program, *arguments, patience_s=60):
    return subprocess.run([sys.executable, CONFORMANCE, program, "--timeout", str(patience_s), *arguments],
                          capture_output=True, text=True, timeout=300, check=False)


def with_operators(cluster, *programs, workers=1):
    """The cluster, with these operators: paths, or (name, text)."""
    folder = cluster.folder / "operators"
    folder.mkdir()
    for program in programs:
        if isinstance(program, tuple):
            (folder / f"reeve-op-{program[0]}").write_text(program[1])
            (folder / f"reeve-op-{program[0]}").chmod(0o755)
        else:
            (folder / program.name).symlink_to(program)
    cluster.env["REEVE_OPERATOR_PATH"] = str(folder)
    cluster.start(workers=workers)
    return cluster


def bad_one(folder, name):
    link = folder / f"reeve-op-{name}"
    link.symlink_to(ROOT / "tests/operators/bad.py")
    return link


@pytest.fixture
def paced(cluster):
    return with_operators(cluster, ("paced", PACED))


def submit_paced(cluster, **options):
    task = {"operator": "paced", "with": {"folder": str(cluster.folder), **options}, "retries": 2, "retry_delay": "1s"}
    return cluster.submit(cluster.dag("d", {"a": task}))


def wait_for(cluster, name):
    wait_until((cluster.folder / name).exists, what=f"the operator's mark {name}")


def notes_of(outputs):
    return [(note["attempt"], note["id"], note["note"]["of"]) for note in outputs["notes"]]


# ---- the conformance test ----

@pytest.mark.parametrize("program, options", [
    ("reeve-op-greet", ["--with", '{"who": "you"}', "--bad", "{}"]),
    ("reeve-op-sum", ["--with", '{"numbers": [1, 2]}'])])
def test_conformance_passes_for_the_examples(program, options):
    result = conformance(EXAMPLES / program, *options)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow if name in ("deaf", "lingers") else ()) for name in BAD])
def test_conformance_fails_for_a_bad_one(tmp_path, name):
    result = conformance(bad_one(tmp_path, name), patience_s=4)
    assert result.returncode == 1 and "FAIL" in result.stdout, result.stdout + result.stderr


# ---- found, and waited for ----

def test_operators_are_listed_with_versions_and_problems(cluster):
    with_operators(cluster, EXAMPLES / "reeve-op-greet", ("shy", "#!/bin/sh\n"),
                   ("poor", "#!/bin/sh\necho '{\"reeve\": 1, \"version\": \"2\", \"problem\": \"no curl here\"}'\n"))
    listed = {one["operator"]: one for one in cluster.json("operators")}
    assert listed["greet"] == {"operator": "greet", "worker": "w1", "worker_state": "up", "version": "1.0", "problem": None}
    assert listed["poor"]["problem"] == "no curl here" and listed["poor"]["version"] == "2"
    assert "does not describe itself" in listed["shy"]["problem"]
    assert "no curl here" in cluster.ok("operators")


def test_task_waits_for_a_worker_that_has_its_operator(started):
    run = started.submit(started.dag("d", {
        "a": {"operator": "paced", "with": {"folder": str(started.folder)}}, "b": {"bash": "true"}}))
    wait_until(lambda: started.tasks(run)["b"]["state"] == "success", what="the other task")
    assert started.tasks(run)["a"]["state"] == "ready"
    said = started.ok("explain", f"{run}/a")
    assert 'has the operator "paced"' in said and "w1 lacks it" in said
    assert 'operator "paced"' in started.ok("status", run)
    (started.folder / "go").touch()
    folder = started.folder / "later"
    folder.mkdir()
    (folder / "reeve-op-paced").write_text(PACED)
    (folder / "reeve-op-paced").chmod(0o755)
    started.start_worker("w3", "--operator-path", str(folder))
    started.finish(run)
    assert started.tasks(run)["a"]["attempts"][0]["worker"] == "w3"


# ---- what it says ----

def test_outputs_notes_and_progress_are_shown(paced):
    run = submit_paced(paced)
    wait_for(paced, "answered.1")
    task = wait_until(lambda: [t for t in paced.tasks(run).values() if t["progress"]], what="progress")[0]
    assert (task["progress"], task["progress_done"], task["progress_total"]) == ("halfway", 1, 2)
    assert task["notes"][0]["note"]["of"] == 1 and task["notes"][0]["id"] == 1
    text = paced.ok("status", run)
    assert "halfway" in text and '"of":1' in text
    (paced.folder / "go").touch()
    paced.finish(run)
    outputs = paced.tasks(run)["a"]["attempts"][0]["outputs"]
    assert outputs["first"] == 1 and outputs["replaced"] == 2 and outputs["answer"] == {"type": "noted", "id": 1}


def test_progress_is_in_the_live_table_and_in_its_lines(paced):
    path = paced.dag("live", {"a": {"operator": "paced", "with": {"folder": str(paced.folder)}}})
    lines = subprocess.Popen([reeve.program("reeve"), "submit", path, "--wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=paced.env, text=True)
    wait_for(paced, "answered.1")
    terminal = Terminal(paced, "wait", "live/1")
    terminal.until("1 of 2, halfway")
    assert "1 of 2, halfway" in paced.ok("status", "live/1")
    told = []
    while not told or "halfway" not in told[-1]:
        told.append(lines.stderr.readline())
        assert told[-1], told
    assert told[-1].endswith(" a running: 1 of 2, halfway\n"), told
    (paced.folder / "go").touch()
    assert terminal.end() == 0
    out, err = lines.communicate(timeout=60)
    assert lines.returncode == 0 and out == "live/1\n" and "\x1b" not in "".join(told) + err


def test_a_retry_is_told_what_was_noted(paced):
    (paced.folder / "go").touch()
    run = submit_paced(paced, fails=True)
    paced.finish(run)
    first, second = paced.tasks(run)["a"]["attempts"]
    assert (first["reason"], first["error"], first["exit_code"]) == ("exit_code", "the first attempt fails", 3)
    assert notes_of(second["outputs"]) == [(1, 1, 1)]


def test_an_error_that_no_retry_helps_ends_the_task(paced):
    (paced.folder / "go").touch()
    run = submit_paced(paced, fails=True, retry=False)
    paced.finish(run, status=1)
    task = paced.tasks(run)["a"]
    assert len(task["attempts"]) == 1 and task["error"] == "the first attempt fails"
    paced.kill("master")
    paced.start_master()
    assert paced.tasks(run)["a"]["state"] == "failed"


# ---- kill -9 between a note and its answer ----

@pytest.mark.parametrize("victims", [["w1"], ["master"], ["master", "w1"]], ids="+".join)
def test_a_note_survives_kill_9_before_its_answer(paced, victims):
    run = submit_paced(paced, fails=True, asks="speak")
    wait_for(paced, "started.1")
    master = paced.processes["master"]
    os.kill(master.pid, signal.SIGSTOP)  # nobody can answer
    (paced.folder / "speak").touch()
    wait_for(paced, "noted.1")
    assert not (paced.folder / "answered.1").exists()
    for name in victims:
        paced.kill(name)
    if "master" not in victims:
        os.kill(master.pid, signal.SIGCONT)
    else:
        paced.start_master()
    if "w1" in victims:
        paced.start_worker("w1")
    wait_for(paced, "answered.1")
    (paced.folder / "go").touch()
    paced.finish(run)
    task = paced.tasks(run)["a"]
    assert [attempt["state"] for attempt in task["attempts"]] == ["failed", "success"]
    assert task["attempts"][0]["error"] == "the first attempt fails"
    assert notes_of(task["attempts"][1]["outputs"]) == [(1, 1, 1)]


def test_outputs_and_error_survive_kill_9_of_the_agent(paced):
    run = submit_paced(paced)
    wait_for(paced, "answered.1")
    paced.kill("w1")
    (paced.folder / "go").touch()
    paced.start_worker("w1")
    paced.finish(run)
    outputs = paced.tasks(run)["a"]["attempts"][0]["outputs"]
    assert (outputs["first"], outputs["replaced"]) == (1, 2)


# ---- breaches are told from failures ----

@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_is_no_failure_of_the_task(cluster, name):
    (cluster.folder / "bad").mkdir()
    with_operators(cluster, bad_one(cluster.folder / "bad", name))
    run = cluster.submit(cluster.dag("d", {"a": {"operator": name, "kill_grace": "1s", "lease": "60s"}}))
    cluster.finish(run, status=1)
    attempt = cluster.tasks(run)["a"]["attempts"][0]
    assert attempt["state"] == "failed" and attempt["reason"] == "operator", attempt
    assert attempt["error"]


def test_an_operator_that_dies_is_told_by_its_signal(cluster):
    (cluster.folder / "bad").mkdir()
    with_operators(cluster, *(bad_one(cluster.folder / "bad", name) for name in ("dies", "deaf", "mute", "foreign")))
    run = cluster.submit(cluster.dag("d", {
        "a": {"operator": "dies"}, "b": {"operator": "deaf", "execution_timeout": "1s", "kill_grace": "1s"}}))
    cluster.finish(run, status=1)
    tasks = cluster.tasks(run)
    assert tasks["a"]["attempts"][0]["reason"] == "signal" and tasks["b"]["attempts"][0]["reason"] == "timeout"
    problems = {one["operator"]: one["problem"] for one in cluster.json("operators")}
    assert problems["mute"] and problems["foreign"] and not problems["dies"]


def test_secrets_and_words_stay_on_descriptor_3(paced):
    """The task line is in no argument, no variable and no file of the worker."""
    run = submit_paced(paced, word="0f1e2d3c-only-on-fd-3")
    wait_for(paced, "answered.1")
    secret = b"0f1e2d3c-only-on-fd-3"
    found = [str(path) for path, content in files_below(paced.folder / "w1").items() if secret in content]
    for pid in paced.processes_left():
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                if secret in pathlib.Path(f"/proc/{pid}/{name}").read_bytes():
                    found.append(f"{pid} {name}")
    (paced.folder / "go").touch()
    paced.finish(run)
    assert not found
