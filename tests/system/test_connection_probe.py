"""`reeve connections test`: a worker logs in, asks the master or the server, and says what it reached or what failed. What
it says is held against psql, Spark and the servers themselves; its secret is on descriptor 3 alone."""

import base64
import contextlib
import http.server
import json
import re
import socket
import subprocess
import threading

import pytest

import pg
import reeve
import spark
from pg import server  # noqa: F401 (a fixture)
from test_connections import SECRET, files_with, processes_that_tell
from test_postgres_tls import extra, keys, secure  # noqa: F401 (fixtures)


def keep(cluster, name, **document):
    cluster.ok("connections", "set", name, stdin=json.dumps({"conn_type": "postgres", **document}))


def keep_server(cluster, name, server, **changed):  # noqa: F811
    keep(cluster, name, **{"host": "127.0.0.1", "port": server.port, "schema": pg.DATABASE, "login": pg.LOGIN,
                           "password": pg.PASSWORD, **changed})


def refused(cluster, name, *words):
    result = cluster.reeve("connections", "test", name)
    assert result.status == 1 and not result.out, result.out
    for word in (f"{name}, from w1: ", *words):
        assert word in result.err, result.err


# ---- PostgreSQL ----

def test_login_says_version_user_database_and_tls_as_psql_does(cluster, server):  # noqa: F811
    cluster.start(workers=1)
    keep_server(cluster, "db", server)
    version = server.psql("SHOW server_version")
    out = cluster.ok("connections", "test", "db")
    assert out.startswith(f"db: reached 127.0.0.1:{server.port} (127.0.0.1), PostgreSQL answers, in ")
    assert out.endswith(f"; logged in: PostgreSQL {version}, user {pg.LOGIN}, database {pg.DATABASE}, no TLS, from w1\n")


def test_login_that_fails_says_what_was_wrong(cluster, server):  # noqa: F811
    cluster.start(workers=1)
    keep_server(cluster, "wrong", server, password=SECRET)
    refused(cluster, "wrong", f'password authentication failed for user "{pg.LOGIN}"', "28P01")
    keep_server(cluster, "nowhere", server, schema="no_such")
    refused(cluster, "nowhere", 'database "no_such" does not exist', "3D000")
    keep_server(cluster, "nobody", server, login="no_such", password=SECRET)
    refused(cluster, "nobody", 'for user "no_such"')
    keep_server(cluster, "tls", server, extra={"sslmode": "require"})
    refused(cluster, "tls", "server does not support SSL")
    assert files_with(cluster.folder, SECRET.encode()) == []


def test_login_that_no_line_of_pg_hba_admits_says_so(cluster, server):  # noqa: F811
    cluster.start(workers=1)
    file = server.data / "pg_hba.conf"
    before = file.read_text()
    try:
        file.write_text(f"local all all trust\nhost {pg.DATABASE} all 127.0.0.1/32 scram-sha-256\n")
        server.restart()
        keep_server(cluster, "db", server, schema="postgres")
        refused(cluster, "db", "no pg_hba.conf entry", "28000")
    finally:
        file.write_text(before)
        server.restart()


@pytest.mark.slow
def test_login_over_tls_says_by_what(cluster, keys, secure):  # noqa: F811
    cluster.start(workers=1)
    keep_server(cluster, "db", secure, **extra(keys))
    assert re.search(r"database shop, TLS by TLSv1\.\d, from w1$", cluster.ok("connections", "test", "db").strip())
    keep_server(cluster, "other", secure, **extra(keys, root="other"))
    refused(cluster, "other", "certificate verify failed")


def test_secret_of_a_login_under_way_is_in_no_argv_environment_or_file(cluster):
    """A server that says it is PostgreSQL and then nothing: the login waits while the test looks."""
    cluster.start(workers=1)
    with socket.create_server(("127.0.0.1", 0)) as silent, contextlib.ExitStack() as open_ones:
        keep(cluster, "db", host="127.0.0.1", port=silent.getsockname()[1], schema="x", login="u", password=SECRET,
             extra={"connect_timeout": "20"})
        tester = subprocess.Popen([reeve.program("reeve"), "connections", "test", "db"], env=cluster.env,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        greeting = open_ones.enter_context(silent.accept()[0])
        assert greeting.recv(8) == b"\0\0\0\x08\x04\xd2\x16\x2f"
        greeting.sendall(b"N")
        login = open_ones.enter_context(silent.accept()[0])
        assert login.recv(8)
        assert "reeve-op-postgres"[:15] in cluster.processes_left().values()  # as the kernel keeps a name
        assert processes_that_tell(cluster, SECRET.encode()) == []
        assert files_with(cluster.folder, SECRET.encode()) == []
        login.close()
        out, err = tester.communicate(timeout=120)
    assert tester.returncode == 1 and "db, from w1: " in err and SECRET not in out + err
    assert files_with(cluster.folder, SECRET.encode()) == []


def test_without_the_operator_nobody_logs_in_and_it_says_so(cluster, server, tmp_path):  # noqa: F811
    probe = tmp_path / "reeve-op-probe"
    probe.write_bytes(open(reeve.program("reeve-op-probe"), "rb").read())
    probe.chmod(0o755)
    own, theirs = socket.socketpair()
    task = {"type": "task", "reeve": 1, "operator": "probe", "run": "d/1", "run_key": "0" * 16, "dag": "d", "task": "t",
            "task_index": 0, "map_index": 0, "attempt": 1, "tag": f"reeve:{'0' * 16}:0:0:1", "tag_prefix": f"reeve:{'0' * 16}:0:0:",
            "epoch": 1, "worker": "w1", "with": {}, "context": {}, "connections": {"warehouse": server.connection()},
            "notes": [], "timeout_ms": 0, "kill_grace_ms": 10000}
    own.sendall(json.dumps(task).encode() + b"\n")
    done = subprocess.run(["bash", "-c", f'exec 3<&{theirs.fileno()}; exec "$0"', probe], pass_fds=[theirs.fileno()],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "no login was tried: this worker has no reeve-op-postgres" in done.stdout, done


# ---- Spark ----

@pytest.mark.slow
@pytest.mark.parametrize("rest", [True, False])
def test_spark_master_says_its_version_workers_and_rest_server(cluster, rest):
    sparks = spark.Cluster(rest=rest)
    try:
        cluster.start(workers=1)
        document = {**sparks.connection(), "conn_type": "spark"}
        keep(cluster, "spark_default", **{key: document[key] for key in ("conn_type", "host", "port", "extra")})
        version = subprocess.run([sparks.home / "bin" / "spark-submit", "--version"], capture_output=True, text=True,
                                 env=sparks.environment(), check=True).stderr
        version = re.search(r"version (\d\S+)", version).group(1)
        out = []

        def is_answered():
            out[:] = [cluster.ok("connections", "test", "spark_default")]
            return "too slow" not in out[0] and "; Spark, " not in out[0]
        reeve.wait_until(is_answered, seconds=240, what="pages within the probe's 5 s")
        (out,) = out
        assert f"127.0.0.1:{sparks.port}" in out
        assert f"; Spark {version}, the master is ALIVE, 1 worker, 2 cores; " in out
        assert (f"; REST server on port {sparks.rest_port}," if rest else f"; no REST server on port {sparks.rest_port} ") in out
    finally:
        sparks.close()


def test_spark_master_without_its_pages_is_reached_and_one_that_is_away_is_not(cluster):
    cluster.start(workers=1)
    away = reeve.free_port()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        keep(cluster, "dumb", conn_type="spark", host=f"spark://127.0.0.1:{away},127.0.0.1:{port}",
             extra={"webui-port": away, "rest-port": away})
        out = cluster.ok("connections", "test", "dumb")
    assert f"reached 127.0.0.1:{port} " in out
    assert f"; no page of a master on port {away} (webui-port); no REST server on port {away} (rest-port), from w1" in out
    keep(cluster, "away", conn_type="spark", host="spark://127.0.0.1", port=away)
    refused(cluster, "away", f"127.0.0.1:{away} (127.0.0.1): Connection refused")


# ---- HTTP ----

@pytest.fixture
def web():
    """A server that wants a login below /closed, fails below /broken, and answers elsewhere; `asked`: paths and logins."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        server_version, sys_version = "shop/1\x1b[2J", ""

        def do_GET(self):
            login = self.headers.get("Authorization")
            asked.append((self.path, login))
            good = login == "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
            self.send_response({"/closed": 200 if good else 401, "/broken": 503, "/none": 404}.get(self.path, 200))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args):
            pass

    own = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    own.asked = asked
    threading.Thread(target=own.serve_forever, daemon=True).start()
    yield own
    own.shutdown()
    own.server_close()


def test_web_server_says_its_status(cluster, web):
    cluster.start(workers=1)
    address = f"http://127.0.0.1:{web.server_address[1]}"

    def keep_web(name, path, **more):
        keep(cluster, name, conn_type="http", host=f"http://127.0.0.1{path}", port=web.server_address[1], **more)

    keep_web("open", "")
    out = cluster.ok("connections", "test", "open")
    assert f"; {address}/: status 200, server shop/1" in out and "\x1b" not in out
    keep_web("none", "/none")
    assert f"; {address}/none: status 404, " in cluster.ok("connections", "test", "none")
    keep_web("closed", "/closed", login="me", password=SECRET)
    assert f"; {address}/closed: status 200, " in cluster.ok("connections", "test", "closed")
    keep_web("wrong", "/closed", login="me", password="other")
    refused(cluster, "wrong", f"{address}/closed: status 401: its login is refused")
    keep_web("bare", "/closed")
    refused(cluster, "bare", "status 401: it wants a login, and the connection has none")
    keep_web("broken", "/broken")
    refused(cluster, "broken", f"{address}/broken: status 503: the server fails")
    assert [path for path, _ in web.asked] == ["/", "/none", "/closed", "/closed", "/closed", "/broken"]
    assert files_with(cluster.folder, SECRET.encode()) == []


def test_what_speaks_no_http_is_told(cluster):
    cluster.start(workers=1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        def talk():
            for _ in range(2):
                peer = other.accept()[0]
                peer.sendall(b"220 mail\r\n")
                peer.close()
        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        keep(cluster, "mail", conn_type="http", host="127.0.0.1", port=other.getsockname()[1])
        refused(cluster, "mail", f"http://127.0.0.1:{other.getsockname()[1]}/: ")
        thread.join(30)
