"""FAULTS 32: a planted secret, looked for wherever somebody could find it, while operators use it and after."""

import pathlib
import resource
import signal
import stat
import uuid

import pytest

import op
import pg
from pg import empty, server  # noqa: F401 (fixtures)
from reeve import files_below, wait_until
from test_connections import leaves_cores


def tellers(secret):
    """Processes of this host whose argv or environment hold it; this one does not."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                if secret in (folder / name).read_bytes():
                    found.append(f"{folder.name} {name}")
            except OSError:
                continue
    return found


def holders(folder, secret):
    return [str(path) for path, content in files_below(folder).items() if secret in content]


@pytest.fixture
def secret(server):  # noqa: F811
    """The password of a login of its own, which no other test knows."""
    word = f"planted-{uuid.uuid4().hex}"
    server.psql(f"CREATE ROLE planted LOGIN PASSWORD '{word}'")
    yield word
    server.psql("DROP ROLE planted")


# Each says its secret aloud, and stays until it may go.
def tasks(folder):
    stay = f"while [ ! -e {folder}/go ]; do sleep 0.05; done"
    submit = folder / "spark-submit"
    submit.write_text(f'#!/bin/bash\nprintf "%s\\n" "$@"\ntouch {folder}/submitted\n{stay}\n')
    submit.chmod(0o755)
    code = ("import os, time, reeve\n"
            "print(reeve.connection('db').password, flush=True)\n"
            f"while not os.path.exists('{folder}/go'): time.sleep(0.05)\n"
            "raise ValueError(reeve.connection('db').password)\n")
    return {
        "shell": {"connection": "db", "bash": f"cat $REEVE_CONNECTIONS/db/password; echo; {stay}"},
        "python": {"connection": "db", "python": {"code": code}, "retries": 0},
        "sql": {"connection": "db", "postgres": "SELECT pg_sleep(600)"},
        "spark": {"connections": ["cluster"], "spark": {"application": "job.py", "conf": {"spark.a": "b"}}}}


def test_32_a_planted_secret_is_nowhere_while_operators_use_it_and_after(cluster, server, secret):  # noqa: F811
    needle = secret.encode()
    planted = cluster.dag("planted", tasks(cluster.folder))
    (planted.parent / "job.py").write_text("")
    cluster.env["SPARK_HOME"] = ""
    cluster.env["PATH"] = f"{cluster.folder}:{cluster.env['PATH']}"
    cluster.start(workers=1)
    cluster.ok("connections", "set", "db", stdin=f"postgres://planted:{secret}@127.0.0.1:{server.port}/{pg.DATABASE}")
    cluster.ok("connections", "set", "cluster", stdin=f"spark://me:{secret}@spark%3A%2F%2F127.0.0.1:7077")
    run = cluster.submit(planted)
    stars = "*" * len(secret)
    for name in ("shell", "python"):
        wait_until(lambda name=name: stars in cluster.reeve("logs", f"{run}/{name}").out, what=f"the word of {name}")
    wait_until((cluster.folder / "submitted").exists, what="spark-submit at work")
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'planted' AND wait_event = 'PgSleep'"
    wait_until(lambda: server.psql(asleep) == "1", what="the query")
    assert tellers(needle) == []
    assert holders(cluster.data, needle) == [], "the master's database, its log of writes, kept logs, bundles"
    assert [path for path in holders(cluster.folder / "w1", needle) if "/spool/" not in path] == [], "the worker's folder"
    (cluster.folder / "go").touch()
    cluster.ok("cancel", f"{run}/sql")
    cluster.finish(run, status=1)
    told = cluster.ok("logs", run, "--tail", "all") + cluster.ok("status", run) + cluster.ok("audit") + str(cluster.tasks(run))
    assert secret not in told and f"ValueError: {stars}" in told
    assert tellers(needle) == []
    # The worker's journal keeps what was settled until it is cut; it is the worker's alone, as its spool is.
    journal = cluster.folder / "w1/private/results"
    wait_until(lambda: set(holders(cluster.folder, needle)) <= {str(journal)}, what="no file with the secret, spools too")
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600 and stat.S_IMODE(journal.parent.stat().st_mode) == 0o700


def test_32_an_operator_that_crashes_leaves_no_core_file(empty, tmp_path):  # noqa: F811
    if not leaves_cores(tmp_path):
        pytest.skip("this host writes core files nowhere, or elsewhere (/proc/sys/kernel/core_pattern)")
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        own = op.Attempt("postgres", {"sql": "SELECT pg_sleep(600)"}, [empty.connection()], folder=str(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
    wait_until(lambda: len(empty.backends()) == 1, what="the operator in its query")
    own.signal(signal.SIGABRT)
    assert own.end().status == -signal.SIGABRT
    assert not list(tmp_path.glob("core*"))
