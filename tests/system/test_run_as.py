"""Tasks that run as another user than their worker, and what they can then not do (FAULTS 38)."""

import os
import pathlib
import pwd

import pytest

from reeve import Cluster, files_below, program, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changing user needs root")


@pytest.fixture
def fleet():
    """w1 runs tasks as nobody, or as games when they ask for it."""
    cluster = Cluster()
    os.chmod(cluster.folder, 0o711)
    try:
        cluster.start_master()
        cluster.start_worker("w1", "--run-as", "nobody,games")
        wait_until(lambda: "w1" in cluster.workers_up(), what="w1 up")
        yield cluster
        assert not cluster.sanitizer_reports()
    finally:
        cluster.close()


def log_of(cluster, task, status=0, name="d", **keys):
    run = cluster.submit(cluster.dag(name, {"a": task}, **keys))
    cluster.finish(run, status=status)
    return cluster.ok("logs", f"{run}/a")


def test_default_is_the_first_of_the_list(fleet):
    text = log_of(fleet, {"bash": 'id -un; id -gn; echo "$USER $LOGNAME $HOME $SHELL"; id -G'})
    nobody = pwd.getpwnam("nobody")
    user, group, login, groups = text.splitlines()
    assert (user, group) == ("nobody", "nogroup")
    assert login == f"nobody nobody {nobody.pw_dir} {nobody.pw_shell}"
    assert groups.split() == [str(g) for g in os.getgrouplist("nobody", nobody.pw_gid)]


def test_a_task_asks_for_another_of_the_list(fleet):
    assert log_of(fleet, {"bash": "id -un", "run_as": "games"}).strip() == "games"
    assert log_of(fleet, {"exec": ["id", "-un"]}, default_args={"run_as": "games"}, name="e").strip() == "games"


def test_the_folder_outputs_streams_and_artifacts_are_its_own(fleet):
    (fleet.folder / "p").mkdir()
    (fleet.folder / "p" / "own.sh").write_text("#!/bin/sh\necho from-own-script\n")
    (fleet.folder / "p" / "own.sh").chmod(0o755)
    (fleet.folder / "p" / "p.yaml").write_text("""
tasks:
  a:
    bash: |
      ./own.sh; touch here; echo x > sub.txt; echo to-out > /dev/stdout; echo to-err > /dev/stderr
      chmod 600 sub.txt
      echo n=5 > "$REEVE_OUTPUT"
    artifacts: [sub.txt]
  b:
    needs: a
    run_as: games
    env: {N: "{{ outputs.a.n }}"}
    bash: id -un; cat "$REEVE_ARTIFACTS/a/sub.txt"; echo "n is $N"
""")
    run = fleet.submit(fleet.folder / "p" / "p.yaml")
    fleet.finish(run)
    assert fleet.ok("logs", f"{run}/a").split() == ["from-own-script", "to-out", "to-err"]
    assert fleet.ok("logs", f"{run}/b").split("\n")[:3] == ["games", "x", "n is 5"]
    wait_until(lambda: not any((fleet.folder / "w1" / "work").iterdir()), what="empty work/")


def processes_of(user):
    """How many there are on this machine. They come and go meanwhile."""
    number, count = pwd.getpwnam(user).pw_uid, 0
    for entry in pathlib.Path("/proc").iterdir():
        try:
            count += entry.name.isdigit() and entry.stat().st_uid == number
        except FileNotFoundError:
            pass
    return count


def test_18_fork_bomb_of_another_user_is_bounded_by_three_quarters_of_the_runners_own_limit():
    """RLIMIT_NPROC, which root's runner is not held to, and its tasks are."""
    cluster = Cluster()
    os.chmod(cluster.folder, 0o711)
    count = lambda: processes_of("news")  # who has no other here
    try:
        cluster.start_master()
        cluster.spawn("w1", "prlimit", "--nproc=400:500", program("reeve-worker"), "--data", str(cluster.folder / "w1"),
                      "--join", str(cluster.data), "--name", "w1", "--slots", "2", "--run-as", "news,games")
        wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up")
        bomb = f"trap '' TERM; ulimit -Su; ulimit -Hu; b() {{ b | b & }}; b 2>{cluster.folder}/said; sleep 600"
        (cluster.folder / "said").touch()
        (cluster.folder / "said").chmod(0o666)
        run = cluster.submit(cluster.dag("d", {"a": {"bash": bomb, "kill_grace": "1s"}}))
        wait_until(lambda: "Resource temporarily unavailable" in (cluster.folder / "said").read_text(), what="a bomb that bursts")
        assert 150 < count() <= 300
        wait_until(lambda: cluster.ok("logs", f"{run}/a").split() == ["300", "300"], what="what the task found its limits to be")
        assert log_of(cluster, {"bash": "id -un", "run_as": "games"}, name="beside").strip() == "games"
        cluster.ok("cancel", f"{run}/a")
        cluster.finish(run, status=1)
        wait_until(lambda: count() < 50, what="the end of all of it")
    finally:
        cluster.close()


def test_38_a_task_reads_neither_the_agents_keys_nor_its_sockets(fleet):
    private = fleet.folder / "w1" / "private"
    (socket,) = private.glob("runner-*.sock")
    text = log_of(fleet, {"bash": f"""
        for f in {private}/key {private}/join {fleet.data}/store.db {fleet.data}/control.sock; do
            cat $f 2>&1 && echo GOT-IT
        done
        ls {private} 2>&1 && echo GOT-IT
        ls {fleet.folder}/w1/work 2>&1 && echo GOT-IT
        python3 -c 'import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' {socket} 2>&1 && echo GOT-IT
        cat /proc/$PPID/environ 2>&1 | tr -d '\\0' && echo GOT-IT
        kill -0 $PPID 2>&1 && echo GOT-IT
        exit 0"""})
    assert "GOT-IT" not in text and text.count("Permission denied") >= 6, text
    assert "not permitted" in text, text


def test_38_a_task_does_not_see_another_users_environment(fleet):
    run = fleet.submit(fleet.dag("victim", {"v": {
        "bash": "echo $$; while [ ! -e /tmp/nothing-of-this-name ]; do sleep 0.1; done",
        "env": {"SECRET": "planted"}, "run_as": "games"}}))
    pid = wait_until(lambda: fleet.reeve("logs", f"{run}/v").out.strip(), what="the victim's pid")
    text = log_of(fleet, {"bash": f"""set +e +o pipefail
        cat /proc/{pid}/environ 2>&1 | tr '\\0' '\\n'; ls /proc/{pid}/cwd/ 2>&1; kill {pid} 2>&1; true"""})
    assert "planted" not in text and "Permission denied" in text and "not permitted" in text, text
    fleet.ok("cancel", run)
    fleet.finish(run, status=1)


def test_links_to_what_only_the_agent_may_read_lead_nowhere(fleet):
    secret = fleet.folder / "secret"
    secret.write_text("name=planted\n")
    secret.chmod(0o600)
    run = fleet.submit(fleet.dag("links", {
        "o": {"bash": f'ln -s {secret} "$REEVE_OUTPUT"'},
        "p": {"bash": f'd=$(dirname "$REEVE_OUTPUT"); mv "$d/files" "$d/x"; ln -s {fleet.folder} "$d/files"',
              "artifacts": ["secret"]},
        "q": {"bash": f"ln -s {secret} leak", "artifacts": ["leak"]},
    }))
    fleet.finish(run, status=1)
    tasks = fleet.tasks(run)
    assert [tasks[name]["reason"] for name in "opq"] == ["output", "artifact", "artifact"]
    assert "planted" not in fleet.ok("status", run, "-o", "json")
    assert not any(b"planted" in content for content in files_below(fleet.data / "blobs").values())


def test_what_a_task_leaves_behind_is_killed_whoever_it_is(fleet):
    text = log_of(fleet, {"bash": "setsid sleep 600 & setsid bash -c 'sleep 601 & sleep 602' & echo done"})
    assert text.strip() == "done"
    wait_until(lambda: not [n for n in fleet.processes_left().values() if n.startswith("sleep")], what="no sleep left")


def test_a_cancelled_task_of_another_user_ends(fleet):
    run = fleet.submit(fleet.dag("c", {"a": {"bash": "trap '' TERM; sleep 600", "kill_grace": "1s"}}))
    wait_until(lambda: fleet.tasks(run)["a"]["state"] == "running", what="running")
    fleet.ok("cancel", run)
    fleet.finish(run, status=1)
    assert fleet.tasks(run)["a"]["state"] == "cancelled"


def test_tasks_are_taken_back_by_the_next_agent(fleet):
    gate = fleet.folder / "gate"
    run = fleet.submit(fleet.dag("back", {"a": {
        "bash": f'while [ ! -e {gate} ]; do sleep 0.05; done; id -un; echo k=v > "$REEVE_OUTPUT"; echo a > art',
        "artifacts": ["art"]}}))
    wait_until(lambda: fleet.tasks(run)["a"]["state"] == "running", what="running")
    fleet.kill("w1")
    fleet.start_worker("w1")
    wait_until(lambda: "w1" in fleet.workers_up(), what="w1 up")
    gate.touch()
    fleet.finish(run)
    attempts = fleet.tasks(run)["a"]["attempts"]
    assert len(attempts) == 1 and "nobody" in fleet.ok("logs", f"{run}/a")


def test_users_that_cannot_be_are_refused_at_the_start(fleet):
    cluster = fleet
    for word, text in (("no-such-user", 'this host has no user "no-such-user"'), ("Bad Name", "is no user's name")):
        cluster.spawn("w2", str(pathlib.Path(cluster.processes["w1"].args[0])), "--data", str(cluster.folder / "w2"),
                      "--join", str(cluster.data), "--run-as", word)
        assert cluster.processes["w2"].wait(timeout=30) == 2
        assert text in cluster.log_of("w2")
    closed = cluster.folder / "closed"
    closed.mkdir(mode=0o700)
    cluster.spawn("w3", str(cluster.processes["w1"].args[0]), "--data", str(closed / "w3"),
                  "--join", str(cluster.data), "--name", "w3", "--run-as", "nobody")
    assert cluster.processes["w3"].wait(timeout=30) == 4
    assert "cannot reach" in cluster.log_of("w3")


def test_without_run_as_the_worker_says_what_tasks_may(fleet):
    fleet.start_worker("w9")
    wait_until(lambda: "w9" in fleet.workers_up(), what="w9 up")
    assert "every task here can act as this worker" in fleet.log_of("w9")
    assert "every task" not in fleet.log_of("w1") and "tasks run as nobody" in fleet.log_of("w1")
