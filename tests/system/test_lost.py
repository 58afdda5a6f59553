"""What becomes of a task whose worker is lost, on real processes: on_lost, idempotent, a person's word, and a host that
was started again. The tasks' own ledger decides what ran, and whether two ran at once."""

import os
import pathlib
import shutil
import signal
import subprocess

import pytest

import ledger
from reeve import program, wait_until

# The shortest lease that a grace of 1 s allows, and the margin that the master adds.
SHORT = {"lease": "18s", "kill_grace": "1s"}
OVER_S = 18 + 18 / 5 + 5


def starts(path, task):
    lines = ledger.read(path) if path.exists() else []
    return [line for line in lines if line.kind == "start" and line.task == task]


def state(cluster, run, task):
    return cluster.tasks(run)[task]["state"]


def fleet_of_two(cluster):
    """w1 serves the queue `first` alone, w2 that and the others: a task of `first` begins on w1 while w2 is away."""
    cluster.start_master()
    cluster.start_worker("w1", "--queue", "first", slots=8)
    wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up")


def second_worker(cluster):
    cluster.start_worker("w2", "--queue", "first", "--queue", "default", slots=8)
    wait_until(lambda: "w2" in cluster.workers_up(), what="w2 up")


def on_first(cluster, name, tasks, **keys):
    """A run whose tasks all run on w1."""
    run = cluster.submit(cluster.dag(name, {task: {"queue": "first", **body} for task, body in tasks.items()}, **keys))
    wait_until(lambda: all(task["state"] == "running" for task in cluster.tasks(run).values()), what="all run")
    return run


def freeze(cluster, name):
    """The agent stands still; its runner, and what that runs, go on."""
    cluster.processes[name].send_signal(signal.SIGSTOP)


def end_host(cluster, name):
    """All that a host runs ends at once, as when its power is cut."""
    def of_host():
        return {pid for pid in cluster.processes_left() if str(cluster.folder / name) in parts_of(pid)}
    pids = of_host()
    cluster.kill(name)
    for pid in pids | of_host():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def parts_of(pid):
    """What tells whose a process is: its arguments, its folder and its environment."""
    texts = []
    for part in ("cmdline", "environ"):
        try:
            texts.append(pathlib.Path(f"/proc/{pid}/{part}").read_bytes().decode(errors="replace"))
        except OSError:
            pass
    try:
        texts.append(os.readlink(f"/proc/{pid}/cwd"))
    except OSError:
        pass
    return " ".join(texts)


# ---- the lease runs out ----

@pytest.mark.slow
def test_10_stopped_agent_its_runner_kills_in_time_and_on_lost_says_what_comes_next(cluster):
    fleet_of_two(cluster)
    path, locks = cluster.folder / "ledger", cluster.folder / "locks"
    locks.mkdir()
    long = ledger.script(path, "sleep 300", locks)
    first = ledger.script(path, '[ "$REEVE_ATTEMPT" -gt 1 ] || sleep 300', locks)
    run = on_first(cluster, "d", {
        "fails": {"bash": long, "on_lost": "fail", "retries": 3, **SHORT},
        "waits": {"bash": long, "on_lost": "hold", **SHORT},
        "again": {"bash": first, **SHORT}})
    second_worker(cluster)
    freeze(cluster, "w1")
    wait_until(lambda: set(task["state"] for task in cluster.tasks(run).values()) == {"unreachable"},
               what="unreachable")
    text = cluster.ok("explain", f"{run}/waits")
    assert "else it is held in" in text
    assert "reeve workers --lost w1" in text
    wait_until(lambda: {name: task["state"] for name, task in cluster.tasks(run).items()} ==
               {"fails": "failed", "waits": "held", "again": "success"}, seconds=OVER_S + 60, what="what on_lost says")
    assert cluster.tasks(run)["fails"]["reason"] == "worker_lost"
    assert "reeve mark" in cluster.ok("explain", f"{run}/waits")
    cluster.processes["w1"].send_signal(signal.SIGCONT)
    wait_until(lambda: cluster.workers_up() == {"w1", "w2"}, what="w1 is back")
    assert state(cluster, run, "waits") == "held"
    cluster.ok("mark", f"{run}/waits", "success")
    cluster.reeve("wait", run)
    assert not [line for line in ledger.read(path) if line.kind == "overlap"]
    assert len(starts(path, "waits")) == 1 and len(starts(path, "again")) == 2


@pytest.mark.slow
def test_held_task_is_held_still_after_a_restart_and_goes_again_when_it_is_named(cluster):
    fleet_of_two(cluster)
    path = cluster.folder / "ledger"
    body = ledger.script(path, '[ "$REEVE_ATTEMPT" -gt 1 ] || sleep 300')
    run = on_first(cluster, "d", {"waits": {"bash": body, "on_lost": "hold", **SHORT}})
    second_worker(cluster)
    end_host(cluster, "w1")
    wait_until(lambda: state(cluster, run, "waits") == "held", seconds=OVER_S + 60, what="held")
    cluster.kill("master")
    cluster.start_master()
    assert state(cluster, run, "waits") == "held"
    assert cluster.reeve("retry", run).status == 7
    cluster.ok("retry", f"{run}/waits")
    cluster.finish(run)
    assert [line.attempt for line in starts(path, "waits")] == [1, 2]


# ---- sooner than that ----

def test_idempotent_task_goes_on_elsewhere_within_seconds_and_the_first_end_counts(cluster):
    fleet_of_two(cluster)
    path = cluster.folder / "ledger"
    body = ledger.script(path, '[ "$REEVE_ATTEMPT" -gt 1 ] || sleep 300')
    run = on_first(cluster, "d", {"twice": {"bash": body, "idempotent": True, "lease": "5m"}})
    second_worker(cluster)
    freeze(cluster, "w1")
    cluster.finish(run)
    first, second = cluster.tasks(run)["twice"]["attempts"]
    assert (first["state"], first["reason"]) == ("cancelled", "superseded") and second["state"] == "success"
    pid = starts(path, "twice")[0].pid
    assert pathlib.Path(f"/proc/{pid}").exists()
    cluster.processes["w1"].send_signal(signal.SIGCONT)
    wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), what="the loser is killed when its worker is back")
    assert [line.attempt for line in ledger.read(path) if line.kind == "end"] == [2]


def test_person_who_knows_that_a_host_is_gone_need_not_wait(cluster):
    fleet_of_two(cluster)
    path = cluster.folder / "ledger"
    body = ledger.script(path, '[ "$REEVE_ATTEMPT" -gt 1 ] || sleep 300')
    run = on_first(cluster, "d", {"a": {"bash": body, "lease": "none"}})
    second_worker(cluster)
    refused = cluster.reeve("workers", "--lost", "w1")
    assert refused.status == 7 and "reeve drain w1" in refused.err
    end_host(cluster, "w1")
    wait_until(lambda: state(cluster, run, "a") == "unreachable", what="unreachable")
    assert "lease is none" in cluster.ok("explain", f"{run}/a")
    assert "1 task there was lost" in cluster.ok("workers", "--lost", "w1")
    cluster.finish(run)
    assert [line.attempt for line in starts(path, "a")] == [1, 2]
    assert cluster.tasks(run)["a"]["attempts"][0]["state"] == "lost"
    assert any(row["action"] == "lost_worker" and row["target"] == "w1" for row in cluster.json("audit"))
    assert cluster.reeve("workers", "--lost", "nobody").status == 6
    assert cluster.reeve("workers", "--lost", "w1", "--remove", "w1").status == 2


def test_worker_that_a_person_stops_is_no_lost_worker(cluster):
    cluster.start(workers=1)
    run = cluster.submit(cluster.dag("d", {"a": {"bash": "sleep 300", "max_losses": 1}}))
    wait_until(lambda: state(cluster, run, "a") == "running", what="running")
    cluster.stop_worker("w1")
    wait_until(lambda: state(cluster, run, "a") == "ready", what="ready again")
    assert cluster.tasks(run)["a"]["attempts"][0]["reason"] == "worker_stopped"


# ---- a host that is started again ----

def new_boot(cluster, name):
    """The worker's programs in a mount namespace whose kernel says another boot id."""
    boot = cluster.folder / f"boot.{name}"
    text = pathlib.Path("/proc/sys/kernel/random/uuid").read_text()
    boot.write_text(text)
    script = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(boot)]


def may_unshare():
    if os.geteuid() != 0:
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_unshare(), reason="mount namespaces need root")
def test_36_rebooted_host_does_not_say_that_its_tasks_are_gone(cluster):
    fleet_of_two(cluster)
    path = cluster.folder / "ledger"
    run = on_first(cluster, "d", {"a": {"bash": ledger.script(path, "sleep 300"), "lease": "5m"}})
    end_host(cluster, "w1")
    wait_until(lambda: cluster.workers_up() == set(), what="w1 silent")
    cluster.spawn("w1", *new_boot(cluster, "w1"), program("reeve-worker"), "--data", str(cluster.folder / "w1"))
    wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 is back")
    assert state(cluster, run, "a") == "unreachable"
    assert "with another runner" in cluster.ok("explain", f"{run}/a")
    # It takes other work, and the lease of what it had is nobody's to end but the clock's or a person's.
    other = cluster.submit(cluster.dag("e", {"b": {"bash": "true", "queue": "first"}}))
    cluster.finish(other)
    assert state(cluster, run, "a") == "unreachable" and len(starts(path, "a")) == 1
    cluster.ok("workers", "--lost", "w1")
    wait_until(lambda: len(starts(path, "a")) == 2, what="it goes on")
    cluster.ok("cancel", run)
    cluster.reeve("wait", run)


def rewrite_runner(cluster, name, pid, start):
    """The worker's note of its last runner names another process, in the older form, which has no checksum."""
    note = cluster.folder / name / "private" / "runner"
    _, boot, instance, _ = note.read_text().split("\n", 3)
    note.write_text(f"{boot}\n{instance}\n{pid} {start}\n")


def start_of(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


@pytest.fixture
def stranger():
    """A process that is none of reeve's, whose pid was the runner's once."""
    process = subprocess.Popen(["sleep", "300"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.mark.skipif(not may_unshare(), reason="mount namespaces need root")
def test_17_pid_of_a_former_boot_is_never_signalled(cluster, stranger):
    """Even one that began at the very tick after the boot at which the runner had begun."""
    fleet_of_two(cluster)
    run = on_first(cluster, "d", {"a": {"bash": "sleep 300", "lease": "5m"}})
    end_host(cluster, "w1")
    rewrite_runner(cluster, "w1", stranger.pid, start_of(stranger.pid))
    wait_until(lambda: cluster.workers_up() == set(), what="w1 silent")
    cluster.spawn("w1", *new_boot(cluster, "w1"), program("reeve-worker"), "--data", str(cluster.folder / "w1"))
    wait_until(lambda: "w1" in cluster.workers_up(), what="w1 is back")
    assert state(cluster, run, "a") == "unreachable"
    cluster.stop_worker("w1")
    assert stranger.poll() is None


# ---- an older store ----

def copy_store(cluster, name):
    """What a person copies while no master runs, or brings back."""
    for file in cluster.data.glob("store.db*"):
        shutil.copy2(file, cluster.folder / name / file.name)


def bring_back(cluster, name):
    for file in cluster.data.glob("store.db*"):
        file.unlink()
    for file in (cluster.folder / name).glob("store.db*"):
        shutil.copy2(file, cluster.data / file.name)


def test_37_restored_store_starts_nothing_until_a_person_accepts_it_and_then_leaves_gaps(cluster):
    cluster.start(workers=1)
    cluster.finish(cluster.submit(cluster.dag("d", {"a": {"bash": "true"}})))
    cluster.kill("master", signal.SIGTERM)
    (cluster.folder / "backup").mkdir()
    copy_store(cluster, "backup")
    path = cluster.folder / "ledger"
    for _ in range(2):
        cluster.start_master()
        wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up")
        run = cluster.submit(cluster.dag("d", {"a": {"bash": ledger.script(path, "sleep 300")}}))
        wait_until(lambda: state(cluster, run, "a") == "running", what="running")
        cluster.kill("master", signal.SIGTERM)
    bring_back(cluster, "backup")

    # Nobody has said that it is an older one: the worker, which has seen more, tells it.
    cluster.start_master()
    run = cluster.submit(cluster.dag("e", {"b": {"bash": "true"}}))
    wait_until(lambda: "--accept-restore" in cluster.ok("explain", f"{run}/b"), what="it says why nothing starts")
    assert state(cluster, run, "b") == "ready"
    cluster.kill("master", signal.SIGTERM)

    cluster.start_master("--accept-restore")
    wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 follows it")
    pids = [line.pid for line in starts(path, "a")]
    wait_until(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids),
               what="what the store does not know is killed")
    assert "restored" in cluster.ok("explain", f"{run}/b") and state(cluster, run, "b") == "ready"
    number = int(cluster.submit(cluster.dag("d", {"a": {"bash": "true"}})).partition("/")[2])
    assert number == 1002
    assert cluster.json("ping")["epoch"] > 1000

    # What is to be waited out is so after a restart too, for which nobody says anything.
    cluster.kill("master", signal.SIGTERM)
    cluster.start_master()
    wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 is back")
    assert "restored" in cluster.ok("explain", f"{run}/b")
