"""Connections: where they come from, who gets them, and that their secrets are nowhere else."""

import hashlib
import json
import os
import pathlib
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import urllib.parse

import pytest

from reeve import files_below, free_port, wait_until
import pg
from pg import server  # noqa: F401 (a fixture)

SECRET = "hunter2-Zq9"
URI = f"postgres://etl:{SECRET}@db.example.com:5433/sales?sslmode=require"
HOSTILE = "$(id) `id` '; drop table x; --\" \\ %s {{ ds }}"


def log_of(cluster, run, task):
    return cluster.ok("logs", f"{run}/{task}", "--tail", "all")


def own_folder(cluster):
    """Where the one worker of the cluster puts what tasks get, or None."""
    for pid in cluster.processes_left():
        try:
            env = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for entry in env:
            if entry.startswith(b"REEVE_CONNECTIONS="):
                return pathlib.Path(entry.split(b"=", 1)[1].decode())
    return None


def files_with(folder, needle):
    """Files below the folder that hold these bytes."""
    return [str(path.relative_to(folder)) for path, content in files_below(folder).items() if needle in content]


def processes_that_tell(cluster, needle):
    """Processes of the cluster whose argv or environment hold these bytes."""
    found = []
    for pid, name in cluster.processes_left().items():
        for what in ("cmdline", "environ"):
            try:
                if needle in pathlib.Path(f"/proc/{pid}/{what}").read_bytes():
                    found.append(f"{name} {what}")
            except OSError:
                pass
    return found


def test_connection_of_the_environment_comes_as_files_of_the_attempt_alone(cluster):
    cluster.env["REEVE_CONN_WARE_HOUSE"] = URI
    cluster.start(workers=1)
    script = """
        cd $REEVE_CONNECTIONS/ware-house
        for part in type host port login schema extra; do printf '%s=' $part; cat $part; echo; done
        stat -c '%a %U' password; stat -f -c %T password
        printf '%s' "$(<password)" | sha256sum
        grep -c . "$PGSERVICEFILE" "$PGPASSFILE" | sed 's,.*/,,'
        head -1 "$PGSERVICEFILE"
        env | grep -c REEVE_CONN_ || true
    """
    run = cluster.submit(cluster.dag("files", {"a": {"bash": script, "connection": "ware-house"},
                                               "b": {"bash": "env | grep -E 'REEVE_CONNECTIONS|PGPASS' || echo none"}}))
    cluster.finish(run)
    lines = log_of(cluster, run, "a").splitlines()
    assert lines[:6] == ["type=postgres", "host=db.example.com", "port=5433", "login=etl", "schema=sales",
                         'extra={"sslmode":"require"}']
    assert lines[6].startswith("600 ") and lines[7] == "tmpfs"
    assert lines[8].split()[0] == hashlib.sha256(SECRET.encode()).hexdigest()
    assert lines[9:11] == [".pg_service:7", ".pgpass:1"] and lines[11] == "[ware-house]" and lines[12] == "0"
    assert log_of(cluster, run, "b").strip() == "none"


def test_32_secret_is_in_no_file_argv_or_environment_while_its_task_runs_and_after(cluster):
    cluster.env["REEVE_CONN_DB"] = URI
    cluster.start(workers=1)
    script = f"""
        cat $REEVE_CONNECTIONS/db/uri; echo; cat $REEVE_CONNECTIONS/db/password; echo
        printf 'a%.0s' {{1..70000}}; cat $REEVE_CONNECTIONS/db/password; echo
        base64 < $REEVE_CONNECTIONS/db/password
        while [ ! -e {cluster.folder}/go ]; do sleep 0.05; done
    """
    run = cluster.submit(cluster.dag("hidden", {"a": {"bash": script, "connection": "db"}}))
    wait_until(lambda: "a" * 100 in log_of(cluster, run, "a"), what="the log")
    folder = own_folder(cluster)
    assert folder is not None and (folder / "db" / "password").read_text() == SECRET
    assert processes_that_tell(cluster, SECRET.encode()) == []
    # The worker's spool is raw, and goes when the master has kept the log.
    assert [f for f in files_with(cluster.data, SECRET.encode())] == []
    (cluster.folder / "go").touch()
    cluster.finish(run)
    text = log_of(cluster, run, "a")
    stars = "*" * len(SECRET)
    assert text.count(stars) == 4 and SECRET not in text and f"etl:{stars}@db" in text
    assert "aHVudGVyMi1acT" not in text
    wait_until(lambda: not folder.exists(), what="the end of the files on memory")
    wait_until(lambda: files_with(cluster.folder, SECRET.encode()) == [], what="no file with the secret")


def test_outputs_and_errors_come_without_the_secrets_of_their_task(cluster):
    cluster.env["REEVE_CONN_DB"] = "generic://u:12345678@h"
    cluster.start(workers=1)
    script = """printf '{"text": "<%s>", "number": %s, "in": [{"%s": true}]}' 12345678 12345678 12345678 > $REEVE_OUTPUT"""
    run = cluster.submit(cluster.dag("outputs", {
        "a": {"bash": script, "connection": "db"},
        "b": {"exec": ["./no-such-12345678"], "connection": "db", "needs": "a"}}))
    cluster.finish(run, status=1)
    stars = "*" * 8
    tasks = cluster.tasks(run)
    outputs = tasks["a"]["attempts"][0]["outputs"]
    outputs = json.loads(outputs) if isinstance(outputs, str) else outputs
    assert outputs == {"text": f"<{stars}>", "number": stars, "in": [{stars: True}]}
    assert f"no-such-{stars}" in tasks["b"]["error"]
    assert not [name for name in files_with(cluster.data, b"<12345678>") if name.startswith("store")]


def test_offsets_of_a_masked_log_are_those_of_the_stream(cluster):
    cluster.env["REEVE_CONN_DB"] = "generic://u:abcabcabd@h"
    cluster.start(workers=1)
    text = "abcabcabcabd|abcabcab|xabcabcabdx|abc"
    run = cluster.submit(cluster.dag("offsets", {"a": {"connection": "db", "bash": f"""
        s='{text}'; for ((i = 0; i < ${{#s}}; i++)); do printf '%s' "${{s:i:1}}"; sleep 0.02; done"""}}))
    cluster.finish(run)
    assert log_of(cluster, run, "a").rstrip("\n") == "abc*********|abcabcab|x*********x|abc"


@pytest.mark.parametrize("victim", ["agent", "runner"])
def test_files_on_memory_go_when_their_task_does_whoever_was_killed(cluster, victim):
    cluster.env["REEVE_CONN_DB"] = URI
    cluster.start(workers=1)
    run = cluster.submit(cluster.dag("killed", {"a": {
        "bash": f"while [ ! -e {cluster.folder}/go ]; do sleep 0.05; done", "connection": "db", "on_lost": "rerun"}}))
    wait_until(lambda: own_folder(cluster) is not None, what="the task")
    folder = own_folder(cluster)
    if victim == "agent":
        cluster.kill("w1")
        assert (folder / "db" / "password").exists()
        (cluster.folder / "go").touch()
        wait_until(lambda: not folder.exists(), what="the end of the files, by the runner")
        cluster.start_worker("w1")
    else:
        os.kill(cluster.runners()[0], signal.SIGKILL)
        wait_until(lambda: cluster.processes["w1"].poll() is not None, what="the agent's end")
        cluster.start_worker("w1")
        wait_until(lambda: not folder.exists(), what="the end of the files, by the next agent")
        (cluster.folder / "go").touch()
    cluster.finish(run)


def test_missing_connection_is_said_at_submit_by_explain_and_before_dispatch(cluster):
    cluster.start(workers=1)
    hold = f"while [ ! -e {cluster.folder}/go ]; do sleep 0.05; done"
    path = cluster.dag("missing", {"first": {"bash": hold},
                                   "load": {"needs": "first", "bash": "echo never", "connection": "no_such"}})
    result = cluster.reeve("submit", path)
    assert result.status == 0 and 'task "load": connection "no_such" is not there yet' in result.err
    run = result.out.strip()
    wait_until(lambda: cluster.tasks(run)["first"]["state"] == "running", what="the first task")
    assert 'its connection "no_such" is not there' in cluster.ok("explain", f"{run}/load")
    (cluster.folder / "go").touch()
    cluster.finish(run, status=1)
    load = cluster.tasks(run)["load"]
    assert load["state"] == "failed" and load["reason"] == "connection" and load["attempts"] == []
    for place in ("REEVE_CONN_NO_SUCH", "AIRFLOW_CONN_NO_SUCH", "--connections file", "store"):
        assert place in load["error"]


def test_order_of_lookup_is_environment_then_airflows_then_the_file_then_the_store(cluster):
    file = cluster.folder / "connections.yaml"
    names = ["a", "b", "c", "d"]
    file.write_text("".join(f"{name}: generic://file-{name}\n" for name in names[:3]))
    file.chmod(0o600)
    cluster.env["REEVE_CONN_A"] = "generic://own-a"
    cluster.env["AIRFLOW_CONN_A"] = "generic://airflow-a"
    cluster.env["AIRFLOW_CONN_B"] = json.dumps({"conn_type": "generic", "host": "airflow-b"})
    cluster.start_master("--connections", str(file))
    for name in ("REEVE_CONN_A", "AIRFLOW_CONN_A", "AIRFLOW_CONN_B"):
        del cluster.env[name]
    cluster.start_worker("w1")
    for name in names:
        cluster.ok("connections", "set", name, stdin=f"generic://store-{name}")
    run = cluster.submit(cluster.dag("order", {"t": {
        "bash": "for c in a b c d; do cat $REEVE_CONNECTIONS/$c/host; echo; done", "connections": names}}))
    cluster.finish(run)
    assert log_of(cluster, run, "t").split() == ["own-a", "airflow-b", "file-c", "store-d"]


def test_file_that_others_may_read_is_refused_by_name(cluster):
    file = cluster.folder / "connections.yaml"
    file.write_text("a: generic://h\n")
    file.chmod(0o644)
    cluster.start_master("--connections", str(file), wait=False)
    assert cluster.processes["master"].wait(30) != 0
    assert str(file) in cluster.log_of("master") and stat.S_IMODE(file.stat().st_mode) == 0o644


def test_hostile_values_arrive_literally_and_what_cannot_is_refused_by_name(cluster):
    cluster.start(workers=1)
    document = {"conn_type": "generic", "login": HOSTILE, "password": HOSTILE + "\nsecond line\n", "host": "h",
                "schema": "\U0001f600 'x'", "extra": {"k": HOSTILE}}
    cluster.ok("connections", "set", "odd", stdin=json.dumps(document))
    script = """cd $REEVE_CONNECTIONS/odd
        for part in login password schema extra uri; do od -An -v -tx1 $part | tr -d ' \\n'; echo; done"""
    run = cluster.submit(cluster.dag("hostile", {"a": {"bash": script, "connection": "odd"}}))
    cluster.finish(run)
    login, password, schema, extra, _ = [bytes.fromhex(x) for x in log_of(cluster, run, "a").split()]
    assert login.decode() == HOSTILE and password.decode() == document["password"]
    assert schema.decode() == document["schema"] and json.loads(extra) == document["extra"]
    for text, why in (('{"conn_type": "generic", "password": "a\\u0000b"}', "its password holds a NUL byte"),
                      ('{"conn_type": "postgres", "password": "a\\nb"}', "its password holds a newline"),
                      ("postgres://u:p@h:x/db", "its port is none"), ("", "nothing was given")):
        result = cluster.reeve("connections", "set", "bad", stdin=text)
        assert result.status == 2 and why in result.err, result.err


def test_list_never_shows_a_secret_and_says_what_counts(cluster):
    cluster.env["REEVE_CONN_DB"] = URI
    cluster.start_master()
    del cluster.env["REEVE_CONN_DB"]
    out = cluster.ok("connections", "set", "db", stdin="postgres://u:other-secret@elsewhere/x?sslpassword=third-secret")
    assert "REEVE_CONN_DB of the master's environment goes before it" in out
    cluster.ok("connections", "set", "api", "--type", "http", "--host", "api.example.com", "--login", "me",
               stdin="fourth-secret\n")
    listed = {(line["connection"], line["source"]): line for line in cluster.json("connections", "list")}
    assert set(listed) == {("DB", "environment"), ("db", "store"), ("api", "store")}
    assert listed["DB", "environment"]["host"] == "db.example.com" and not listed["DB", "environment"]["hidden"]
    assert listed["db", "store"]["hidden"] and listed["db", "store"]["extra"] == ["sslpassword"]
    assert listed["api", "store"]["has_password"] and listed["api", "store"]["login"] == "me"
    everything = cluster.ok("connections", "list") + json.dumps(cluster.json("connections", "list"))
    everything += cluster.ok("audit") + cluster.log_of("master", 1000)
    for secret in (SECRET, "other-secret", "third-secret", "fourth-secret"):
        assert secret not in everything
        assert files_with(cluster.data, secret.encode()) == []
    assert processes_that_tell(cluster, SECRET.encode()) == []


def test_changes_are_audited_and_outlive_a_killed_master(cluster):
    cluster.start(workers=1)
    assert cluster.ok("connections", "set", "a", stdin="generic://one:secret-1@h").strip() == "a: set"
    assert cluster.ok("connections", "set", "a", stdin="generic://one:secret-1@h").strip() == "a: unchanged"
    assert cluster.ok("connections", "set", "a", stdin="generic://two:secret-2@h").strip() == "a: replaced"
    refused = cluster.reeve("connections", "set", "a", "--keep", stdin="generic://three@h")
    assert refused.status == 7 and "is there already" in refused.err
    cluster.ok("connections", "set", "b", stdin="generic://h")
    assert cluster.ok("connections", "rm", "b").strip() == "b: removed"
    assert cluster.reeve("connections", "rm", "b").status == 6
    cluster.kill("master")
    cluster.start_master()
    lines = cluster.json("connections", "list")
    assert [(line["connection"], line["login"]) for line in lines] == [("a", "two")]
    told = [(line["action"], line["target"], line["refused"]) for line in cluster.json("audit")]
    for wanted in (("set_connection", "a", False), ("set_connection", "a", True), ("remove_connection", "b", False)):
        assert wanted in told
    # What was replaced is masked still: a task that had it may write it late.
    run = cluster.submit(cluster.dag("late", {"a": {"bash": "echo 'secret-1 secret-2'", "connection": "a"}}))
    wait_until(lambda: "w1" in cluster.workers_up(), what="the worker")
    cluster.finish(run)
    assert log_of(cluster, run, "a").strip() == "******** ********"


def test_rotated_key_opens_all_and_an_interrupted_rotation_is_recovered(cluster):
    cluster.start_master()
    key = cluster.data / "connections.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    for name in ("a", "b", "c"):
        cluster.ok("connections", "set", name, stdin=f"generic://{name}:secret-{name}@h")
    first = key.read_bytes()
    assert "3 sealed texts, by a new key" in cluster.ok("connections", "rotate")
    wait_until(lambda: not (cluster.data / "connections.key.next").exists(), what="the new key in its place")
    second = key.read_bytes()
    assert second != first

    def logins():
        return {line["connection"]: line["login"] for line in cluster.json("connections", "list")}
    cluster.kill("master")
    # Killed between the commit and the rename: the rows are sealed by the key that is still called next.
    key.rename(cluster.data / "connections.key.next")
    key.write_bytes(first)
    key.chmod(0o600)
    cluster.start_master()
    assert logins() == {"a": "a", "b": "b", "c": "c"} and key.read_bytes() == second
    cluster.kill("master")
    # Killed before the commit: no row knows the next key.
    (cluster.data / "connections.key.next").write_bytes(first)
    (cluster.data / "connections.key.next").chmod(0o600)
    cluster.start_master()
    assert logins() == {"a": "a", "b": "b", "c": "c"} and key.read_bytes() == second
    assert not (cluster.data / "connections.key.next").exists()
    cluster.kill("master")
    key.unlink()
    cluster.start_master()
    assert "3 connections cannot be opened" in cluster.log_of("master") and set(logins().values()) == {None}
    assert "another key sealed it" in cluster.ok("connections", "list")


@pytest.mark.parametrize("form", ["json", "yaml", "env"])
def test_export_of_airflow_is_imported_whole_or_not_at_all(cluster, form):
    cluster.start_master()
    exported = {
        "my_postgres_conn": {"conn_type": "postgres", "description": None, "login": "airflow", "password": "p@ss: %1",
                             "host": "postgres", "port": 5432, "schema": "airflow", "extra": ""},
        "spark_default": {"conn_type": "spark", "description": "x", "login": None, "password": None,
                          "host": "spark://spark-master", "port": 7077, "schema": None,
                          "extra": '{"deploy-mode": "client", "spark-binary": "spark-submit"}'},
    }
    texts = {
        "json": json.dumps(exported, indent=4),
        "yaml": "my_postgres_conn:\n  conn_type: postgres\n  description: null\n  extra: ''\n  host: postgres\n  login: airflow\n"
                "  password: 'p@ss: %1'\n  port: 5432\n  schema: airflow\n"
                "spark_default: spark://spark%3A%2F%2Fspark-master:7077/?deploy-mode=client&spark-binary=spark-submit\n",
        "env": "my_postgres_conn=postgres://airflow:p%40ss%3A%20%251@postgres:5432/airflow\n"
               'spark_default={"conn_type": "spark", "host": "spark://spark-master", "port": "7077", '
               '"extra": {"deploy-mode": "client", "spark-binary": "spark-submit"}}\n',
    }
    file = cluster.folder / f"connections.{form}"
    file.write_text(texts[form])
    assert cluster.ok("connections", "import", file).splitlines() == ["my_postgres_conn: set", "spark_default: set"]
    listed = {line["connection"]: line for line in cluster.json("connections", "list")}
    postgres, spark = listed["my_postgres_conn"], listed["spark_default"]
    assert (postgres["host"], postgres["port"], postgres["login"], postgres["schema"]) == (
        "postgres", 5432, "airflow", "airflow")
    assert (spark["host"], spark["port"], spark["extra"]) == (
        "spark://spark-master", 7077, ["deploy-mode", "spark-binary"])
    again = cluster.reeve("connections", "import", file)
    assert again.status == 7 and "is there already" in again.err
    assert "unchanged" in cluster.ok("connections", "import", file, "--replace")
    file.write_text("good=generic://h\nbad=postgres://u:p@h:x/db\n")
    result = cluster.reeve("connections", "import", file)
    assert result.status == 2 and 'connection "bad": its port is none' in result.err
    assert "good" not in cluster.ok("connections", "list")


def test_test_runs_on_a_worker_and_says_what_it_reached_and_what_not(cluster):
    cluster.start(workers=1)
    port = free_port()  # nobody listens on it afterwards
    with socket.create_server(("127.0.0.1", port)) as server:
        cluster.ok("connections", "set", "here", stdin=f"generic://u:{SECRET}@127.0.0.1:{port}")
        out = cluster.ok("connections", "test", "here")
        assert out.startswith(f"here: reached 127.0.0.1:{port} (127.0.0.1) in ") and out.strip().endswith("from w1")
        cluster.ok("connections", "set", "db", stdin=f"postgres://u:{SECRET}@127.0.0.1:{port}/x")

        def answer():
            """To who comes next and wishes for TLS; the test above left one that said nothing."""
            while True:
                peer = server.accept()[0]
                if peer.recv(8) == b"\0\0\0\x08\x04\xd2\x16\x2f":
                    peer.sendall(b"H")
                    return
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        result = cluster.reeve("connections", "test", "db")
        thread.join(10)
        assert result.status == 1 and "something answers, and it is no PostgreSQL" in result.err
    cluster.ok("connections", "set", "closed", stdin=f"http://127.0.0.1:{port}")
    result = cluster.reeve("connections", "test", "closed")
    assert result.status == 1 and f"closed, from w1: 127.0.0.1:{port} (127.0.0.1): Connection refused" in result.err
    cluster.ok("connections", "set", "nowhere", stdin="generic://no-such-host.invalid:1")
    result = cluster.reeve("connections", "test", "nowhere")
    assert result.status == 1 and "no-such-host.invalid: its address cannot be found" in result.err
    result = cluster.reeve("connections", "test", "absent")
    assert result.status == 6 and 'connection "absent" is not there' in result.err


def test_operator_gets_the_connection_on_its_descriptor_and_no_file(cluster):
    folder = cluster.folder / "operators"
    folder.mkdir()
    operator = folder / "reeve-op-tell"
    operator.write_text("""#!/usr/bin/env python3
import json, os, sys
if sys.argv[1:] == ["--describe"]:
    print('{"reeve": 1, "version": "1"}'); sys.exit()
task = json.loads(os.fdopen(3, "r").readline())
c = task["connections"]["db"]
print(sorted(c), c["port"], c["password"][::-1], "REEVE_CONNECTIONS" in os.environ)
""")
    operator.chmod(0o755)
    cluster.start_master()
    cluster.start_worker("w1", "--operator-path", str(folder))
    cluster.ok("connections", "set", "db", stdin=URI)
    run = cluster.submit(cluster.dag("told", {"a": {"operator": "tell", "connection": "db"}}))
    cluster.finish(run)
    assert log_of(cluster, run, "a").strip() == (
        f"['extra', 'host', 'id', 'login', 'password', 'port', 'schema', 'type'] 5433 {SECRET[::-1]} False")


def test_reeve_run_takes_connections_of_its_own_environment(cluster):
    path = cluster.dag("own", {"a": {"bash": "cat $REEVE_CONNECTIONS/db/uri", "connection": "db"}})
    result = cluster.reeve("run", path, REEVE_CONN_DB=f"generic://u:{SECRET}@h")
    assert result.status == 0 and f"generic://u:{'*' * len(SECRET)}@h" in result.out


def leaves_cores(folder):
    """Whether a process that aborts leaves a file in its folder, as this host is set."""
    subprocess.run([sys.executable, "-c", "import os, resource as r; r.setrlimit(r.RLIMIT_CORE, (r.RLIM_INFINITY,) * 2); "
                    "os.abort()"], cwd=folder, check=False)
    cores = list(folder.glob("core*"))
    for core in cores:
        core.unlink()
    return bool(cores)


@pytest.mark.parametrize("victim", ["master", "w1"])
def test_32_secret_is_in_no_core_file(cluster, victim):
    cluster.env["REEVE_CONN_DB"] = URI
    cluster.start(workers=1)
    run = cluster.submit(cluster.dag("dump", {"a": {
        "bash": f"while [ ! -e {cluster.folder}/go ]; do sleep 0.05; done", "connection": "db"}}))
    wait_until(lambda: own_folder(cluster) is not None, what="the task")
    if not leaves_cores(cluster.folder):
        pytest.skip("this host writes core files nowhere, or elsewhere (/proc/sys/kernel/core_pattern)")
    process = cluster.processes[victim]
    resource.prlimit(process.pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    os.kill(process.pid, signal.SIGABRT)
    assert process.wait(30) == -signal.SIGABRT
    assert not [path for path in files_below(cluster.folder) if path.name.startswith("core")]
    (cluster.folder / "go").touch()
    (cluster.start_master if victim == "master" else lambda: cluster.start_worker("w1"))()
    cluster.finish(run)


def test_psql_reaches_a_real_server_by_its_service_and_a_probe_says_so(cluster, server):
    quoted = f"postgres://{pg.LOGIN}:{urllib.parse.quote(pg.PASSWORD, safe='')}@127.0.0.1:{server.port}/{pg.DATABASE}"
    cluster.env["REEVE_CONN_MY_DB"] = quoted
    cluster.start(workers=1)
    psql = server.bin / "psql"
    by_service = f"{psql} service=my_db -XAtc 'SELECT current_user, current_database()'"
    by_address = f"{psql} -h 127.0.0.1 -p {server.port} -U {pg.LOGIN} -d {pg.DATABASE} -w -XAtc 'SELECT 1'"
    run = cluster.submit(cluster.dag("psql", {"a": {"bash": f"{by_service}; {by_address}", "connection": "my_db"}}))
    cluster.finish(run)
    assert log_of(cluster, run, "a").split() == [f"{pg.LOGIN}|{pg.DATABASE}", "1"]
    assert f"127.0.0.1:{server.port} (127.0.0.1), PostgreSQL answers, in" in cluster.ok("connections", "test", "my_db")


@pytest.mark.skipif(os.geteuid() != 0, reason="changing user needs root")
def test_files_are_the_tasks_users_alone(cluster):
    os.chmod(cluster.folder, 0o711)
    cluster.env["REEVE_CONN_DB"] = URI
    cluster.start_master()
    cluster.start_worker("w1", "--run-as", "nobody,games")
    wait_until(lambda: "w1" in cluster.workers_up(), what="the worker")
    script = f"""
        stat -c '%a %U' $REEVE_CONNECTIONS/db/password; touch $REEVE_CONNECTIONS/x || echo cannot
        while [ ! -e {cluster.folder}/go ]; do sleep 0.05; done"""
    run = cluster.submit(cluster.dag("owner", {"a": {"bash": script, "connection": "db"}}))
    wait_until(lambda: own_folder(cluster) is not None, what="the task")
    folder = own_folder(cluster)
    other = cluster.submit(cluster.dag("other", {"a": {
        "bash": f"cat {folder}/db/password && echo read || echo denied", "run_as": "games"}}))
    cluster.finish(other)
    assert "denied" in log_of(cluster, other, "a")
    (cluster.folder / "go").touch()
    cluster.finish(run)
    assert log_of(cluster, run, "a").splitlines()[0] == "600 nobody" and "cannot" in log_of(cluster, run, "a")
    wait_until(lambda: not folder.exists(), what="the end of the files")
