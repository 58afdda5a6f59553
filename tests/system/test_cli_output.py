"""What commands print, and where: INTERFACE, Output and Exit, on pipes and on terminals."""

import json
import os
import re
import signal
import socket
import subprocess

import pytest

import reeve
from reeve import wait_until
from terminal import Terminal

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def master(cluster):
    """A master without workers: what is submitted stays ready."""
    cluster.start_master()
    return cluster


def waiting_run(cluster):
    return cluster.submit(cluster.dag("d", {"a": {"bash": "true"}, "b": {"needs": "a", "noop": None}}))


@pytest.mark.parametrize("command", [
    ["pause", "d"], ["backfill", "d", "--from", "x"], ["backup", "f"],
    ["completion", "bash"], ["logs", "d/1", "--grep", "x"], ["retry", "d/1", "--new-files"]])
def test_what_later_versions_know_is_refused_not_unknown(cluster, command):
    result = cluster.reeve(*command)
    assert result.status == 7
    assert "not supported in this version" in result.err and not result.out


def test_wide_is_for_workers_alone(master):
    assert "REGISTERED" in master.ok("workers", "-o", "wide") and "REGISTERED" not in master.ok("workers")
    result = master.reeve("runs", "-o", "wide")
    assert result.status == 2 and "-o table|json" in result.err


def test_status_without_a_run_shows_the_fleet_on_one_screen(started):
    run = started.submit(started.dag("d", {"a": {"bash": "true", "queue": "gpu"}, "b": {"bash": "true"}}))
    wait_until(lambda: started.json("status", f"{run}/b")["tasks"][0]["state"] == "success", what="b's end")
    wait_until(lambda: started.json("status")["master"]["workers_up"] == 2, what="both up")
    document = started.json("status")
    assert len(document["workers"]) == 2
    assert document["runs"]["running"] == 1 and document["runs"]["failed"] == 0
    active, = document["active"]
    assert active["run"] == run and "gpu" in active["waits_for"]
    shown = wait_until(lambda: [text for text in [started.ok("status")] if "2 up;" in text], what="both up")[0]
    assert re.search(r"^master +up .* since " + TIME, shown, re.M)
    assert re.search(r"^workers +2 up; 0 of 8 slots in use$", shown, re.M)
    assert re.search(r"^runs +1 running$", shown, re.M)
    assert re.search(rf'^{run} +running +1 of 2 .*"gpu"', shown, re.M)
    started.kill("w2")
    wait_until(lambda: "w2 is silent for" in started.ok("status"), what="w2 shown as silent")


def test_help_of_each_command_is_on_stdout(cluster):
    overview = cluster.ok("help")
    for command in ("run", "submit", "logs", "artifacts"):
        assert command in overview
        assert cluster.ok("help", command) == cluster.ok(command, "--help")
        assert f"Usage: reeve {command} " in cluster.ok("help", command)


def test_lists_are_arrays_and_empty_ones_too(master):
    for command in ("runs", "dags", "workers"):
        assert master.json(command) == []
    assert master.json("ping")["workers_up"] == 0


def test_run_that_waits_says_why(master):
    run = waiting_run(master)
    assert 'no live worker serves queue "default"' in master.ok("status", run)
    assert 'no live worker serves queue "default"' in master.json("status", run)["waits_for"]


def test_timeout_of_wait_ends_124_and_says_how_to_come_back(master):
    run = waiting_run(master)
    result = master.reeve("wait", run, "--timeout", "300ms")
    assert result.status == 124
    assert f"reeve wait {run}" in result.err and not result.out


@pytest.mark.slow
def test_timeout_holds_while_the_master_is_away(master):
    run = waiting_run(master)
    waiter = subprocess.Popen([reeve.program("reeve"), "wait", run, "--timeout", "4s"], stderr=subprocess.PIPE,
                              env=master.env, text=True)
    assert "running" in waiter.stderr.readline()
    master.kill("master")
    assert waiter.wait(timeout=30) == 124
    waiter.stderr.close()


@pytest.mark.slow
def test_wait_outlasts_a_restart_of_the_master(master):
    run = waiting_run(master)
    waiter = subprocess.Popen([reeve.program("reeve"), "wait", run], stderr=subprocess.PIPE, env=master.env, text=True)
    assert "running" in waiter.stderr.readline()
    master.kill("master")
    said = ""
    while "master not reachable, waiting" not in said:
        said = waiter.stderr.readline()
        assert said
    master.start_master()
    master.ok("cancel", run)
    assert waiter.wait(timeout=60) == 1
    assert "cancelled" in waiter.stderr.read()
    waiter.stderr.close()


def test_ctrl_c_lets_go_of_a_run_that_is_waited_for(master):
    run = waiting_run(master)
    terminal = Terminal(master, "wait", run)
    terminal.until("running")
    terminal.press_ctrl_c()
    assert terminal.end() == 130
    assert f"reeve wait {run}" in terminal.shown
    assert master.json("status", run)["state"] == "running"


def test_terminal_gets_a_block_that_is_drawn_in_place(master):
    run = waiting_run(master)
    terminal = Terminal(master, "wait", run)
    terminal.until("\x1b[")
    terminal.until("0/2")
    master.ok("cancel", run)
    assert terminal.end() == 1
    assert "\x1b[J" in terminal.shown and "2/2" in terminal.shown


@pytest.mark.parametrize("env, colour, block", [
    ({}, True, True), ({"NO_COLOR": "1"}, False, True), ({"TERM": "dumb"}, False, False)])
def test_no_color_and_dumb_terminals_are_heeded(master, env, colour, block):
    run = waiting_run(master)
    master.ok("cancel", run)
    terminal = Terminal(master, "wait", run, **env)
    assert terminal.end() == 1
    assert ("\x1b[35m" in terminal.shown) == colour
    assert ("\x1b[J" in terminal.shown) == block
    if not block:
        assert re.search(rf"^{TIME} {run} cancelled", terminal.shown, re.MULTILINE)


def test_piped_output_has_no_escapes_and_nothing_on_stdout_but_results(master):
    run = waiting_run(master)
    master.ok("cancel", run)
    result = master.reeve("wait", run)
    assert not result.out and "\x1b" not in result.err
    assert re.search(rf"^{TIME} {run} cancelled; 2 tasks: 2 cancelled$", result.err, re.MULTILINE)


def test_followed_run_as_json_is_a_document_a_line(master):
    run = waiting_run(master)
    waiter = subprocess.Popen([reeve.program("reeve"), "wait", run, "-o", "json"], stdout=subprocess.PIPE,
                              env=master.env, text=True)
    master.ok("cancel", run)
    documents = [json.loads(line) for line in waiter.stdout]
    assert waiter.wait(timeout=30) == 1
    waiter.stdout.close()
    assert documents[-1] == {"run": run, "state": "cancelled"}
    assert all(document["run"] == run for document in documents)


def test_selectors_name_the_latest_and_the_last_run(master):
    run = waiting_run(master)
    assert [master.json("status", name)["run"] for name in ("d", "last", "d/1", "last/a")] == [run] * 4
    assert len(master.json("status", "d/a")["tasks"]) == 1
    assert master.reeve("cancel", "d").status == 2


def test_param_from_a_file_is_read_here(master):
    (master.folder / "value").write_text("Seoul\n")
    file = master.dag("d", {"a": {"bash": "true"}}, params={"city": "x"})
    run = master.submit(file, "-p", "city=@value")
    assert master.json("status", run)["params"] == {"city": "Seoul"}
    assert master.reeve("submit", file, "-p", "city=@missing").status == 6


def test_full_disk_at_stdout_is_not_taken_for_success(master):
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = subprocess.run([reeve.program("reeve"), "status", "--help"], stdout=full, env=master.env, check=False,
                                stderr=subprocess.PIPE)
    assert result.returncode == 1 and b"No space" in result.stderr


def test_status_of_many_tasks_is_whole(master):
    run = master.submit(master.dag("d", {f"t{n}": {"bash": "true"} for n in range(4500)}))
    tasks = [task["task"] for task in master.json("status", run)["tasks"]]
    assert tasks == [f"t{n}" for n in range(4500)]
    assert len([line for line in master.ok("status", run).splitlines() if line.startswith("t")]) == 4500


def test_logs_of_a_run_stand_under_their_tasks_names(started):
    run = started.submit(started.dag("d", {"a": {"bash": "echo one; echo two"}, "b": {"needs": "a", "bash": "printf three"}}))
    started.finish(run)
    result = started.reeve("logs", run)
    assert result.out == "a | one\na | two\nb | three\n"
    assert f"{run}/a@1 success" in result.err
    assert started.ok("logs", f"{run}/b") == "three"
    assert re.fullmatch(rf"{TIME} one\n{TIME} two\n", started.ok("logs", f"{run}/a", "-t"))
    lines = [json.loads(line) for line in started.ok("logs", run, "-o", "json").splitlines()]
    assert [(line["task"], line["attempt"], line["line"]) for line in lines] == [
        ("a", 1, "one"), ("a", 1, "two"), ("b", 1, "three")]
    assert started.ok("logs", f"{run}/a", "--tail", "1") == "two\n"


def test_followed_logs_end_with_the_run(started):
    mark = started.folder / "go"
    body = f"echo begun; until [ -e {mark} ]; do sleep 0.05; done; echo over"
    run = started.submit(started.dag("d", {"a": {"bash": body}, "b": {"needs": "a", "bash": "echo after"}}))
    follower = subprocess.Popen([reeve.program("reeve"), "logs", "-f", run], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, env=started.env, text=True)
    assert follower.stdout.readline() == "a | begun\n"
    mark.touch()
    assert follower.stdout.read() == "a | over\nb | after\n"
    assert follower.wait(timeout=30) == 0
    follower.stdout.close()


def test_following_many_logs_loses_no_read(started):
    run = started.submit(started.dag("d", {f"t{n:02}": {"bash": f"echo {n}"} for n in range(40)}))
    started.finish(run)
    # A read whose answer is lost is asked again after 15 s only.
    assert sorted(map(int, re.findall(r"\| (\d+)", started.ok("logs", "-f", run, seconds=12)))) == list(range(40))


def test_following_ends_at_once_for_tasks_that_wrote_nothing(started):
    tasks = {f"n{n:03}": {"noop": None} for n in range(150)} | {"a": {"bash": "true"}, "z": {"bash": "echo z"}}
    run = started.submit(started.dag("d", tasks))
    # No end of a log ever comes for them: a read of it would wait for 10 s, again and again.
    assert started.ok("logs", "-f", run, seconds=9) == "z | z\n"


def test_artifacts_are_listed_and_fetched(started):
    run = started.submit(started.dag("d", {
        "a": {"bash": "echo 42 >answer.txt", "artifacts": ["answer.txt"]},
        "b": {"bash": "echo 43 >answer.txt", "artifacts": ["answer.txt"]}}))
    started.finish(run)
    assert {(file["task"], file["name"], file["size"]) for file in started.json("artifacts", run)} == {
        ("a", "answer.txt", 3), ("b", "answer.txt", 3)}
    assert started.reeve("artifacts", run, "--get", "answer.txt").status == 2
    assert started.ok("artifacts", run, "--get", "b/answer.txt", "-O", "-") == "43\n"
    started.ok("artifacts", f"{run}/a", "--get", "answer.txt")
    assert (started.folder / "answer.txt").read_text() == "42\n"
    assert started.reeve("artifacts", f"{run}/a", "--get", "answer.txt").status == 7


def test_run_shows_what_its_tasks_write_on_stdout_under_their_names(cluster):
    result = cluster.reeve("run", cluster.dag("d", {
        "a": {"bash": "echo one; echo two >&2; printf rest"}, "b": {"needs": "a", "bash": "seq 3"},
        "c": {"needs": "b", "bash": "echo the reason; exit 3"}}))
    assert result.status == 1
    assert result.out == "a | one\na | two\na | rest\nb | 1\nb | 2\nb | 3\nc | the reason\n"
    assert "the reason" not in result.err, "what is in sight is not shown twice"
    assert not cluster.processes_left()


def test_run_shows_output_while_its_task_runs(cluster):
    mark = cluster.folder / "go"
    file = cluster.dag("d", {"a": {"bash": f"echo begun; until [ -e {mark} ]; do sleep 0.05; done"}})
    with subprocess.Popen([reeve.program("reeve"), "run", str(file)], env=cluster.env, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout.readline() == "a | begun\n"
        mark.touch()
        assert process.wait(timeout=60) == 0


def test_run_that_wrote_much_shows_the_last_lines_of_its_failed_tasks(cluster):
    result = cluster.reeve("run", cluster.dag("d", {
        "a": {"bash": "echo the reason; exit 3"}, "b": {"needs": "a", "bash": "seq 1000", "trigger_rule": "all_done"}}))
    assert result.status == 1 and len(result.out.splitlines()) == 1001
    assert "a | the reason" in result.err


def test_quiet_run_shows_only_the_end_of_what_failed(cluster):
    result = cluster.reeve("run", "-q", cluster.dag("d", {"a": {"bash": "echo fine"}, "b": {"bash": "echo the reason; exit 3"}}))
    assert result.status == 1 and result.out == ""
    assert "b | the reason" in result.err and "fine" not in result.err


def test_run_on_a_terminal_writes_output_above_its_block(cluster):
    terminal = Terminal(cluster, "run", cluster.dag("d", {"a": {"bash": "for i in {1..5}; do echo line $i; sleep 0.2; done"}}))
    assert terminal.end() == 0
    shown = [line.split("\x1b[J")[-1] for line in terminal.shown.split("\r\n")]
    assert [line for line in shown if "line" in line] == [f"a | line {i}" for i in range(1, 6)]
    assert "1/1" in terminal.shown.split("a | line 5")[1], "the block stands below what was written last"


def test_run_serves_every_queue_that_the_dag_names(cluster):
    result = cluster.reeve("run", cluster.dag("d", {"a": {"bash": "true", "queue": "gpu"}, "b": {"bash": "true"}}))
    assert result.status == 0, result.err


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_run_that_is_interrupted_leaves_nothing(cluster, number, status):
    mark = cluster.folder / "mark"
    file = cluster.dag("d", {"a": {"bash": f"setsid sleep 600 & touch {mark}; wait", "kill_grace": "1s"}})
    process = subprocess.Popen([reeve.program("reeve"), "run", str(file)], env={**cluster.env, "XDG_RUNTIME_DIR": str(cluster.folder)},
                               stderr=subprocess.DEVNULL)
    wait_until(mark.exists, what="the task's start")
    process.send_signal(number)
    assert process.wait(timeout=60) == status
    wait_until(lambda: not cluster.processes_left(), what="the end of all processes")
    wait_until(lambda: not list(cluster.folder.glob("reeve-*")), what="the end of the private folder")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_run_that_is_interrupted_lets_its_tasks_end_and_a_second_signal_does_not_wait(cluster, number):
    mark, tidied = cluster.folder / "mark", cluster.folder / "tidied"
    tidy = cluster.dag("d", {"a": {"bash": f"trap 'touch {tidied}; exit 0' TERM; touch {mark}; while :; do sleep 0.1; done"}})
    deaf = cluster.dag("e", {"a": {"bash": f"trap '' TERM; touch {mark}; while :; do sleep 0.1; done", "kill_grace": "1h",
                                    "lease": "4h"}})
    for file, signals in ((tidy, 1), (deaf, 2)):
        with subprocess.Popen([reeve.program("reeve"), "run", str(file)], env=cluster.env, stderr=subprocess.PIPE,
                              text=True) as process:
            wait_until(mark.exists, what="the task's start")
            process.send_signal(number)
            if signals == 2:
                while "ends it at once" not in process.stderr.readline():
                    assert process.poll() is None
                process.send_signal(number)
            process.stderr.read()
            assert process.wait(timeout=60) == 128 + number
        wait_until(lambda: not cluster.processes_left(), what="the end of all processes")
        mark.unlink()
    assert tidied.exists()


def test_run_with_keep_says_where(cluster):
    result = cluster.reeve("run", "--keep", cluster.dag("d", {"a": {"noop": None}}), XDG_RUNTIME_DIR=cluster.folder)
    assert result.status == 0, result.err
    (kept,) = cluster.folder.glob("reeve-*")
    assert str(kept) in result.err and (kept / "master").is_dir()


def test_standalone_serves_and_ends_with_ctrl_c(cluster):
    own = subprocess.Popen([reeve.program("reeve"), "standalone", "--workers", "2", "--data", str(cluster.data)],
                           env=cluster.env, stderr=subprocess.PIPE, text=True)
    said = ""
    while "ready:" not in said:
        said = own.stderr.readline()
        assert said
    cluster.finish(cluster.submit(cluster.dag("d", {"a": {"bash": "true"}})))
    own.send_signal(signal.SIGINT)
    own.communicate(timeout=60)
    assert own.returncode == 130
    assert not cluster.processes_left()


def test_standalone_starts_a_killed_master_again_and_the_task_goes_on(cluster):
    log = cluster.folder / "standalone.log"
    with log.open("w") as out:
        own = subprocess.Popen([reeve.program("reeve"), "standalone", "--data", str(cluster.data)], env=cluster.env, stderr=out)
    wait_until(lambda: "ready:" in log.read_text(), what="the start")
    fifo = cluster.folder / "go"
    os.mkfifo(fifo)
    run = cluster.submit(cluster.dag("d", {"a": {"bash": f"echo begun; cat {fifo}; echo ended"}}))
    wait_until(lambda: cluster.tasks(run)["a"]["state"] == "running", what="the task's start")
    os.kill(int((cluster.data / "lock").read_text()), signal.SIGKILL)
    wait_until(lambda: "ended by signal 9, and is started again" in log.read_text(), what="the new master")
    wait_until(lambda: cluster.reeve("ping").status == 0, what="its answer")
    fifo.write_text("gone on\n")
    cluster.finish(run)
    assert len(cluster.tasks(run)["a"]["attempts"]) == 1
    assert cluster.reeve("logs", f"{run}/a").out.splitlines() == ["begun", "gone on", "ended"]
    own.send_signal(signal.SIGINT)
    assert own.wait(timeout=60) == 130
    assert not cluster.processes_left()


def test_standalone_whose_port_is_taken_ends_as_its_master_does(cluster):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        result = cluster.reeve("standalone", "--data", cluster.data, "--listen", address)
    assert result.status == 7 and "the port is taken" in result.err, result.err
    assert not cluster.processes_left()
