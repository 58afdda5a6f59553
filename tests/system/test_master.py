"""The master by itself: where it refuses to live, what it does on a full disk, what it remembers."""

import os
import signal
import stat
import subprocess

import pytest

from reeve import PATIENCE, program, wait_until


def run_master(cluster, *arguments):
    """reeve-master to its own end: (status, stderr)"""
    done = subprocess.run([program("reeve-master"), *map(str, arguments)], capture_output=True, text=True,
                          timeout=30 * PATIENCE, env=cluster.env, cwd=cluster.folder, check=False)
    return done.returncode, done.stderr


def test_folder_in_use_is_refused_and_left_alone(cluster):
    cluster.start_master()
    status, err = run_master(cluster, "--data", cluster.data)
    assert status == 7 and f"in use by process {cluster.processes['master'].pid}" in err
    assert cluster.reeve("ping").status == 0


def test_folder_of_something_else_is_refused_by_name_and_left_alone(cluster):
    foreign = cluster.folder / "mine"
    foreign.mkdir(mode=0o755)
    (foreign / "thesis.txt").write_text("x")
    status, err = run_master(cluster, "--data", foreign)
    assert status == 7 and str(foreign) in err
    assert os.listdir(foreign) == ["thesis.txt"] and stat.S_IMODE(foreign.stat().st_mode) == 0o755
    assert run_master(cluster, "--data", foreign / "thesis.txt")[0] == 7
    long = cluster.folder / ("x" * 100)
    status, err = run_master(cluster, "--data", long)
    assert status == 2 and "too long for its sockets" in err
    assert not long.exists()


def test_folder_is_closed_to_others_and_sockets_too(cluster):
    cluster.data.mkdir(mode=0o755)
    cluster.start_master()
    assert stat.S_IMODE(cluster.data.stat().st_mode) == 0o700
    for name in ("control.sock", "worker.sock", "bulk.sock"):
        assert stat.S_IMODE((cluster.data / name).stat().st_mode) == 0o600


def test_store_of_something_else_is_refused_by_name(cluster):
    cluster.data.mkdir()
    (cluster.data / "store.db").write_bytes(b"not a database, but long enough to look like one" * 100)
    status, err = run_master(cluster, "--data", cluster.data)
    assert status != 0 and "store.db" in err
    assert (cluster.data / "store.db").read_bytes().startswith(b"not a database")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_master_that_is_told_to_stop_ends_with_0(cluster, number):
    cluster.start_master()
    assert cluster.kill("master", number) == 0
    assert "stopped" in cluster.log_of("master")


def test_submit_that_was_acknowledged_survives_kill_9(cluster):
    cluster.start_master()
    file = cluster.dag("d", {"a": {"noop": None}})
    runs = [cluster.submit(file) for _ in range(5)]
    assert runs == [f"d/{n}" for n in range(1, 6)]
    key = cluster.submit(file, "--key", "k")
    cluster.kill("master")
    cluster.start_master()
    assert cluster.submit(file, "--key", "k") == key
    assert [run["run"] for run in cluster.json("runs")] == [key, *reversed(runs)]
    assert all(run["state"] == "running" for run in cluster.json("runs"))
    cluster.start_worker("w1")
    for run in runs:
        cluster.finish(run)


def test_ended_run_is_shown_after_a_restart_as_before(cluster):
    cluster.start(workers=1)
    file = cluster.dag("d", {"a": {"bash": "exit 3"}, "b": {"noop": None, "needs": "a"}})
    run = cluster.submit(file)
    cluster.finish(run, status=1)
    before = cluster.json("status", run)
    cluster.kill("master")
    cluster.start_master()
    assert cluster.json("status", run) == before
    assert cluster.json("status", "last") == before
    cluster.ok("mark", f"{run}/a", "success")
    cluster.ok("retry", run)
    cluster.finish(run)


def test_dag_files_are_read_again_when_they_change(cluster):
    file = cluster.dag("d", {"a": {"noop": None}})
    cluster.start_master("--dags", str(file.parent.parent))
    assert cluster.submit("d") == "d/1"
    file.write_text(file.read_text().replace('"d"', '"renamed"'))
    assert cluster.submit("renamed") == "renamed/1"
    result = cluster.reeve("submit", "d")
    assert result.status == 6
    (file.parent / "other.yaml").write_text(file.read_text())
    result = cluster.reeve("submit", "renamed")
    assert result.status == 3 and "d.yaml" in result.err and "other.yaml" in result.err
    error = {line["dag"]: line["error"] for line in cluster.json("dags")}["renamed"]
    assert "d.yaml" in error and "other.yaml" in error


@pytest.fixture
def small_disk(cluster):
    """A file system of 8 MiB in the place of the master's folder."""
    cluster.data.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", cluster.data],
                             capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount")
    yield cluster.data
    cluster.end_all()
    subprocess.run(["umount", "-l", cluster.data], check=False)


def fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def test_full_disk_refuses_work_by_name_and_goes_on_when_there_is_space(cluster, small_disk):
    cluster.start(workers=1)
    file = cluster.dag("d", {"a": {"noop": None}})
    cluster.finish(cluster.submit(file))
    cluster.submit(file, "--key", "before")
    fill(small_disk / "filler")

    # The first one that meets the full disk is told that it waits, and the next ones are refused.
    def refused():
        result = cluster.reeve("mark", "d/1/a", "success")
        assert result.status in (0, 7), result
        return "nothing can be recorded until there is space" in result.err and result

    result = wait_until(refused, what="a refusal")
    assert result.status == 7 and str(small_disk) in result.err
    assert cluster.reeve("submit", file).status == 7
    assert cluster.reeve("ping").status == 0
    assert cluster.json("status", "d/1")["state"] == "success"
    wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up")
    (small_disk / "filler").unlink()
    wait_until(lambda: cluster.reeve("submit", file, "--key", "after").status == 0, what="an accepted submit")
    cluster.finish(cluster.submit(file, "--key", "after"))


def test_full_disk_at_the_start_is_refused_by_name(cluster, small_disk):
    fill(small_disk / "store.db.fill")
    (small_disk / "lock").touch()
    status, err = run_master(cluster, "--data", small_disk)
    assert status == 7 and "No space left" in err
