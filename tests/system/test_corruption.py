"""Files of a master and of a worker that were cut off, changed or put in by mistake: the program ends by their name and
with advice, before it did anything; with the file back as it was, all goes on where it stood."""

import os
import signal

import pytest

import ledger
from reeve import PATIENCE, free_port, wait_until


def flip(at):
    """One bit of the byte at `at` of the file, counted from its end when negative."""
    def change(content):
        at_ = at % len(content)
        return content[:at_] + bytes([content[at_] ^ 4]) + content[at_ + 1:]
    return change


def cut(content):
    return content[:len(content) * 2 // 3]


def zeros(content):
    return bytes(len(content))


def foreign(_):
    return b"another program's file\n"


def emptied(_):
    return b""


class Kept:
    """The regular files of a folder as they are now, to be put back in place (a new inode would be another file)."""

    def __init__(self, folder):
        self.folder = folder
        self.content = {path: path.read_bytes() for path in self.files()}

    def files(self):
        return [path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink()]

    def put_back(self):
        for path in self.files():
            if path not in self.content:
                path.unlink()
        for path, content in self.content.items():
            if not path.exists() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                mode = path.stat().st_mode if path.exists() else 0o600
                path.write_bytes(content)
                path.chmod(mode & 0o777)


def ended(cluster, name):
    """Its exit status and what it said since it was started last."""
    process = cluster.processes[name]
    assert process.wait(timeout=30 * PATIENCE) != 0
    return cluster.log_of(name, lines=1)


@pytest.fixture
def interrupted(cluster):
    """A run that waits for a file, its master and agent gone by kill -9."""
    cluster.port = free_port()
    cluster.start_master("--listen", f"tcp://127.0.0.1:{cluster.port}")
    cluster.start_worker("w1")
    wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up")
    go, path = cluster.folder / "go", cluster.folder / "ledger"
    done = cluster.dag("done", {"a": {"bash": ":"}})
    cluster.finish(cluster.submit(done))
    held = cluster.dag("held", {
        "a": {"bash": ledger.script(path, f"until [ -e {go} ]; do sleep 0.1; done")},
        "b": {"bash": ledger.script(path, ":"), "needs": ["a"]},
    })
    cluster.run = cluster.submit(held)
    wait_until(lambda: cluster.tasks(cluster.run)["a"]["state"] == "running", what="a running")
    cluster.kill("w1")
    cluster.kill("master")
    cluster.go, cluster.ledger = go, path
    return cluster


def go_on(cluster):
    """With every file as it was the run ends as if nothing had been; no attempt was lost."""
    cluster.start_master("--listen", f"tcp://127.0.0.1:{cluster.port}")
    cluster.start_worker("w1")
    cluster.go.touch()
    cluster.finish(cluster.run)
    assert [(name, len(task["attempts"])) for name, task in sorted(cluster.tasks(cluster.run).items())] == [
        ("a", 1), ("b", 1)]


MASTER = {
    # Its other pages stand in the log too, as they are after a kill; unit_damage_store has a database without one.
    "store.db": [flip(30), flip(120), zeros, foreign, emptied],
    "store.db-wal": [flip(3), flip(17), flip(100), flip(4120), zeros, foreign],
    "store.db-seal": [flip(3), flip(20), cut, foreign, emptied],
    "server.key": [flip(3), flip(40), flip(120), cut, zeros, foreign, emptied],
}
WORKER = {
    "private/key": [flip(3), flip(40), flip(120), cut, zeros, foreign, emptied],
    "private/join": [flip(3), flip(20), flip(-3), cut, zeros, foreign, emptied],
    "private/leader": [flip(3), flip(20), flip(-3), cut, zeros, foreign, emptied],
    "private/runner": [flip(3), flip(20), flip(-3), cut, zeros, foreign, emptied],
    "private/results": [flip(3), zeros, foreign, emptied],
}


def expect_refusals(cluster, name, folder, cases, start):
    kept = Kept(folder)
    for file, changes in cases.items():
        path = folder / file
        assert kept.content[path], f"{path} is empty already"
        for index, change in enumerate(changes):
            path.write_bytes(change(kept.content[path]))
            start()
            said = ended(cluster, name)
            name_and_advice = str(path) in said and ";" in said.split(str(path), 1)[1]
            assert name_and_advice, f"{file}, change {index}: {said}"
            kept.put_back()


def test_master_refuses_damaged_files_by_name(interrupted):
    cluster = interrupted
    expect_refusals(cluster, "master", cluster.data, MASTER,
                    lambda: cluster.start_master("--listen", f"tcp://127.0.0.1:{cluster.port}", wait=False))
    go_on(cluster)


def test_worker_refuses_damaged_files_by_name(interrupted):
    cluster = interrupted
    expect_refusals(cluster, "w1", cluster.folder / "w1", WORKER, lambda: cluster.start_worker("w1"))
    go_on(cluster)


def test_master_with_a_damaged_blob_names_it_or_does_not_need_it(interrupted):
    """The plan of the live run is needed at the start; files of DAGs' folders only by who runs them."""
    cluster = interrupted
    kept = Kept(cluster.data)
    named = 0
    for path in [path for path in kept.content if "blobs" in path.parts]:
        for change in (flip(len(kept.content[path]) // 2), cut):
            mode = path.stat().st_mode & 0o777
            path.chmod(0o600)
            path.write_bytes(change(kept.content[path]))
            path.chmod(mode)
            cluster.start_master(wait=False)
            process = cluster.processes["master"]
            wait_until(lambda: process.poll() is not None or cluster.reeve("ping").status == 0, what="an end or an answer")
            if process.poll() is None:
                cluster.kill("master", signal.SIGKILL)
            else:
                assert str(path) in cluster.log_of("master", lines=1)
                named += 1
            kept.put_back()
    assert named == 2
    go_on(cluster)


def test_flipped_byte_of_a_kept_log_is_told_and_the_rest_is_read(started):
    """On the master's disk; the worker has no copy any more."""
    run = started.submit(started.dag("d", {"a": {"bash": "seq 100000 120000"}}))
    started.finish(run)
    whole = started.ok("logs", f"{run}/a")
    assert whole.count("\n") == 20001
    (path,) = [path for path in started.data.glob("logs/*/*.log")]
    wait_until(lambda: not path.stat().st_mode & 0o200, what="a log that is complete")
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(flip(20000)(content))
    path.chmod(0o400)
    read = started.reeve("logs", f"{run}/a")
    assert read.status == 0
    assert f"{run}/a@1: bytes 16384-32767 of this log are damaged on the master's disk\n" in read.err
    assert read.err.count("damaged") == 1
    assert len(read.out) == len(whole) and sum(a != b for a, b in zip(read.out, whole, strict=True)) == 1
    path.chmod(0o600)
    path.write_bytes(content)
    path.chmod(0o400)
    read = started.reeve("logs", f"{run}/a")
    assert "damaged" not in read.err and read.out == whole


def put_in_place(path, kind, target):
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(target)
    else:
        path.write_text("mine\n")


@pytest.mark.parametrize("kind", ["fifo", "link", "file"])
def test_what_lies_where_a_runner_s_socket_would_is_refused_by_name_and_left(cluster, kind):
    target, socket = cluster.folder / "target", cluster.folder / "w1/private/runner-00000000000000ab.sock"
    target.write_text("mine\n")
    cluster.start(workers=1)
    cluster.stop_worker("w1")
    put_in_place(socket, kind, target)
    cluster.start_worker("w1")
    assert f"{socket}: no socket, and called as a runner's is; move it away" in ended(cluster, "w1")
    assert target.read_text() == "mine\n" and os.path.lexists(socket)
    socket.unlink()
    cluster.start_worker("w1")
    cluster.finish(cluster.submit(cluster.dag("d", {"a": {"bash": ":"}})))


@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_what_lies_where_a_kept_log_was_is_told_and_left(started, kind):
    target = started.folder / "target"
    target.write_text("mine\n")
    run = started.submit(started.dag("d", {"a": {"bash": "echo one"}, "b": {"bash": "echo two"}}))
    started.finish(run)
    wait_until(lambda: started.ok("logs", f"{run}/a") == "one\n" and started.ok("logs", f"{run}/b") == "two\n")
    (path,) = [path for path in started.data.glob("logs/*/*.log") if b"one" in path.read_bytes()]
    wait_until(lambda: not any(path.stat().st_mode & 0o200 for path in started.data.glob("logs/*/*.log")),
               what="logs that are complete")
    started.kill("master")
    put_in_place(path, kind, target)
    started.start_master()
    read = started.reeve("logs", f"{run}/a")
    assert read.status != 0 and str(path.name.removesuffix(".log")) in read.err, read
    assert started.ok("logs", f"{run}/b") == "two\n"
    assert target.read_text() == "mine\n" and os.path.lexists(path)


@pytest.mark.parametrize("kind", ["fifo", "link", "file"])
def test_what_lies_in_the_spool_s_folder_and_is_none_of_ours_is_left(started, kind):
    target = started.folder / "target"
    target.write_text("mine\n")
    started.stop_worker("w1")
    strange = started.folder / "w1/private/spool/notes"
    assert strange.parent.is_dir()
    put_in_place(strange, kind, target)
    started.start_worker("w1")
    run = started.submit(started.dag("d", {"a": {"bash": "echo one"}}))
    started.finish(run)
    assert started.ok("logs", f"{run}/a") == "one\n"
    assert target.read_text() == "mine\n" and os.path.lexists(strange)
