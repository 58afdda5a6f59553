"""How a worker ends and comes back: stop, drain, signals, an agent that dies meanwhile, and what its folder refuses."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import msgpack
import pytest
import zmq

import faulty
import ledger
from ledger import lines_in, until
from reeve import PATIENCE, program, wait_until


def gated(cluster, name="d", lease="5m", body=""):
    """(run, ledger's path, gate): one task that runs until the gate is there."""
    path, gate = cluster.folder / f"{name}.ledger", cluster.folder / f"{name}.gate"
    wait = until(gate)
    script = ledger.script(path, f"{body}\n{wait}")
    run = cluster.submit(cluster.dag(name, {"a": {"bash": script, "lease": lease}}))
    wait_until(lambda: lines_in(path) == 1, what="the task's start")
    return run, path, gate


def worker_of(cluster, run, task="a"):
    return cluster.tasks(run)[task]["attempts"][-1]["worker"]


class Stop:
    """A `reeve-worker stop` that waits, and what it says."""

    def __init__(self, cluster, worker, *arguments):
        self.log = cluster.folder / f"stop-{worker}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [program("reeve-worker"), "stop", *arguments, "--data", str(cluster.folder / worker)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=cluster.env)

    def says(self, text):
        return text in self.log.read_text()

    def wait(self, seconds=60):
        return self.process.wait(timeout=seconds * PATIENCE)


def test_stop_waits_for_what_runs_takes_no_more_and_ends_the_runner(started):
    run, path, gate = gated(started)
    name = worker_of(started, run)
    other = {"w1": "w2", "w2": "w1"}[name]
    stop = Stop(started, name)
    wait_until(lambda: stop.says("waiting for 1 task"), what="the progress line")
    more = started.submit(started.dag("more", {f"t{n}": {"bash": "true"} for n in range(12)}))
    started.finish(more)
    assert {t["attempts"][-1]["worker"] for t in started.tasks(more).values()} == {other}
    assert stop.process.poll() is None
    gate.touch()
    assert stop.wait() == 0 and stop.says("stopped: nothing of the worker in"), stop.log.read_text()
    assert started.processes[name].wait(timeout=30) == 0
    started.finish(run)
    assert ledger.check(ledger.read(path), expected=[(run, "a")]) == []
    assert len(started.runners()) == 1
    wait_until(lambda: started.workers_up() == {other}, what=f"{name} gone")


def test_stop_within_kills_what_still_runs_then(started):
    run, path, _ = gated(started)
    name = worker_of(started, run)
    (pid,) = [line.pid for line in ledger.read(path)]
    stop = Stop(started, name, "--within", "500ms")
    assert stop.wait() == 0, stop.log.read_text()
    assert pid not in started.processes_left()
    assert "the time for a stop is over: 1 task is killed" in started.log_of(name)


def test_stop_now_ends_a_stop_that_waits(started):
    run, _, _ = gated(started)
    name = worker_of(started, run)
    patient = Stop(started, name)
    wait_until(lambda: patient.says("waiting for 1 task"), what="the progress line")
    started.stop_worker(name)
    assert patient.wait() == 0, patient.log.read_text()


def test_stop_goes_on_when_the_agent_dies_meanwhile(started):
    run, path, gate = gated(started)
    name = worker_of(started, run)
    stop = Stop(started, name)
    wait_until(lambda: stop.says("waiting for 1 task"), what="the progress line")
    started.kill(name)
    gate.touch()
    assert stop.wait() == 0, stop.log.read_text()
    started.finish(run)
    assert ledger.check(ledger.read(path), expected=[(run, "a")]) == []
    assert len(started.runners()) == 1


def test_stop_without_an_agent_takes_its_place(started):
    run, path, gate = gated(started)
    name = worker_of(started, run)
    started.kill(name)
    stop = Stop(started, name)
    wait_until(lambda: stop.says("waiting for 1 task"), what="the progress line")
    gate.touch()
    assert stop.wait() == 0, stop.log.read_text()
    started.finish(run)
    assert ledger.check(ledger.read(path), expected=[(run, "a")]) == []


def test_interrupted_stop_says_how_to_come_back_and_the_worker_goes_on(started):
    run, _, gate = gated(started)
    name = worker_of(started, run)
    stop = Stop(started, name)
    wait_until(lambda: stop.says("waiting for 1 task"), what="the progress line")
    stop.process.send_signal(signal.SIGINT)
    assert stop.wait() == 130
    assert stop.says("the worker goes on to its stop; `reeve-worker stop --data")
    gate.touch()
    assert started.processes[name].wait(timeout=30) == 0
    started.finish(run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_agent_at_once_and_says_how_to_take_the_tasks_back(started, number):
    run, path, gate = gated(started)
    name = worker_of(started, run)
    assert started.kill(name, number) == 0
    said = re.search(r'1 running task goes on until the lease ends; restart "reeve-worker --data (\S+)" within '
                     r"4m\d+s to take it back", started.log_of(name))
    assert said and said[1] == str(started.folder / name), started.log_of(name)
    started.start_worker(name)
    wait_until(lambda: started.workers_up() == {"w1", "w2"}, what=f"{name} up again")
    gate.touch()
    started.finish(run)
    assert ledger.check(ledger.read(path), expected=[(run, "a")]) == []


def test_stop_waits_until_the_master_has_results_and_logs(started):
    run, path, gate = gated(started, body="echo said")
    name = worker_of(started, run)
    started.kill("master")
    stop = Stop(started, name)
    wait_until(lambda: stop.says("waiting for 1 task"), what="the progress line")
    gate.touch()
    wait_until(lambda: stop.says("waiting for the master to take 1 result and 1 log (it does not answer)")
               or stop.says("waiting for the master to take 1 result and 1 log"), what="the progress line")
    assert stop.process.poll() is None
    started.start_master()
    assert stop.wait() == 0, stop.log.read_text()
    started.finish(run)
    assert "said" in started.ok("logs", f"{run}/a")
    assert ledger.check(ledger.read(path), expected=[(run, "a")]) == []


def test_second_agent_of_a_folder_is_refused_by_name(started):
    done = subprocess.run([program("reeve-worker"), "--data", str(started.folder / "w1")], env=started.env,
                          capture_output=True, text=True, timeout=30 * PATIENCE, check=False)
    assert done.returncode == 7
    assert str(started.processes["w1"].pid) in done.stderr and "lock" in done.stderr, done.stderr
    wait_until(lambda: started.workers_up() == {"w1", "w2"}, what="both up")


def test_worker_whose_logs_are_not_taken_takes_no_more_and_resumes(cluster):
    """The spool's own bound: the master is away while a task writes more than --spool-max."""
    cluster.start_master()
    cluster.start_worker("w1", "--spool-max", "16MiB", slots=1)
    gate, written = cluster.folder / "gate", cluster.folder / "written"
    body = (f"{until(gate)}\n"
            f"head -c 40000000 /dev/zero | tr '\\0' x; touch {written}")
    run = cluster.submit(cluster.dag("d", {"a": {"bash": body}, "b": {"bash": "true", "needs": "a"}}))
    wait_until(lambda: cluster.tasks(run)["a"]["state"] == "running", what="the task's start")
    cluster.kill("master")
    gate.touch()
    wait_until(written.exists, what="the task's end")
    wait_until(lambda: "no more tasks are taken: " in cluster.log_of("w1"), what="the worker's word")
    cluster.start_master()
    cluster.finish(run)
    assert "logs have gone to the master: tasks are taken again" in cluster.log_of("w1")
    assert len(cluster.ok("logs", f"{run}/a")) >= 40000000


def test_agent_of_another_build_takes_over_the_runner_and_no_task_is_killed(started):
    """An upgrade: the new programs lie elsewhere, the old runner lives on and serves the new agent."""
    run, path, gate = gated(started, body="echo before")
    name = worker_of(started, run)
    runners = started.runners()
    folder = started.folder / "new"
    folder.mkdir()
    for part in ("reeve-worker", "reeve-runner"):
        shutil.copy(program(part), folder / part)
    assert started.kill(name, signal.SIGTERM) == 0

    def start_new(times):
        started.spawn(name, str(folder / "reeve-worker"), "--data", str(started.folder / name))
        wait_until(lambda: started.log_of(name).count("registered with the master") == times, what=f"{name} up again")

    start_new(2)
    assert sorted(started.runners()) == sorted(runners)
    more = started.submit(started.dag("more", {f"t{n}": {"bash": "true"} for n in range(12)}))
    started.finish(more)
    gate.touch()
    started.finish(run)
    (attempt,) = started.tasks(run)["a"]["attempts"]
    assert (attempt["state"], attempt["worker"]) == ("success", name)
    assert "before" in started.ok("logs", f"{run}/a")
    assert ledger.check(ledger.read(path), expected=[(run, "a")]) == []
    # Its work is done: the next start of the agent finds it idle, and starts one of its own build.
    assert started.kill(name, signal.SIGTERM) == 0
    start_new(3)
    wait_until(lambda: len(set(started.runners()) & set(runners)) == 1, what="the end of the old runner")
    assert len(started.runners()) == 2
    assert started.kill(name, signal.SIGTERM) == 0
    after = started.runners()
    start_new(4)
    assert started.runners() == after, "of one build: it stays"
    started.finish(started.submit(started.dag("last", {f"t{n}": {"bash": "true"} for n in range(12)})))


class OtherMaster:
    """What a master of another protocol version says to whoever comes: that it is one."""

    def __init__(self, cluster):
        self.folder = cluster.folder / "other"
        self.folder.mkdir(mode=0o700)
        (self.folder / "store.db").touch()
        self.heard = []
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.bind(f"ipc://{self.folder}/worker.sock")
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        text = "the peer speaks protocol version 1, this program version 2: update the older"
        while True:
            peer, frame = self.socket.recv_multipart()
            if frame == b"end":
                break
            self.heard.append(frame)
            self.socket.send_multipart([peer, msgpack.packb([2, 9, 9, 0, 0, 0]) + msgpack.packb([21, 0, -10, text])])

    def close(self):
        with self.context.socket(zmq.DEALER) as ender:
            ender.connect(f"ipc://{self.folder}/worker.sock")
            ender.send(b"end")
            self.thread.join()
        self.socket.close()
        self.context.term()


@pytest.mark.slow
def test_master_of_another_version_is_told_of_once_and_asked_rarely(cluster):
    master = OtherMaster(cluster)
    try:
        cluster.spawn("w1", program("reeve-worker"), "--data", str(cluster.folder / "w1"), "--join", str(master.folder))
        wait_until(lambda: "protocol version" in cluster.log_of("w1"), what="the refusal")
        time.sleep(5)  # a loop would show by now
        said = [line for line in cluster.log_of("w1").splitlines() if "protocol version" in line]
        assert len(said) == 1 and "version 2" in said[0] and "version 1" in said[0], said
        assert len(master.heard) <= 2, "it is asked once a minute"
        assert cluster.processes["w1"].poll() is None
    finally:
        master.close()


def refusal(cluster, *arguments, **env):
    done = subprocess.run([program("reeve-worker"), *map(str, arguments)], env={**cluster.env, **env},
                          capture_output=True, text=True, timeout=30 * PATIENCE, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments, status, words", [
    (["--label", "a b"], 2, "is no label"),
    (["--cache-max", "10"], 2, "a size needs a unit"),
    (["--spool-max", "1KiB"], 2, "at least 16 MiB"),
    (["--within", "5m"], 2, "belongs to `reeve-worker stop`"),
    (["stop", "--within", "5"], 2, "5s"),
    (["stop", "--now", "--within", "5m"], 2, "either --now or --within"),
    (["--join", "reeve1_nonsense"], 2, "--join"),
    (["--join", "@/nowhere/token"], 6, "/nowhere/token"),
    (["--join", "/etc/hosts"], 2, "/etc/hosts is a file: write @/etc/hosts"),
])
def test_wrong_word_is_refused_by_name(cluster, arguments, status, words):
    found, said = refusal(cluster, *arguments, *(["--data", cluster.folder / "w"]))
    assert (found, words in said) == (status, True), (found, said)
    assert not os.path.exists(cluster.folder / "w")


def test_worker_whose_user_may_not_enter_the_masters_folder_is_told_so(cluster):
    user = 65534 if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(dir="/tmp") as open_to_all:
        os.chmod(open_to_all, 0o777)
        closed = os.path.join(open_to_all, "closed")
        os.mkdir(closed, 0)
        command = [program("reeve-worker"), "--data", f"{open_to_all}/w", "--join", f"{closed}/master"]
        try:
            done = subprocess.run(command, env=cluster.env, user=user, capture_output=True, text=True, check=False)
        except PermissionError:
            pytest.skip("the programs lie where no other user may start them")
    assert done.returncode == 4, done.stderr
    assert "this user may not enter it" in done.stderr and "reeve token create --role worker" in done.stderr


# ---- the folder of an attempt ----

SEEN = "ls -A . .. ; stat -c %a . .."
TRACES = {
    "a file": "touch left",
    "a file that it removes": "touch left && rm left",
    "a folder": "mkdir left",
    "a file beside its own": "touch ../left",
    "an output": 'echo "n=1" > "$REEVE_OUTPUT"',
    "a mode": "chmod 0755 .",
    "a mode above": "chmod 0755 ..",
    "old times": "touch left && touch -d @1 . ..",
}
WHY_NO_CLOCK = faulty.no_preload()


@pytest.mark.skipif(WHY_NO_CLOCK is not None, reason=str(WHY_NO_CLOCK))
def test_folder_that_serves_again_shows_nothing_of_the_attempt_before(cluster):
    """By the worker's clock, a day ahead, every folder has been as it is for long. What leaves no trace lasts longer than
    a tick of the file system's clock, so that no trace comes within the tick in which a folder was made."""
    clock = faulty.Clock(cluster)
    cluster.start_master()
    with faulty.started_with(cluster, clock.env):
        cluster.start_worker("w1", slots=1)
    clock.step(86400)
    wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up")
    tasks, before = {"first": {"bash": f"{SEEN}; sleep 0.1"}}, "first"
    for number, trace in enumerate(TRACES.values()):
        tasks[f"leaves{number}"] = {"bash": f"{SEEN}; {trace}", "needs": before}
        before = f"sees{number}"
        tasks[before] = {"bash": f"{SEEN}; sleep 0.1", "needs": f"leaves{number}"}
    output = f"leaves{list(TRACES).index('an output')}"
    tasks["reads"] = {"bash": 'echo "n is $N"', "env": {"N": f"{{{{ outputs.{output}.n }}}}"}, "needs": [before, output]}
    run = cluster.submit(cluster.dag("traces", tasks))
    cluster.finish(run)
    seen = {name: cluster.ok("logs", f"{run}/{name}").splitlines() for name in tasks}
    assert seen.pop("reads") == ["n is 1"]
    for name, lines in seen.items():
        assert lines == [".:", "", "..:", "files", "700", "700"], (name, lines)
