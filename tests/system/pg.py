"""A PostgreSQL of its own for the tests, and a worker's side of descriptor 3 for one operator.

    server = pg.Server()              # on a free port of 127.0.0.1, and on a socket in its folder
    server.psql("SELECT 1")           # what psql says: the oracle
    ended = pg.attempt(server, {"sql": "SELECT 1"})
    assert ended.outputs["value"] == 1
"""

import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile

import pytest

import op
import reeve

LOGIN, PASSWORD, DATABASE = "etl", "s3cret'\\ word", "shop"
# All that an operator may ever hold: out of memory it aborts.
DATA_KIB = 30 * 1024


def programs():
    """The newest installed PostgreSQL's folder of programs, or None."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"),
                   key=lambda path: float(path.parts[-3]) if path.parts[-3].replace(".", "").isdigit() else 0)
    if found:
        return found[-1].parent
    path = shutil.which("initdb")
    return pathlib.Path(path).parent if path else None


def owner():
    """Whom the server runs as: it refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise AssertionError("there is no user that PostgreSQL could run as")


class Server:
    """A cluster in a folder of its own, with the database, the login and its password."""

    def __init__(self, prepare=None, hosts="host all all 127.0.0.1/32 scram-sha-256", **settings):
        """`prepare` is called with the server before its first start; `hosts`: the line of pg_hba.conf for TCP."""
        self.bin = programs()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rvpg-"))
        self.port = reeve.free_port()
        self.owner = owner()
        if self.owner:
            os.chown(self.folder, self.owner["user"], self.owner["group"])
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self._do("initdb", "-D", self.data, "-U", "admin", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        lines = {"port": self.port, "listen_addresses": "'127.0.0.1'", "unix_socket_directories": f"'{self.folder}'",
                 "fsync": "off", "max_connections": 30, "shared_buffers": "'64MB'", **settings}
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.writelines(f"{key} = {value}\n" for key, value in lines.items())
        (self.data / "pg_hba.conf").write_text(f"local all all trust\n{hosts}\n")
        if prepare:
            prepare(self)
        self.start()
        quoted = PASSWORD.replace("'", "''")
        self.psql(f"SET standard_conforming_strings = on; CREATE ROLE {LOGIN} LOGIN PASSWORD '{quoted}'",
                  database="postgres")
        self.psql(f"CREATE DATABASE {DATABASE} OWNER {LOGIN}", database="postgres")

    def _do(self, program, *arguments):
        done = subprocess.run([self.bin / program, *map(str, arguments)], stdin=subprocess.DEVNULL, cwd="/",
                              capture_output=True, text=True, check=False, timeout=120, **self.owner)
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    def start(self):
        self._do("pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "-s", "start")

    def stop(self, mode="immediate"):
        self._do("pg_ctl", "-D", self.data, "-m", mode, "-w", "-s", "stop")

    def restart(self):
        self.stop()
        self.start()

    def close(self):
        if (self.data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def psql(self, sql, database=DATABASE, user="admin", arguments=("-At",)):
        """What psql prints for it, as the superuser over the socket."""
        done = subprocess.run([self.bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p",
                               str(self.port), "-U", user, "-d", database, *arguments, "-c", sql],
                              capture_output=True, text=True, check=False, timeout=120,
                              env=reeve.clean_environment())
        assert done.returncode == 0, done.stderr
        return done.stdout.strip("\n")

    def backends(self, prefix=f"reeve:{op.KEY}:"):
        """The process ids of backends whose application_name begins so."""
        found = self.psql(f"SELECT pid FROM pg_stat_activity WHERE starts_with(application_name, '{prefix}')")
        return [int(pid) for pid in found.split()]

    def connection(self, **changed):
        """As a worker hands it over; `extra` is an object; a part set to None is absent."""
        parts = {"id": "warehouse", "type": "postgres", "host": "127.0.0.1", "port": self.port, "schema": DATABASE,
                 "login": LOGIN, "password": PASSWORD, "extra": {}, **changed}
        return {key: value for key, value in parts.items() if value is not None}


def start(connection, options, **more):
    """reeve-op-postgres at work, in little memory."""
    return op.Attempt("postgres", options, [connection] if connection else [], data_kib=DATA_KIB, **more)


def attempt(server, options, seconds=180, connection=None, **more):
    """One attempt to its end; `connection`: parts that differ."""
    return start(server.connection(**(connection or {})), options, **more).end(seconds)


def succeed(server, options, **more):
    ended = attempt(server, options, **more)
    assert ended.status == 0 and ended.error is None, ended.log
    return ended


def fail(server, options, **more):
    ended = attempt(server, options, **more)
    assert ended.status == 1 and ended.error is not None, ended.log
    return ended


@pytest.fixture(scope="session")
def server():
    if programs() is None:
        pytest.skip("PostgreSQL's server is not installed (package postgresql)")
    own = Server()
    yield own
    own.close()


@pytest.fixture
def empty(server):
    """The server, its database's schema new."""
    server.psql(f"DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION {LOGIN}")
    return server


__all__ = ["Server", "start", "attempt", "succeed", "fail", "server", "empty"]
