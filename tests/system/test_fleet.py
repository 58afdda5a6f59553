"""A fleet on hosts of its own: a master and workers in network namespaces, joined by tokens over TCP."""

import base64
import contextlib
import datetime
import hashlib
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import time

import pytest

import fleet as fleets
import ledger
from faulty import other_boot
from ledger import lines_in, until
from reeve import PATIENCE, program, wait_until

WHY_NOT = fleets.is_possible()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


@pytest.fixture
def fleet():
    """Hosts m, w1, w2, w3 and desk, with nothing on them; all of it is gone after the test."""
    own = fleets.Fleet(["m", "w1", "w2", "w3", "desk"])
    yield own
    own.end_all()
    reports = own.sanitizer_reports()
    own.close()
    assert not reports, reports


@pytest.fixture
def cluster(fleet):
    """Under the name that conftest.py shows the logs of."""
    return fleet


@pytest.fixture
def pair(cluster):
    """A master with two workers of two slots."""
    cluster.start_master()
    cluster.start_workers("w1", "w2")
    return cluster


def gated(cluster, count=4, name="gated", **keys):
    """(run, ledger's path, gate): tasks that run side by side until the gate is there."""
    path, gate, locks = (cluster.folder / f"{name}.{part}" for part in ("ledger", "gate", "locks"))
    locks.mkdir()
    body = ledger.script(path, until(gate), locks)
    tasks = {f"t{n}": {"bash": body, **keys} for n in range(count)}
    run = cluster.submit(cluster.dag(name, tasks))
    wait_until(lambda: lines_in(path) == count, what=f"the start of {count} tasks")
    return run, path, gate


def check(cluster, run, path, lost=()):
    tasks = cluster.tasks(run)
    wrong = ledger.check(ledger.read(path), expected=[(run, t) for t in tasks], lost=[(run, *one) for one in lost])
    assert not wrong, "\n".join(wrong)


def workers_of(cluster, run):
    return {a["worker"] for task in cluster.tasks(run).values() for a in task["attempts"]}


def state_of(cluster, name):
    return cluster.workers()[name]["state"]


# ---- what it is for ----

def test_scripts_that_live_on_the_desk_alone_run_on_both_workers(pair):
    """The issue's first line: join by token, submit from elsewhere, scripts, modes, artifacts and logs travel."""
    script = "#!/bin/bash\ncat data/words\necho \"by $REEVE_WORKER\"\n"
    tasks = {f"t{n}": {"bash": "./say.sh; [ -x say.sh ] && [ ! -x data/words ]; sleep 0.3"} for n in range(8)}
    tasks["make"] = {"bash": "tr a-z A-Z <data/words >made", "artifacts": ["made"], "needs": list(tasks)}
    tasks["take"] = {"bash": 'cat "$REEVE_ARTIFACTS/make/made"', "needs": "make"}
    with pair.desk("desk") as desk:
        desk.join()
        file = desk.dag("far", tasks, files={"say.sh": script, "data/words": "planted words\n"})
        (desk.inside / "far/data/words").chmod(0o644)
        assert not file.exists(), "the file is on the desk alone"
        run = desk.ok("submit", file).strip()
        assert desk.reeve("wait", run).status == 0, pair.reeve("status", run).out + pair.logs()
        assert "planted words" in desk.ok("logs", f"{run}/t0")
        assert "PLANTED WORDS" in desk.ok("logs", f"{run}/take")
    assert workers_of(pair, run) == {"w1", "w2"}
    for worker in pair.workers().values():
        assert worker["cpus"] >= 1 and worker["memory_bytes"] > worker["memory_used"] > 0, worker
        assert worker["disk_bytes"] >= worker["disk_free"] > 0, worker
        assert fleets.Fleet.address(worker["worker"]) in worker["address"], worker


def test_traffic_holds_no_plain_text_of_a_command_or_a_log(cluster):
    with cluster.captured() as captured:
        cluster.start_master()
        cluster.start_workers("w1", "w2")
        with cluster.desk("desk") as desk:
            desk.join()
            file = desk.dag("secret", {"a": {"bash": "./s.sh; echo planted-$((600 + 66))-in-a-log"}},
                            files={"s.sh": "#!/bin/sh\necho planted-script\n"})
            run = desk.ok("submit", file).strip()
            assert desk.reeve("wait", run).status == 0
            assert "planted-666-in-a-log" in desk.ok("logs", f"{run}/a")
    wire = captured.read_bytes()
    assert len(wire) > 20000 and b"CURVE" in wire, "nothing was captured"
    for word in (b"planted", b"s.sh", b"echo", b"secret"):
        assert word not in wire, word


# ---- files ----

def run_from(desk, name, files, **tasks):
    """The run of a DAG whose files lie on the desk, once it has succeeded."""
    run = desk.ok("submit", desk.dag(name, tasks, files=files)).strip()
    desk.fleet.finish(run)
    return run


def seconds_to_start(cluster, run, task="a"):
    """From the attempt's assignment to its start, both by the master's clock."""
    (attempt,) = cluster.tasks(run)[task]["attempts"]
    at = [datetime.datetime.fromisoformat(attempt[key].replace("Z", "+00:00")) for key in ("assigned_at", "started_at")]
    return (at[1] - at[0]).total_seconds()


@pytest.fixture
def desk(cluster):
    """A person's desk, and a worker w1 with a cache of 16 MiB."""
    cluster.start_master()
    cluster.start_worker("w1", "--cache-max", "16MiB")
    wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up")
    with cluster.desk("desk") as own:
        own.join()
        yield own


def test_first_task_with_a_bundle_of_ten_megabytes_starts_soon(cluster, desk):
    """The best of many, each of new content: other programs' disks and processors are not what is tried."""
    took = []
    for number in range(40):
        files = {f"part{n}": os.urandom(500_000).hex() for n in range(10)}
        run = run_from(desk, f"big{number}", files, a={"bash": "cat part* | wc -c"})
        assert "10000000" in cluster.ok("logs", f"{run}/a")
        took.append(seconds_to_start(cluster, run))
        if took[-1] < 0.3 * PATIENCE:
            break
    print(f"{', '.join(f'{seconds * 1000:.0f}' for seconds in took)} ms to the start")
    assert min(took) < 0.3 * PATIENCE


@pytest.mark.slow
def test_bundle_of_ten_thousand_files_is_fetched_once_and_evicted_by_size(cluster, desk):
    files = {f"d{n // 100}/f{n:04}": f"{n} {'x' * 500}" for n in range(9990)}
    body = "find . -type f | wc -l"
    run = run_from(desk, "many", files, a={"bash": body}, b={"bash": body, "needs": "a"})
    assert "9991" in cluster.ok("logs", f"{run}/b")
    print(", ".join(f"{task}: {seconds_to_start(cluster, run, task) * 1000:.0f} ms to its start" for task in "ab"))
    cache = cluster.folder / "w1/private/cache"

    def contents():
        """(mode, size) of each; what is evicted meanwhile is passed over."""
        found = []
        for path in cache.glob("??/*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                found += [(status.st_mode & 0o777, status.st_size)] if stat.S_ISREG(status.st_mode) else []
        return found

    assert len(contents()) >= 9990 and {mode for mode, _ in contents()} == {0o400}
    for number in range(3):
        run_from(desk, f"large{number}", {"large": os.urandom(4_000_000).hex()}, a={"bash": "ls"})
    size = lambda: sum(size for _, size in contents())
    wait_until(lambda: size() <= 16 << 20, what="the eviction")
    assert size() >= 8_000_000, "what was used last stays"


# ---- secrets of the join ----

def test_token_is_gone_from_the_command_line_and_every_environment(cluster):
    cluster.start_master()
    by_word, by_variable = cluster.token(), cluster.token()
    assert by_word.startswith("reeve1_") and by_variable != by_word
    cluster.spawn_on("w1", "w1", program("reeve-worker"), "--data", cluster.folder / "w1", "--name", "w1", "--join",
                     by_word)
    cluster.env["REEVE_JOIN"] = by_variable
    cluster.spawn_on("w2", "w2", program("reeve-worker"), "--data", cluster.folder / "w2", "--name", "w2")
    del cluster.env["REEVE_JOIN"]
    wait_until(lambda: cluster.workers_up() == {"w1", "w2"}, what="both up")
    _, _, gate = gated(cluster, count=2)
    seen = 0
    for pid, name in cluster.processes_left().items():
        try:
            texts = {part: pathlib.Path(f"/proc/{pid}/{part}").read_bytes() for part in ("cmdline", "environ")}
        except OSError:
            continue  # a task's shell has children that end at once
        for part, text in texts.items():
            for token in (by_word, by_variable):
                assert token[7:40].encode() not in text, f"{part} of {name}"
            assert b"REEVE_JOIN" not in text, f"{part} of {name}"
        seen += 1
    assert seen >= 7, "master, two agents, two runners, two tasks"
    gate.touch()


def refused_join(cluster, token, status=4):
    """What a worker says that tries it, and ends."""
    done = subprocess.run(
        cluster.on("w3", program("reeve-worker"), "--data", cluster.folder / "late", "--name", "w3"),
        env={**cluster.env, "REEVE_JOIN": token}, capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
    assert done.returncode == status, (done.returncode, done.stderr)
    assert len(done.stderr.splitlines()) <= 4, done.stderr
    return done.stderr


def test_token_that_is_used_up_expired_revoked_or_forged_is_refused_in_words(pair):
    used = pair.token()
    pair.start_workers("w3", token=used)
    assert "used" in refused_join(pair, used)
    short = pair.token("worker", "--valid", "1s")
    time.sleep(1.2)
    assert "expired" in refused_join(pair, short)
    revoked = pair.token()
    (number,) = [line["token"] for line in pair.json("token", "list") if line["state"] == "valid"]
    pair.ok("token", "revoke", number)
    assert "revoked" in refused_join(pair, revoked)
    assert "does not know this token" in refused_join(pair, forged(used))
    assert "cut" in refused_join(pair, used[:-9], status=2)


def forged(token):
    """The token with a secret key of one's own, its checksum made anew: token.c says what lies where."""
    body = bytearray(base64.urlsafe_b64decode(token[7:] + "=" * (-len(token[7:]) % 4)))
    cluster = int.from_bytes(body[15:17], "little")
    at = 17 + cluster + 32
    body[at:at + 32] = os.urandom(32)
    body[-8:] = hashlib.blake2b(body[:-8], digest_size=32).digest()[:8]
    return token[:7] + base64.urlsafe_b64encode(body).decode().rstrip("=")


def test_joined_folder_needs_no_token_and_ignores_another_of_its_cluster(pair):
    assert pair.kill("w1", signal.SIGTERM) == 0
    pair.env["REEVE_JOIN"] = pair.token()
    pair.start_worker("w1")
    del pair.env["REEVE_JOIN"]
    wait_until(lambda: pair.log_of("w1").count("registered with the master") == 2, what="w1 up again")
    assert "has joined cluster" in pair.log_of("w1") and "the token is not used" in pair.log_of("w1")
    assert oct((pair.folder / "w1/private/join").stat().st_mode & 0o777) == "0o600"


# ---- links and ends ----

@pytest.mark.slow
def test_cut_link_is_shown_as_silent_in_three_seconds_and_nothing_runs_twice(pair):
    run, path, gate = gated(pair)
    wait_until(lambda: all(task["state"] == "running" for task in pair.tasks(run).values()), what="the word of their starts")
    said_at = time.monotonic()
    wait_until(lambda: (time.monotonic() - said_at) * 1000 > pair.workers()["w1"]["heartbeat_age_ms"],
               what="a heartbeat after all that was said")
    pair.cut("w1")
    cut_at = time.monotonic()
    pair.wait_for_silence("w1")
    gate.touch()
    time.sleep(max(0.0, cut_at + 5 - time.monotonic()))  # the cut itself lasts five seconds
    pair.mend("w1")
    pair.finish(run)
    check(pair, run, path)
    wait_until(lambda: state_of(pair, "w1") == "up", what="w1 up again")


@pytest.mark.slow
def test_master_that_does_not_answer_is_told_of_once(pair):
    pair.kill("master")
    wait_until(lambda: "no answer from tcp://" in pair.log_of("w1"), what="the agent's word")
    time.sleep(6)  # a loop would show by now
    assert pair.log_of("w1").count("no answer from") == 1, pair.log_of("w1")
    pair.start_master()
    wait_until(lambda: pair.workers_up() == {"w1", "w2"}, what="both up again")
    wait_until(lambda: "answers after" in pair.log_of("w1"), what="the agent's word of it")


@pytest.mark.slow
def test_addresses_of_a_token_are_tried_in_turn(cluster):
    """The first swallows packets, the second refuses, the third is the master."""
    host = cluster.address("m")
    addresses = ["tcp://10.213.0.250:7411", f"tcp://{host}:9", f"tcp://{host}:7411"]
    cluster.start_master(*(word for address in addresses for word in ("--advertise", address)))
    cluster.start_worker("w1")
    wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up")
    wait_until(lambda: f"registered with the master at {addresses[2]}" in cluster.log_of("w1"), what="the agent's word")
    assert cluster.log_of("w1").count("no answer from") <= 4, cluster.log_of("w1")
    run = cluster.submit(cluster.dag("d", {"a": {"bash": "echo said"}}))
    cluster.finish(run)
    wait_until(lambda: "said" in cluster.reeve("logs", f"{run}/a").out, what="the log, by the bulk port of that address")


def test_labels_say_where_a_task_may_run(pair):
    pair.start_worker("w3", "--label", "gpu", "--label", "disk=ssd")
    wait_until(lambda: "w3" in pair.workers_up(), what="w3 up")
    assert pair.workers()["w3"]["labels"] == ["gpu", "disk=ssd"]
    tasks = {f"t{n}": {"bash": "true", "labels": ["disk=ssd"]} for n in range(6)}
    run = pair.submit(pair.dag("labelled", tasks))
    pair.finish(run)
    assert workers_of(pair, run) == {"w3"}
    assert pair.kill("w3", signal.SIGTERM) == 0
    pair.start_worker("w3")
    wait_until(lambda: pair.log_of("w3").count("registered with the master") == 2, what="w3 up again")
    assert pair.workers()["w3"]["labels"] == ["gpu", "disk=ssd"], "they are remembered"


@pytest.mark.slow
def test_removed_key_ends_its_agent_with_status_4_and_its_tasks_run_until_their_lease(pair):
    run, path, gate = gated(pair, lease="20s", kill_grace="1s")
    mine = [name for name, task in pair.tasks(run).items() if task["attempts"][0]["worker"] == "w1"]
    pids = {line.pid for line in ledger.read(path) if line.task in mine}
    assert len(pids) == 2
    pair.ok("workers", "--remove", "w1")
    assert pair.processes["w1"].wait(timeout=30 * PATIENCE) == 4
    assert pids <= set(pair.processes_left())
    pair.start_worker("w1")
    assert pair.processes["w1"].wait(timeout=30 * PATIENCE) == 4, "the handshake is refused too"
    said = [line for line in pair.log_of("w1").splitlines() if "does not admit this worker" in line]
    assert len(said) == 2 and all("2 tasks go on until their lease" in line for line in said), pair.log_of("w1")
    wait_until(lambda: not pids & set(pair.processes_left()), seconds=90, what="the end of their lease")
    gate.touch()
    pair.finish(run)
    tasks = pair.tasks(run)
    assert all([a["state"] for a in tasks[name]["attempts"]] == ["lost", "success"] for name in mine)
    check(pair, run, path, lost=[(name, 1) for name in mine])


def test_worker_that_joins_mid_run_gets_work_at_once(pair):
    path, gate = pair.folder / "ledger", pair.folder / "gate"
    tasks = {f"t{n:02}": {"bash": ledger.script(path, until(gate))} for n in range(40)}
    run = pair.submit(pair.dag("many", tasks))
    wait_until(lambda: lines_in(path) == 4, what="the first starts")
    pair.start_workers("w3")
    wait_until(lambda: "w3" in workers_of(pair, run), what="work on w3")
    gate.touch()
    pair.finish(run)
    check(pair, run, path)


def test_drained_worker_finishes_takes_no_more_and_is_undrained(pair):
    run, path, gate = gated(pair)
    pair.ok("drain", "w1")
    wait_until(lambda: state_of(pair, "w1") == "draining", what="draining")
    more = pair.submit(pair.dag("more", {f"t{n}": {"bash": "true"} for n in range(6)}))
    gate.touch()
    pair.finish(run)
    pair.finish(more)
    assert workers_of(pair, run) == {"w1", "w2"} and workers_of(pair, more) == {"w2"}
    check(pair, run, path)
    pair.ok("undrain", "w1")
    wait_until(lambda: state_of(pair, "w1") == "up", what="w1 up")


def test_every_agent_and_the_master_restart_under_running_tasks(pair):
    run, path, gate = gated(pair)
    for name in ("w1", "master", "w2"):
        if name == "master":
            pair.kill(name)
            pair.start_master()
        else:
            assert pair.kill(name, signal.SIGTERM) == 0
            assert "2 running tasks go on" in pair.log_of(name)
            pair.start_worker(name)
        wait_until(lambda: pair.workers_up() == {"w1", "w2"}, what="both up")
    gate.touch()
    pair.finish(run)
    check(pair, run, path)
    assert all(len(task["attempts"]) == 1 for task in pair.tasks(run).values())


# ---- two of a kind ----

def test_second_worker_of_a_name_is_refused_by_name_and_joins_by_another(pair):
    token = pair.token()
    start = pair.on("w3", program("reeve-worker"), "--data", pair.folder / "w3", "--name")
    done = subprocess.run([*start, "w1"], env={**pair.env, "REEVE_JOIN": token}, capture_output=True, text=True,
                          timeout=60 * PATIENCE, check=False)
    assert done.returncode == 4 and 'another live worker is called "w1"' in done.stderr, done.stderr
    pair.env["REEVE_JOIN"] = token
    pair.spawn("w3", *start, "w3")
    del pair.env["REEVE_JOIN"]
    wait_until(lambda: pair.workers_up() == {"w1", "w2", "w3"}, what="w3 up")


def copy_of(cluster, name):
    copy = cluster.folder / "copy"
    shutil.copytree(cluster.folder / name, copy, ignore=shutil.ignore_patterns("*.sock", "lock"))
    return copy


def test_36_data_directory_copied_to_another_host_is_refused_by_name(pair):
    run, path, gate = gated(pair)
    copy = copy_of(pair, "w1")
    pair.spawn_on("w3", "copy", *other_boot(pair, program("reeve-worker"), "--data", copy))
    wait_until(lambda: "was copied" in pair.log_of("copy"), what="the refusal")
    time.sleep(3)  # a loop would show by now
    assert pair.log_of("copy").count("was copied") == 1, pair.log_of("copy")
    wait_until(lambda: pair.workers_up() == {"w1", "w2"}, what="both up")
    gate.touch()
    pair.finish(run)
    check(pair, run, path)
    assert all(len(task["attempts"]) == 1 for task in pair.tasks(run).values())
    assert "copied" in pair.ok("audit")


def test_36_data_directory_copied_on_the_same_host_kills_nothing(pair):
    run, path, gate = gated(pair)
    pids = {line.pid for line in ledger.read(path)}
    done = subprocess.run(pair.on("w1", program("reeve-worker"), "--data", copy_of(pair, "w1")), env=pair.env,
                          capture_output=True, text=True, timeout=30 * PATIENCE, check=False)
    assert done.returncode == 7 and "was copied from the folder of a worker that is alive" in done.stderr, done.stderr
    assert pids <= set(pair.processes_left())
    gate.touch()
    pair.finish(run)
    check(pair, run, path)


@pytest.mark.slow
def test_36_rebooted_host_speaks_for_itself_and_the_lease_runs_out(pair):
    """Nothing of the former boot can say what became of its tasks: they are lost when their lease is over, and no
    sooner."""
    run, path, gate = gated(pair, lease="20s", kill_grace="1s")
    lost = [name for name, task in pair.tasks(run).items() if task["attempts"][0]["worker"] == "w1"]
    assert len(lost) == 2
    power_cut(pair, "w1")
    cut_at = time.monotonic()
    pair.spawn_on("w1", "w1", *other_boot(pair, program("reeve-worker"), "--data", pair.folder / "w1"))
    wait_until(lambda: state_of(pair, "w1") == "up", what="w1 up after its reboot")
    assert all(pair.tasks(run)[name]["attempts"][0]["state"] != "lost" for name in lost)
    gate.touch()
    pair.finish(run)
    assert time.monotonic() - cut_at > 19
    tasks = pair.tasks(run)
    assert all([a["state"] for a in tasks[name]["attempts"]] == ["lost", "success"] for name in lost)
    check(pair, run, path, lost=[(name, 1) for name in lost])


def power_cut(cluster, name):
    """Kills all that runs on a host at once, the runner first: nobody there can tell of it."""
    def network(pid):
        try:
            return os.readlink(f"/proc/{pid}/ns/net")
        except OSError:
            return None  # a task's shell has children that end at once

    here = network(cluster.processes[name].pid)
    own = [pid for pid in cluster.processes_left() if network(pid) == here]
    for pid in [cluster.processes[name].pid, *own]:
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            pass
    for pid in own:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    cluster.processes[name].wait()
