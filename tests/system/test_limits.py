"""`memory` and `cpus` of tasks, with real processes: what ends, with which words, and what is said of the worker.
docs/dag-file.md, Memory and processors."""

import os
import pathlib
import subprocess
import sys

import pytest

from reeve import Cluster, cgroups_of, is_removed, program, wait_until

PYTHON = sys.executable
# Every page is touched: memory that is only reserved is no use of it.
EATER = [PYTHON, "-c", "x = b'x' * (200 << 20)"]
OVER = "killed: it needed more than its memory limit of 64MiB"


@pytest.fixture(scope="module", name="limits")
def limits_fixture():
    """A worker with eight slots, and how it bounds."""
    cluster = Cluster()
    try:
        cluster.start(workers=1, slots=8)
        yield cluster
    finally:
        cluster.close()


def means(cluster):
    worker, = cluster.json("workers")
    return worker["memory_limit_by"], worker["cpu_limit_by"]


def whole_tasks(cluster):
    """Skips where memory is bounded for each process alone."""
    if means(cluster)[0] == "rlimit":
        pytest.skip("no cgroup with the memory controller may be used here: memory is bounded by rlimit")


def run(cluster, name, tasks, status=1, **keys):
    """The tasks' ends, and the run's name."""
    name = cluster.submit(cluster.dag(name, tasks, **keys))
    cluster.finish(name, status=status)
    return cluster.tasks(name), name


def test_worker_says_how_it_bounds_tasks(limits):
    memory, cpus = means(limits)
    assert memory in ("cgroup", "cgroup-v1", "rlimit") and cpus in ("cgroup", "cgroup-v1", "affinity")
    assert ("limits each process" if memory == "rlimit" else "limits a whole task") in limits.log_of("w1")


@pytest.mark.parametrize("operator", [{"exec": EATER}, {"bash": f"exec {PYTHON} -c 'x = b\"x\" * (200 << 20)'"},
                                      {"python": "x = b'x' * (200 << 20)"}], ids=lambda operator: next(iter(operator)))
def test_task_over_its_memory_is_out_of_memory_whatever_its_operator(limits, operator):
    whole_tasks(limits)
    tasks, _ = run(limits, "over", {"eat": operator}, default_args={"memory": "64MiB"})
    eat = tasks["eat"]
    assert (eat["state"], eat["reason"]) == ("failed", "out_of_memory"), eat
    assert eat["error"].startswith(OVER), eat


# Four that would each fit, gone from their session and environment; the first that ends ends it.
FOUR = """
import os, subprocess, sys
one = [sys.executable, "-c", "import sys; x = b'x' * (30 << 20); sys.stdin.read()"]
four = [subprocess.Popen(one, stdin=subprocess.PIPE, env={}, start_new_session=True) for _ in range(4)]
os.wait()
sys.exit(3)
"""


def test_processes_of_a_task_are_bounded_together(limits):
    whole_tasks(limits)
    tasks, _ = run(limits, "together", {"eat": {"exec": [PYTHON, "-c", FOUR], "memory": "64MiB"}})
    assert (tasks["eat"]["state"], tasks["eat"]["reason"]) == ("failed", "out_of_memory"), tasks


def test_tasks_within_or_without_a_limit_succeed(limits):
    within = [PYTHON, "-c", "x = b'x' * (20 << 20)"]
    tasks, name = run(limits, "within", {
        "in": {"exec": within}, "none": {"exec": EATER, "memory": "none", "cpus": "none"},
        "more": {"exec": EATER, "memory": "900 GiB", "cpus": 1024}},
        status=0, default_args={"memory": "128MiB", "cpus": 0.5})
    assert {task["state"] for task in tasks.values()} == {"success"}, limits.reeve("logs", name).out


def test_cgroups_of_limits_go_with_their_attempts(limits):
    run(limits, "gone", {f"t{n}": {"exec": ["true"], "memory": "64MiB", "cpus": 0.5} for n in range(20)}, status=0)
    instance = next((limits.folder / "w1/private").glob("runner-*.sock")).name.removeprefix("runner-").removesuffix(".sock")

    def kept():
        return [names for own in cgroups_of(instance) if "unified" not in str(own) and (own / "memory.limit_in_bytes").exists()
                for _, names, _ in os.walk(own) if names]
    wait_until(lambda: not kept(), what="the end of their cgroups")


@pytest.fixture(scope="module", name="bare")
def bare_fixture():
    """A worker in a mount namespace of its own, in which there are no cgroups."""
    hide = ["unshare", "--mount", "sh", "-c", 'umount -l /sys/fs/cgroup && exec "$@"', "sh"]
    tried = subprocess.run([*hide, "true"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"no mount namespace without cgroups: {tried.stderr}")
    cluster = Cluster()
    try:
        cluster.start_master()
        cluster.spawn("w1", *hide, program("reeve-worker"), "--data", str(cluster.folder / "w1"), "--join",
                      str(cluster.data), "--name", "w1", "--slots", "2")
        wait_until(lambda: cluster.workers_up() == {"w1"}, what="the worker")
        yield cluster
    finally:
        cluster.close()


def test_without_cgroups_each_process_is_bounded_and_it_is_said(bare):
    assert means(bare) == ("rlimit", "affinity")
    assert "limits each process" in bare.log_of("w1")
    tasks, name = run(bare, "each", {"eat": {"python": "x = b'x' * (200 << 20)"}}, default_args={"memory": "64MiB"})
    assert (tasks["eat"]["state"], tasks["eat"]["reason"]) == ("failed", "exit_code"), tasks
    assert "MemoryError" in bare.ok("logs", f"{name}/eat")


def test_without_cgroups_a_task_runs_on_as_many_processors(bare):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor only")
    count = [PYTHON, "-c", "import os; print(len(os.sched_getaffinity(0)))"]
    _, name = run(bare, "pinned", {"one": {"exec": count, "cpus": 0.3}, "all": {"exec": count}}, status=0)
    assert bare.ok("logs", f"{name}/one").strip() == "1"
    assert int(bare.ok("logs", f"{name}/all")) == len(os.sched_getaffinity(0))


def test_cgroups_are_made_beside_the_leaf_that_holds_agent_and_runner():
    """As systemd's DelegateSubgroup has it: the unit's own cgroup holds no process, and could hand controllers on."""
    unit = next((root for root in map(pathlib.Path, ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"))
                 if (root / "cgroup.controllers").exists()), pathlib.Path("/")) / f"rv{os.getpid()}"
    try:
        (unit / "reeve-worker").mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"no cgroup v2 that may be used: {error}")
    cluster = Cluster()
    try:
        cluster.start_master()
        cluster.spawn("w1", "sh", "-c", f'echo $$ >{unit}/reeve-worker/cgroup.procs && exec "$@"', "sh",
                      program("reeve-worker"), "--data", str(cluster.folder / "w1"), "--join", str(cluster.data), "--name",
                      "w1")
        wait_until(lambda: cluster.workers_up() == {"w1"}, what="the worker")
        _, name = run(cluster, "where", {"own": {"bash": "grep ^0: /proc/self/cgroup"}}, status=0)
        instance = next((cluster.folder / "w1/private").glob("runner-*.sock")).name[len("runner-"):-len(".sock")]
        assert f"/{unit.name}/reeve-{instance}/" in cluster.ok("logs", f"{name}/own")
        cluster.stop_worker("w1")
        assert not (unit / f"reeve-{instance}").exists(), "the runner removed its own"
    finally:
        cluster.close()
        wait_until(lambda: is_removed(unit), what="the end of the unit's cgroup")
