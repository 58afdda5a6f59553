"""A person on another host: joins by a token, and uses the same command line over TCP. Here the other host is another
home, on loopback; nothing of the master's folder is read."""

import json
import os
import re
import stat
import subprocess

import pytest

import reeve


class Laptop:
    """A home of its own, and `reeve` in it."""

    def __init__(self, cluster, name):
        self.cluster = cluster
        self.home = cluster.folder / name
        self.home.mkdir()
        self.env = {**cluster.env, "HOME": str(self.home)}
        self.env.pop("REEVE_DATA")

    def reeve(self, *arguments, stdin="", seconds=60, **env):
        done = subprocess.run(
            [reeve.program("reeve"), *map(str, arguments)], input=stdin, capture_output=True, text=True,
            errors="replace", timeout=seconds * reeve.PATIENCE, env={**self.env, **env}, cwd=self.home, check=False)
        return reeve.Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments, **options):
        result = self.reeve(*arguments, **options)
        assert result.status == 0, f"reeve {arguments} ended {result.status}:\n{result.err}\n{self.cluster.logs()}"
        return result.out

    def json(self, *arguments):
        return json.loads(self.ok(*arguments, "-o", "json"))

    def join(self, role, *arguments):
        token = self.cluster.ok("token", "create", "--role", role).strip()
        self.ok("join", token, "--name", "lab", *arguments)
        return token

    def dag(self, name, tasks, files=(), **keys):
        """A DAG that lies in this home alone."""
        folder = self.home / name
        folder.mkdir(parents=True)
        for path, text in dict(files).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
            (folder / path).chmod(0o755)
        path = folder / f"{name}.yaml"
        path.write_text(json.dumps({"dag": name, **keys, "tasks": tasks}))
        return path


# Another host's wall clock, by a library that comes before the C library's.
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *ret_time)
{
    int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(id, ret_time);
    if (id == CLOCK_REALTIME)
        ret_time->tv_sec += atol(getenv("RV_AHEAD_S"));
    return rc;
}
"""


@pytest.fixture
def listening(cluster):
    """A master on a TCP port, and a worker on its host."""
    cluster.port = reeve.free_port()
    cluster.start_master("--listen", f"tcp://127.0.0.1:{cluster.port}")
    cluster.start_worker("w1")
    reeve.wait_until(lambda: "w1" in cluster.workers_up(), what="w1 up")
    return cluster


@pytest.fixture
def laptop(listening):
    return Laptop(listening, "laptop")


# ---- tokens ----

def test_token_is_one_line_on_stdout_and_its_use_on_stderr(listening):
    result = listening.reeve("token", "create", "--role", "worker", "--uses", 3, "--valid", "10m", "--label", "rack 4")
    assert result.status == 0
    token, = result.out.splitlines()
    assert token.startswith("reeve1_")
    assert "reeve-worker" in result.err and "token revoke" in result.err and token not in result.err
    line, = listening.json("token", "list")
    assert (line["role"], line["state"], line["uses"], line["used"], line["label"]) == ("worker", "valid", 3, 0, "rack 4")
    assert listening.ok("token", "revoke", line["token"])
    assert listening.json("token", "list")[0]["state"] == "revoked"


def test_token_in_a_file_is_its_users_alone(listening):
    listening.ok("token", "create", "--role", "viewer", "--out", "t")
    assert stat.S_IMODE(os.stat(listening.folder / "t").st_mode) == 0o600
    again = listening.reeve("token", "create", "--role", "viewer", "--out", "t")
    assert again.status == 7 and "is there already" in again.err


@pytest.mark.parametrize("arguments, text", [
    (["create"], "--role is missing"), (["create", "--role", "admin"], "worker, operator or viewer"),
    (["create", "--role", "worker", "--address", "here"], "tcp://"), (["crate"], "create"),
    (["list", "--role", "worker"], "token create"), (["revoke"], "needs a token's ID")])
def test_token_mistakes_are_shown(cluster, arguments, text):
    result = cluster.reeve("token", *arguments)
    assert result.status == 2 and text in result.err and not result.out


def test_token_of_a_master_without_a_port_is_refused(cluster):
    cluster.start_master()
    result = cluster.reeve("token", "create", "--role", "worker")
    assert result.status == 7 and "--listen" in result.err and not result.out
    assert all(token["state"] == "revoked" for token in cluster.json("token", "list"))


# ---- joining ----

def test_join_writes_a_file_for_this_user_alone(laptop):
    laptop.join("operator", "--as", "ann")
    path = laptop.home / ".config/reeve/masters/lab"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    master, = laptop.json("masters")
    assert (master["master"], master["role"], master["name"]) == ("lab", "operator", "ann")
    for arguments, env in ((["ping"], {}), (["ping", "--master", "lab"], {}), (["ping"], {"REEVE_MASTER": "lab"})):
        out = laptop.ok(*arguments, **env)
        assert "you are ann, operator" in out


def test_join_reads_the_token_from_a_file_and_from_stdin(laptop):
    laptop.cluster.ok("token", "create", "--role", "viewer", "--uses", 2, "--out", "laptop/t")
    laptop.ok("join", "@t", "--name", "one")
    laptop.ok("join", "-", "--name", "two", stdin=(laptop.home / "t").read_text())
    one, two = laptop.json("masters")
    assert (one["master"], two["master"]) == ("one", "two")
    # Both are this user; the master tells them apart.
    assert two["name"] == f"{one['name']}-2"
    several = laptop.reeve("ping")
    assert several.status == 5 and "one, two" in several.err and "--master" in several.err
    (laptop.home / "t").chmod(0o644)
    assert laptop.reeve("join", "@t", "--name", "three").status == 4


def test_join_by_a_used_revoked_or_damaged_token_is_refused(laptop):
    used = laptop.join("viewer")
    assert laptop.reeve("join", used, "--name", "again").status in (4, 5, 7)
    assert laptop.reeve("join", used[:-9], "--name", "again").status == 2
    assert laptop.reeve("join", "nonsense", "--name", "again").status == 2
    revoked = laptop.cluster.ok("token", "create", "--role", "viewer").strip()
    laptop.cluster.ok("token", "revoke", laptop.cluster.json("token", "list")[0]["token"])
    assert laptop.reeve("join", revoked, "--name", "again").status in (4, 5, 7)
    worker = laptop.cluster.ok("token", "create", "--role", "worker").strip()
    result = laptop.reeve("join", worker, "--name", "again")
    assert result.status == 2 and "reeve-worker" in result.err
    assert [master["master"] for master in laptop.json("masters")] == ["lab"]


def test_joined_name_is_not_overwritten(laptop):
    laptop.join("viewer")
    token = laptop.cluster.ok("token", "create", "--role", "operator").strip()
    result = laptop.reeve("join", token, "--name", "lab")
    assert result.status == 7 and "--name" in result.err
    taken = laptop.reeve("join", token, "--name", "other", "--as", laptop.json("masters")[0]["name"])
    assert taken.status == 7 and "another name" in taken.err
    laptop.ok("masters", "--forget", "lab")
    laptop.ok("join", token, "--name", "lab")
    assert laptop.json("masters")[0]["role"] == "operator"


# ---- roles ----

def test_viewer_reads_everything_and_changes_nothing(laptop):
    laptop.join("viewer", "--as", "vic")
    run = laptop.cluster.submit(laptop.cluster.dag("d", {"a": {"bash": "echo hi"}}))
    laptop.cluster.finish(run)
    assert laptop.json("status", run)["state"] == "success"
    assert "hi" in laptop.ok("logs", run)
    for command in (["workers"], ["runs"], ["dags"], ["status"], ["explain", run], ["artifacts", run], ["wait", run]):
        laptop.ok(*command)
    for command in (["submit", laptop.dag("x", {"a": {"noop": None}})], ["cancel", run], ["retry", run],
                    ["mark", f"{run}/a", "failed"], ["drain", "w1"], ["audit"], ["workers", "--remove", "w1"],
                    ["token", "list"], ["token", "create", "--role", "viewer"]):
        result = laptop.reeve(*command)
        assert result.status == 4, command
        assert "vic" in result.err and "viewer" in result.err, command
        assert not result.out
    refused = [line for line in laptop.cluster.json("audit") if line["refused"]]
    assert {line["who"] for line in refused} == {"vic"}


def test_operator_changes_runs_but_no_tokens(laptop):
    laptop.join("operator", "--as", "olga")
    run = laptop.ok("submit", laptop.dag("d", {"a": {"bash": "exit 3"}})).strip()
    assert laptop.reeve("wait", run).status == 1
    laptop.ok("mark", f"{run}/a", "success")
    laptop.ok("drain", "w1")
    laptop.ok("undrain", "w1")
    assert laptop.reeve("token", "list").status == 4
    assert laptop.reeve("workers", "--remove", "w1").status == 4
    actions = [(line["who"], line["action"]) for line in laptop.json("audit", "--since", "1h") if not line["refused"]]
    for action in ("submit", "mark", "drain"):
        assert ("olga", action) in actions


def test_revoked_person_is_refused_on_the_next_message(laptop):
    laptop.join("operator")
    laptop.ok("ping")
    laptop.cluster.ok("token", "revoke", laptop.cluster.json("token", "list")[0]["token"])
    result = laptop.reeve("ping")
    assert result.status in (4, 5), result


# ---- the same command line ----

def test_remote_submit_brings_files_that_lie_here_alone(laptop):
    laptop.join("operator")
    dag = laptop.dag("d", {
        "make": {"bash": "./make.sh sql/load.sql > out.txt", "artifacts": ["out.txt"]},
        "show": {"needs": "make", "bash": "cat $REEVE_ARTIFACTS/make/out.txt; ls -A"},
    }, files={"make.sh": "#!/bin/sh\ncat $1\n", "sql/load.sql": "select 42;\n", ".secret": "no", "big.csv": "x",
              ".reeveignore": "*.csv\n"})
    run = laptop.ok("submit", dag).strip()
    assert run == "d/1"
    laptop.ok("wait", run)
    logs = laptop.ok("logs", f"{run}/show")
    assert "select 42;" in logs and "sql" in logs
    assert "secret" not in logs and "big.csv" not in logs
    laptop.ok("artifacts", run, "--get", "out.txt")
    assert (laptop.home / "out.txt").read_text() == "select 42;\n"
    # What is there already does not travel again, and the run is another one.
    assert laptop.ok("submit", dag, "--wait").strip() == "d/2"


@pytest.mark.slow
def test_remote_submit_of_many_and_large_files_is_whole(laptop):
    laptop.join("operator")
    files = {f"f{n}": f"{n}\n" for n in range(1500)}
    files["large"] = "0123456789abcdef" * (1 << 20)
    dag = laptop.dag("d", {"a": {"bash": "cat f* | sort -n | sha256sum; sha256sum < large"}}, files=files)
    run = laptop.ok("submit", dag, "--wait", seconds=120).strip()
    expected = subprocess.run("cat f* | sort -n | sha256sum; sha256sum < large", shell=True, cwd=dag.parent,
                              capture_output=True, text=True, check=True).stdout
    assert laptop.ok("logs", f"{run}/a") == expected


def test_remote_submit_of_what_may_not_travel_is_refused_by_name(laptop):
    laptop.join("operator")
    dag = laptop.dag("d", {"a": {"noop": None}})
    (dag.parent / "out").symlink_to("/etc/passwd")
    result = laptop.reeve("submit", dag)
    assert result.status == 7 and "out" in result.err and "leaves the folder" in result.err
    (dag.parent / "out").unlink()
    os.mkfifo(dag.parent / "pipe")
    result = laptop.reeve("submit", dag)
    assert result.status == 7 and "pipe" in result.err
    (dag.parent / "pipe").unlink()
    dag.write_text(json.dumps({"tasks": {"a": {"bash": {"file": "gone.sh"}}, "b": {"bsh": ""}}}))
    result = laptop.reeve("submit", dag)
    assert result.status == 3 and "bsh" in result.err
    dag.write_text(json.dumps({"tasks": {"a": {"bash": {"file": "gone.sh"}}}}))
    result = laptop.reeve("submit", dag)
    assert result.status == 3 and "gone.sh" in result.err
    assert laptop.json("runs") == []


def test_remote_submit_without_files_takes_the_dag_alone(laptop):
    laptop.join("operator")
    dag = laptop.dag("d", {}, files={"x": "x"})
    dag.write_text(json.dumps({"dag": "d", "files": [], "tasks": {"a": {"bash": "ls -A | wc -l"}}}))
    run = laptop.ok("submit", dag, "--wait").strip()
    assert laptop.ok("logs", f"{run}/a").strip() == "0"


def test_remote_logs_follow_until_the_end(laptop):
    laptop.join("viewer")
    gate = laptop.cluster.folder / "gate"
    run = laptop.cluster.submit(laptop.cluster.dag("d", {
        "a": {"bash": f"echo first; while [ ! -e {gate} ]; do sleep 0.05; done; echo last"}}))
    with subprocess.Popen([reeve.program("reeve"), "logs", "-f", run], stdout=subprocess.PIPE, text=True,
                          env=laptop.env) as following:
        assert following.stdout.readline().endswith("first\n")
        gate.touch()
        assert following.stdout.readline().endswith("last\n")
        assert following.stdout.read() == ""
    assert following.returncode == 0


def test_remote_client_waits_for_a_master_that_is_started_again(laptop):
    laptop.join("operator")
    gate = laptop.cluster.folder / "gate"
    run = laptop.ok("submit", laptop.dag("d", {"a": {"bash": f"while [ ! -e {gate} ]; do sleep 0.05; done"}})).strip()
    with subprocess.Popen([reeve.program("reeve"), "wait", run], stderr=subprocess.PIPE, text=True,
                          env=laptop.env) as waiting:
        reeve.wait_until(lambda: laptop.json("status", run)["tasks"][0]["state"] == "running", what="a running")
        laptop.cluster.kill("master")
        laptop.cluster.start_master("--listen", f"tcp://127.0.0.1:{laptop.cluster.port}")
        gate.touch()
        assert waiting.wait(60 * reeve.PATIENCE) == 0, waiting.stderr.read()


@pytest.mark.parametrize("ahead_s", [-5 * 3600, 5 * 3600])
def test_remote_times_are_by_the_masters_clock(laptop, ahead_s):
    if "asan" in subprocess.run(["ldd", reeve.program("reeve")], capture_output=True, text=True, check=True).stdout:
        pytest.skip("a sanitizer wants to be the first library")
    (laptop.home / "clock.c").write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "clock.so", "clock.c"], cwd=laptop.home, check=True)
    clock = {"LD_PRELOAD": str(laptop.home / "clock.so"), "RV_AHEAD_S": str(ahead_s)}
    laptop.join("operator")
    run = laptop.ok("submit", laptop.dag("d", {"a": {"bash": "true", "queue": "gpu"}}), **clock).strip()
    # Seconds, not hours; and what was submitted just now was so in the last minute.
    assert re.search(r"\(ready, for \d+(\.\d)?s\)", laptop.ok("explain", f"{run}/a", **clock))
    assert re.search(r"up \d+(\.\d)?s,", laptop.ok("ping", **clock))
    for command in (["runs", "--since", "1m"], ["status", run], ["status"]):
        assert re.search(r" \d+(\.\d)?s\b", laptop.ok(*command, **clock)), command
    assert run in laptop.ok("runs", "--since", "1m", **clock)
    assert "submit" in laptop.ok("audit", "--since", "1m", **clock)


@pytest.mark.slow
def test_remote_master_that_is_away_is_named_with_its_address(laptop):
    laptop.join("operator")
    laptop.cluster.kill("master")
    result = laptop.reeve("status")
    assert result.status == 5
    assert "lab" in result.err and f"tcp://127.0.0.1:{laptop.cluster.port}" in result.err


@pytest.mark.slow
def test_token_with_several_addresses_finds_the_one_that_answers(laptop):
    token = laptop.cluster.ok(
        "token", "create", "--role", "viewer", "--address", f"tcp://127.0.0.1:{reeve.free_port()}", "--address",
        f"tcp://127.0.0.1:{laptop.cluster.port}").strip()
    laptop.ok("join", token, "--name", "lab")
    assert "viewer" in laptop.ok("ping")
