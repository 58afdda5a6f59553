"""A worker whose disk is full: what could not be prepared was never started, and goes on when there is room."""

import subprocess

import pytest

from ledger import until
from reeve import wait_until


def small_disk(cluster, name, size):
    """A file system of that size in the place of a worker's folder; what was joined is in it from then on."""
    folder = cluster.folder / name
    folder.mkdir(mode=0o711)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=711", "tmpfs", folder],
                             capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount")
    return folder


@pytest.fixture
def tight(cluster):
    """A master, and a worker w1 on a disk of 24 MiB."""
    folder = small_disk(cluster, "w1", "24m")
    try:
        cluster.start_master()
        cluster.start_worker("w1", "--join", str(cluster.data), "--name", "w1", "--slots", "2")
        wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up")
        yield cluster
    finally:
        cluster.end_all()
        subprocess.run(["umount", "-l", folder], check=False)


def fill(folder):
    with open(folder / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def note_of(cluster, name):
    return {worker["worker"]: worker["note"] for worker in cluster.json("workers")}[name] or ""


def test_task_whose_files_find_no_room_is_given_back_and_costs_no_try(tight):
    file = tight.dag("d", {"a": {"bash": "cmp data data"}}, files={"data": "x" * 1_000_000})
    fill(tight.folder / "w1")
    run = tight.submit(file)
    wait_until(lambda: "disk" in note_of(tight, "w1"), what="the note of a full disk")
    state = tight.tasks(run)["a"]
    assert state["state"] == "ready" and state["tries"] == 0, state
    assert all((a["state"], a["started_at"]) == ("lost", None) for a in state["attempts"])
    count = len(state["attempts"])
    assert 1 <= count <= 2, "a worker that says that its disk is full is given no more tasks"
    (tight.folder / "w1" / "filler").unlink()
    tight.finish(run)
    state = tight.tasks(run)["a"]
    assert state["attempts"][-1]["attempt"] == count + 1 and state["attempts"][-1]["state"] == "success"
    wait_until(lambda: "disk" not in note_of(tight, "w1"), what="room")


def test_task_goes_to_the_worker_that_has_room(tight):
    tight.start_worker("w2")
    wait_until(lambda: tight.workers_up() == {"w1", "w2"}, what="w2 up")
    fill(tight.folder / "w1")
    file = tight.dag("d", {f"t{n}": {"bash": "cmp data data"} for n in range(20)}, files={"data": "x" * 1_000_000})
    run = tight.submit(file)
    tight.finish(run)
    ends = [task["attempts"][-1] for task in tight.tasks(run).values()]
    assert {(end["state"], end["worker"]) for end in ends} == {("success", "w2")}


def test_log_that_fills_the_disk_waits_and_is_whole_when_there_is_room(tight):
    """Bounded and shown: the worker takes no more tasks, says so, and goes on by itself."""
    gate = tight.folder / "gate"
    body = f"{until(gate)}; head -c 8000000 /dev/zero | tr '\\0' x; echo"
    run = tight.submit(tight.dag("d", {"a": {"bash": body}}))
    wait_until(lambda: tight.tasks(run)["a"]["state"] == "running", what="the task's start")
    fill(tight.folder / "w1")
    gate.touch()
    wait_until(lambda: "disk is full" in note_of(tight, "w1"), what="the worker's word")
    more = tight.submit(tight.dag("more", {"b": {"bash": "true"}}))
    assert "disk" in tight.ok("explain", f"{more}/b")
    assert tight.tasks(run)["a"]["state"] == "running" and not tight.tasks(more)["b"]["attempts"]
    (tight.folder / "w1" / "filler").unlink()
    tight.finish(run)
    tight.finish(more)
    assert len(tight.ok("logs", f"{run}/a")) == 8000001
    assert "the disk has room again" in tight.log_of("w1")


@pytest.mark.slow
def test_what_needs_more_than_there_will_be_does_not_come_again_each_second(tight):
    file = tight.dag("d", {"a": {"bash": "true"}}, files={"data": "x" * 30_000_000})
    run = tight.submit(file)
    # 4, 8 and 16 MiB of room are waited for in turn, and found; 32 are not.
    wait_until(lambda: tight.log_of("w1", 1000).count("no more tasks are taken") == 4, what="tries")
    wait_until(lambda: "disk" in note_of(tight, "w1"), what="the note")
    assert len(tight.tasks(run)["a"]["attempts"]) <= 8


@pytest.mark.parametrize("room", [0, 20_000], ids=["none", "enough_for_a_log"])
def test_run_on_a_full_disk_says_so_and_leaves_nothing(cluster, room):
    file = cluster.dag("d", {"a": {"noop": None}})
    folder = small_disk(cluster, "full", "2m")
    try:
        fill(folder)
        with open(folder / "filler", "r+b") as filler:
            filler.truncate((folder / "filler").stat().st_size - room)
        result = cluster.reeve("run", file, XDG_RUNTIME_DIR=folder)
        assert result.status == 7 and "full" in result.err, result.err
        assert [path.name for path in folder.iterdir()] == ["filler"]
    finally:
        cluster.end_all()
        subprocess.run(["umount", "-l", folder], check=False)
