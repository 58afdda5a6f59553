"""Processes that are stopped, that escape, that take their worker down, and pids that come again: FAULTS 5, 9-11, 16-18,
22."""

import contextlib
import datetime
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import ledger
from ledger import lines_in
from reeve import PATIENCE, clean_environment, is_alive as alive, is_removed, processes_with, program, wait_until

LEASE_S = 18  # the shortest for a kill grace of 1 s
SHORT = {"lease": f"{LEASE_S}s", "kill_grace": "1s"}
FIRST_STAYS = '[ "$REEVE_ATTEMPT" -gt 1 ] || while :; do sleep 0.1; done'


def arguments_of(pid):
    """Those of a process; none of one that has ended meanwhile."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def runner_of(cluster, name):
    """The live runner of a worker."""
    folder = f"{cluster.folder / name}/private".encode()
    (found,) = [pid for pid in cluster.runners() if folder in arguments_of(pid)]
    return found


def staying(cluster, names, path, locks):
    """(run, {worker: (task, pid)}): one task a worker, whose first attempt does not end by itself."""
    locks.mkdir()
    body = ledger.script(path, FIRST_STAYS, locks)
    run = cluster.submit(cluster.dag("d", {f"t{n}": {"bash": body, **SHORT} for n in range(len(names))}))
    wait_until(lambda: lines_in(path) == len(names), what="the start of all")
    wait_until(lambda: all(t["attempts"][0]["worker"] for t in cluster.tasks(run).values()), what="their workers")
    pids = {line.task: line.pid for line in ledger.read(path)}
    return run, {task["attempts"][0]["worker"]: (name, pids[name]) for name, task in cluster.tasks(run).items()}


LATE = ("late", "late_at", "late_ended_at", "overlap", "overlap_attempt", "overlap_from", "overlap_to")


def told_late(task):
    return task["attempts"][0]["late"]


def without_late(task):
    return {**task, "attempts": [{k: v for k, v in a.items() if k not in LATE} for a in task["attempts"]]}


def check_overlaps(cluster, run, names):
    """What a person is told of three attempts that were given up: one that its runner killed in time, one that went on
    with its whole worker, and one whose runner was dead."""
    tasks = cluster.tasks(run)
    first, second = ({kind: tasks[name]["attempts"][n] for kind, name in names.items()} for n in (0, 1))
    assert first["kept"]["overlap"] is None and first["kept"]["late_ended_at"] < second["kept"]["started_at"]
    assert "too late to count" in first["kept"]["late"] and "no later attempt had begun" in first["kept"]["late"]
    for kind, word in (("late", "did"), ("left", "may")):
        old, new = first[kind], second[kind]
        assert (old["overlap"], old["overlap_attempt"]) == (word, 2), old
        assert (old["overlap_from"], old["overlap_to"]) == (new["started_at"], new["ended_at"]), (old, new)
        assert old["late_ended_at"] > new["ended_at"]
    assert "ran beside attempt 2 from" in first["late"]["late"]
    assert "found dead" in first["left"]["late"] and "may have run beside attempt 2 from" in first["left"]["late"]
    said = cluster.ok("status", run)
    assert f"{run}/{names['late']}@1: " in said and f"{run}/{names['left']}@1: " in said
    assert f"{run}/{names['kept']}@1: " not in said, "of a whole run only what ran beside another"
    assert first["kept"]["late"] in cluster.ok("status", f"{run}/{names['kept']}")
    audited = lambda: {line["target"]: line["text"] for line in cluster.json("audit") if line["action"] == "late_end"}
    wait_until(lambda: len(audited()) == 3, what="the audit log")
    assert audited() == {f"{run}/{name}@1": first[kind]["late"] for kind, name in names.items()}
    cluster.kill("master")
    cluster.start_master()
    wait_until(lambda: cluster.reeve("ping").status == 0, what="the next master")
    assert cluster.tasks(run) == tasks, "what was heard too late is on disk"


@pytest.mark.slow
def test_05_10_11_stopped_or_dead_past_the_lease_then_continued(cluster):
    """Three at once. w1: the agent stops, and the runner kills in time. w2: agent and runner stop, which no promise
    covers; when they go on the old attempt ends at once and changes nothing. w3: both are dead; the next agent ends what
    they left."""
    path, locks = cluster.folder / "ledger", cluster.folder / "locks"
    cluster.start(workers=3, slots=1)
    run, placed = staying(cluster, ["w1", "w2", "w3"], path, locks)
    runners = {name: runner_of(cluster, name) for name in placed}
    cluster.processes["w1"].send_signal(signal.SIGSTOP)
    for pid in (cluster.processes["w2"].pid, runners["w2"]):
        os.kill(pid, signal.SIGSTOP)
    cluster.kill("w3")
    os.kill(runners["w3"], signal.SIGKILL)
    cluster.start_worker("w4", slots=4)
    kept, late, left = (placed[name] for name in ("w1", "w2", "w3"))
    wait_until(lambda: not alive(kept[1]), seconds=LEASE_S + 30, what="the end of what only the runner can end")
    assert lines_in(path) == 3, "no later attempt has begun by then"
    cluster.finish(run)
    assert alive(late[1]) and alive(left[1]), "who is stopped or dead kills nothing"
    before = cluster.tasks(run)
    # Clocks of two hosts are trusted to a second: till then it would be "may have".
    begun = [datetime.datetime.fromisoformat(task["attempts"][1]["started_at"]).timestamp() for task in before.values()]
    wait_until(lambda: time.time() > max(begun) + 1.5, what="an overlap beyond doubt")
    for pid in (runners["w2"], cluster.processes["w2"].pid, cluster.processes["w1"].pid):
        os.kill(pid, signal.SIGCONT)
    cluster.start_worker("w3")
    wait_until(lambda: not alive(late[1]) and not alive(left[1]), what="the end of the former attempts")
    wait_until(lambda: cluster.workers_up() >= {"w1", "w2", "w3", "w4"}, what="all up again")
    wait_until(lambda: all(told_late(task) for task in cluster.tasks(run).values()), what="what is heard too late")
    after = cluster.tasks(run)
    assert [without_late(task) for task in after.values()] == [without_late(task) for task in before.values()], \
        "what comes late changes no end"
    check_overlaps(cluster, run, {"kept": kept[0], "late": late[0], "left": left[0]})
    for name, task in before.items():
        assert [a["state"] for a in task["attempts"]] == ["lost", "success"], task
    wrong = ledger.check(ledger.read(path), expected=[(run, name) for name in before],
                         lost=[(run, name, 1) for name in before])
    assert sorted(wrong) == sorted(f"{run}/{task}@2 found processes of another attempt alive" for task, _ in (late, left))


@pytest.mark.slow
def test_09_master_stopped_past_every_lease_and_continued_loses_and_doubles_nothing(started):
    """Nobody else can lead on its folder meanwhile; its workers have killed what it gave them."""
    path, locks = started.folder / "ledger", started.folder / "locks"
    run, placed = staying(started, ["w1", "w2"], path, locks)
    started.processes["master"].send_signal(signal.SIGSTOP)
    second = subprocess.run([program("reeve-master"), "--data", str(started.data)], env=started.env, capture_output=True,
                            text=True, timeout=30 * PATIENCE, check=False)
    assert second.returncode == 7 and "in use by process" in second.stderr
    wait_until(lambda: not any(alive(pid) for _, pid in placed.values()), seconds=LEASE_S + 30, what="the leases' end")
    time.sleep(LEASE_S / 5 + 6)  # and the margin of the master, too
    started.processes["master"].send_signal(signal.SIGCONT)
    started.finish(run)
    tasks = started.tasks(run)
    assert all([a["state"] for a in task["attempts"]] == ["lost", "success"] for task in tasks.values())
    wrong = ledger.check(ledger.read(path), expected=[(run, t) for t in tasks], lost=[(run, t, 1) for t in tasks])
    assert not wrong, "\n".join(wrong)


def test_16_masters_that_start_together_take_one_epoch(cluster):
    epochs = []
    for _ in range(3):
        crowd = [subprocess.Popen([program("reeve-master"), "--data", str(cluster.data)], env=cluster.env,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(6)]
        wait_until(lambda crowd=crowd: sum(p.poll() is None for p in crowd) <= 1, what="one master")
        wait_until(lambda: cluster.reeve("ping").status == 0, what="an answer of it")
        (leader,) = [p for p in crowd if p.poll() is None]
        leader.send_signal(signal.SIGTERM)
        said = {p: p.communicate(timeout=30 * PATIENCE)[1] for p in crowd}
        assert leader.returncode == 0
        assert all(p.returncode == 7 and "in use by" in said[p] for p in crowd if p is not leader), said
        epochs.append(int(said[leader].split("leads with epoch ")[1].split(" ")[0]))
    assert epochs == [1, 2, 3]


# ---- pids ----

@pytest.fixture
def namespace(cluster):
    """The words before a command that run it among pids of its own, which are free again at once; all ends with the
    test."""
    reaper = "import os, signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execlp('sleep', 'sleep', '100000')"
    holder = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", reaper],
                              env=clean_environment(), stderr=subprocess.PIPE)
    try:
        children = pathlib.Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
        wait_until(lambda: holder.poll() is not None or children.read_text().strip(), what="the namespace")
        if holder.poll() is not None:
            pytest.skip(f"no pid namespace: {holder.stderr.read().decode().strip()}")
        inside = children.read_text().split()[0]
        wait_until(lambda: pathlib.Path(f"/proc/{inside}/comm").read_text() == "sleep\n", what="its first process")
        yield ["nsenter", f"--target={inside}", "--pid", "--mount", "--"]
    finally:
        holder.kill()
        holder.wait()
        holder.stderr.close()


def number_inside(pid):
    line = [line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("NSpid")]
    return int(line[0].split()[-1])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to choose pids")
def test_17_processes_that_got_the_pids_of_a_dead_runner_and_task_are_left_alone(cluster, namespace):
    path = cluster.folder / "ledger"
    cluster.start_master()
    start = [*namespace, program("reeve-worker"), "--data", str(cluster.folder / "w1")]
    cluster.spawn("w1", *start, "--join", str(cluster.data), "--name", "w1", "--slots", "1")
    wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up")
    run = cluster.submit(cluster.dag("d", {"a": {"bash": ledger.script(path, FIRST_STAYS)}}))
    wait_until(lambda: lines_in(path) == 1, what="the task's start")
    (task,) = [line.pid for line in ledger.read(path)]
    (runner,) = cluster.runners()
    numbers = [number_inside(runner), task]
    mine = [pid for pid, name in cluster.processes_left().items() if name not in ("reeve-master", "nsenter")]
    # The agent first: it would end what a dead runner left.
    agents = [pid for pid, name in cluster.processes_left().items() if name == "reeve-worker"]
    for pid in [*agents, runner, *mine]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    cluster.processes["w1"].wait()
    wait_until(lambda: set(cluster.processes_left().values()) <= {"reeve-master"}, what="the end of all of the worker")
    wait_until(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in [runner, *mine]), what="their pids free again")
    strangers = []
    for number in numbers:
        take = f"echo {number - 1} >/proc/sys/kernel/ns_last_pid; sleep 7654 </dev/null >/dev/null 2>&1 & echo $!"
        done = subprocess.run([*namespace, "env", "-i", "bash", "-c", take], capture_output=True, text=True, check=True)
        strangers.append(int(done.stdout))
    assert strangers == numbers, "the machine gave other pids"
    cluster.spawn("w1", *start)
    cluster.finish(run)
    assert [a["state"] for a in cluster.tasks(run)["a"]["attempts"]] == ["lost", "success"]
    for number in strangers:
        subprocess.run([*namespace, "kill", "-0", str(number)], check=True)


# ---- escapes ----

ESCAPES = """
import os, signal, sys
def end(): signal.signal(signal.SIGTERM, signal.SIG_IGN); os.execvpe("sleep", ["sleep", sys.argv[1]], {"PATH": os.environ["PATH"]})
if os.fork() == 0:
    os.setsid(); end()                       # a session of its own
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: end()             # as a daemon does it, with an environment of its own
        os._exit(0)
    os._exit(0)
if os.fork() == 0:
    os.setpgid(0, 0); end()                  # a group of its own
end()
"""


def with_argument(number):
    """The live processes that sleep for exactly so long."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and arguments_of(entry.name)[1:2] == [str(number).encode()] and alive(entry.name):
            found.append(int(entry.name))
    return found


def escaped(cluster, **keys):
    """(run, the number that its four processes sleep for), all of them at work."""
    number = 600000 + os.getpid() % 100000
    run = cluster.submit(cluster.dag("d", {"a": {"bash": f"exec python3 escape.py {number}", "kill_grace": "1s", **keys}},
                                     files={"escape.py": ESCAPES}))
    wait_until(lambda: len(with_argument(number)) == 4, what="four processes")
    return run, number


def test_18_sessions_daemons_and_deaf_children_end_with_their_task(started):
    run, number = escaped(started)
    started.ok("cancel", f"{run}/a")
    wait_until(lambda: not with_argument(number), seconds=1 + 5, what="the end of all four")
    started.finish(run, status=1)
    assert started.tasks(run)["a"]["state"] == "cancelled"


@pytest.mark.slow
def test_18_sessions_daemons_and_deaf_children_end_by_their_timeout(started):
    """Half a minute: by then the four have begun on any machine."""
    run, number = escaped(started, execution_timeout="30s")
    started.finish(run, status=1, seconds=90)
    assert not with_argument(number), "what is left of a tree is killed before its end is told"
    assert started.tasks(run)["a"]["reason"] == "timeout"


def test_18_sessions_daemons_and_deaf_children_end_when_their_worker_stops_at_once(started):
    run, number = escaped(started, on_lost="fail")
    worker = started.tasks(run)["a"]["attempts"][0]["worker"]
    done = subprocess.run([program("reeve-worker"), "stop", "--now", "--data", str(started.folder / worker)],
                          env=started.env, capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert not with_argument(number)
    started.finish(run, status=1)
    assert started.tasks(run)["a"]["attempts"][0]["reason"] == "worker_stopped"


@pytest.fixture
def few_pids():
    """A cgroup in which at most 200 processes live."""
    folder = pathlib.Path("/sys/fs/cgroup/pids") / f"rv{os.getpid()}"
    try:
        folder.mkdir()
        (folder / "pids.max").write_text("200")
    except OSError as error:
        pytest.skip(f"no cgroup that bounds pids: {error}")
    yield folder
    wait_until(lambda: is_removed(folder), what="an empty cgroup")


@pytest.mark.parametrize("hidden", [False, True], ids=["with-cgroups", "without"])
def test_18_fork_bomb_is_bounded_and_ended_by_a_cancel_and_its_worker_goes_on(cluster, few_pids, hidden):
    """Where the runner may count, a quarter is left to others; else the worker's own bound is what holds."""
    hide = ["unshare", "--mount", "sh", "-c", 'umount -l /sys/fs/cgroup && exec "$@"', "sh"] if hidden else []
    cluster.start_master()
    cluster.spawn("w1", "sh", "-c", f'echo $$ >{few_pids}/cgroup.procs && exec "$@"', "sh", *hide, program("reeve-worker"),
                  "--data", str(cluster.folder / "w1"), "--join", str(cluster.data), "--name", "w1", "--slots", "2")
    wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up")
    (bound,) = [few_pids] if hidden else few_pids.glob("reeve-*")
    assert (bound / "pids.max").read_text().strip() == ("200" if hidden else "150")
    bomb = "trap '' TERM; b() { b | b & }; b 2>/dev/null; sleep 600"
    run = cluster.submit(cluster.dag("d", {"a": {"bash": bomb, "kill_grace": "1s"}}))
    count = lambda: int((few_pids / "pids.current").read_text())
    wait_until(lambda: "max 0" not in (bound / "pids.events").read_text(), what="a bomb that bursts")
    assert hidden or count() < 175, "what is not the task's has room"
    cluster.ok("cancel", f"{run}/a")
    cluster.finish(run, status=1)
    wait_until(lambda: count() <= 20, what="the end of all of it")
    cluster.finish(cluster.submit(cluster.dag("after", {"a": {"bash": "true"}})))
    cluster.stop_worker("w1")
    assert not list(few_pids.glob("reeve-*")), "the runner removed its own"


# ---- tasks that take their worker down ----

@pytest.mark.slow
def test_22_task_that_kills_its_worker_each_time_is_quarantined_after_three(cluster):
    cluster.start(workers=2, slots=1)
    run = cluster.submit(cluster.dag("d", {"a": {"bash": "kill -9 $PPID; sleep 60"}, "b": {"bash": "true"}}))
    def ended():
        for name in ("w1", "w2"):
            if cluster.processes[name].poll() is not None:
                assert cluster.processes[name].returncode == 75, cluster.log_of(name)
                cluster.start_worker(name)
        return cluster.json("status", run)["state"] == "failed"
    wait_until(ended, what="the run's end")
    task = cluster.tasks(run)["a"]
    assert (task["state"], task["reason"]) == ("failed", "quarantined") and "lost 3 workers" in task["error"], task
    ran = [a for a in task["attempts"] if a["started_at"] is not None or a["reason"] != "not_started"]
    assert {a["state"] for a in ran} == {"lost"}
    wait_until(lambda: not [pid for pid in processes_with(cluster.folder) if b"kill -9" in b" ".join(arguments_of(pid))],
               what="the end of what the last of them left")
