"""What the postgres operator leaves in the database when it, its host, the server or the wire between them ends."""

import contextlib
import signal
import socket
import threading

import pytest

from reeve import wait_until
from op import KEY
from pg import empty, fail, server, start, succeed  # noqa: F401 (fixtures)

TAG = f"reeve:{KEY}"


def running(server, sql, **more):
    """An attempt that is in the middle of its statement."""
    number, task = more.get("number", 1), more.get("task_index", 0)
    own = start(server.connection(**more.pop("connection", {})), {"sql": sql, **more.pop("options", {})}, **more)
    state = f"SELECT wait_event FROM pg_stat_activity WHERE application_name = '{TAG}:{task}:0:{number}'"
    wait_until(lambda: server.psql(state) in ("PgSleep", "relation", "transactionid"))
    return own


def test_a_signal_leaves_no_backend_when_the_operator_has_ended(empty):
    own = running(empty, "CREATE TABLE t (n int); SELECT pg_sleep(600)")
    own.signal(signal.SIGTERM)
    ended = own.end()
    assert empty.backends() == []
    assert ended.status == 1 and ended.error == "stopped by a signal; what it did in the database is over"
    assert ended.retry is True and empty.psql("SELECT to_regclass('t') IS NULL") == "t"


def test_a_signal_ends_a_wait_for_a_lock_and_a_query_that_ignores_one_cancel(empty):
    succeed(empty, {"sql": "CREATE TABLE t (n int)"})
    holder = running(empty, "LOCK TABLE t; SELECT pg_sleep(600)", task_index=1)
    waiter = running(empty, "SELECT * FROM t")
    waiter.signal(signal.SIGTERM)
    assert waiter.end().status == 1 and len(empty.backends()) == 1
    holder.signal(signal.SIGTERM)
    assert holder.end().status == 1 and empty.backends() == []
    stubborn = running(empty, """DO $$ BEGIN FOR i IN 1..2 LOOP
        BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$""")
    stubborn.signal(signal.SIGTERM)
    assert stubborn.end().status == 1 and empty.backends() == []


def test_a_signal_ends_a_connection_that_is_never_answered(empty):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        own = start(empty.connection(port=silent.getsockname()[1]), {"sql": "SELECT 1"})
        taken, _ = silent.accept()
        own.signal(signal.SIGTERM)
        assert own.end(5).status == 1
        ended = fail(empty, {"sql": "SELECT 1"},
                     connection={"port": silent.getsockname()[1], "extra": {"connect_timeout": "1"}})
        assert "no answer in 1 s" in ended.error and ended.retry is True
        taken.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_20_a_killed_query_is_gone_before_the_retry_starts(empty, how):
    """SIGSTOP is a host that hangs: its connection stays open, and only the retry ends it."""
    first = running(empty, "CREATE TABLE t (n int); SELECT pg_sleep(600)")
    ghost, = empty.backends()
    first.signal(how)
    ended = succeed(empty, {"sql": "SELECT count(*)::int FROM pg_stat_activity WHERE starts_with(application_name, 'reeve:')"},
                    number=2)
    assert ended.outputs["value"] == 1 and empty.backends() == []
    if how == signal.SIGSTOP:
        assert f"attempt 1 left the backend {ghost}" in ended.log
        first.signal(signal.SIGCONT)
        last = first.end()
        assert "57P01" in last.error and last.retry is True
    else:
        assert first.end().status == -signal.SIGKILL


def test_without_a_retry_the_server_ends_the_query_of_a_killed_client(empty):
    first = running(empty, "SELECT pg_sleep(600)")
    first.signal(signal.SIGKILL)
    wait_until(lambda: empty.backends() == [], 30)
    assert first.end().status == -signal.SIGKILL


def test_a_later_attempt_and_other_tasks_are_left_alone(empty):
    later = running(empty, "SELECT pg_sleep(600)", number=2, task_index=1)
    other = running(empty, "SELECT pg_sleep(600)", task_index=10)
    ended = fail(empty, {"sql": "CREATE TABLE t (n int)"}, task_index=1)
    assert ended.error.startswith("attempt 2 of this task is at work already") and ended.retry is False
    assert len(empty.backends()) == 2 and empty.psql("SELECT to_regclass('t') IS NULL") == "t"
    for own in (later, other):
        own.signal(signal.SIGTERM)
        assert own.end().status == 1


def test_a_ghost_of_another_login_that_may_not_be_ended_is_told(empty):
    empty.psql("CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'boss'")
    try:
        ghost = running(empty, "SELECT pg_sleep(600)", connection={"login": "boss", "password": "boss"})
        ended = fail(empty, {"sql": "CREATE TABLE t (n int)"}, number=2)
        assert "of attempt 1 (user boss) cannot be ended" in ended.error and "42501" in ended.error and ended.retry is False
        assert empty.psql("SELECT to_regclass('t') IS NULL") == "t"
        ghost.signal(signal.SIGTERM)
        assert ghost.end().status == 1
    finally:
        empty.psql("DROP ROLE boss")


def test_a_server_that_is_restarted_in_a_query_could_be_tried_again(empty):
    own = running(empty, "SELECT pg_sleep(600)")
    empty.restart()
    ended = own.end()
    assert ended.retry is True and ("connection to the server was lost" in ended.error or "57P0" in ended.error)
    own = running(empty, "SELECT pg_sleep(600)", options={"retry": "never"})
    empty.restart()
    ended = own.end()
    assert ended.retry is False and "another try could help" in ended.log
    ended = fail(empty, {"sql": "SELEC", "retry": "always"})
    assert ended.retry is True


LOAD = "CREATE TABLE IF NOT EXISTS loaded (n int); INSERT INTO loaded VALUES (1) RETURNING n + 41 AS answer"


def loaded(server):
    return server.psql("SELECT count(*) FROM loaded")


def test_once_a_second_attempt_does_nothing_and_gives_the_same_outputs(empty):
    options = {"sql": LOAD, "once": True}
    first = succeed(empty, options)
    second = succeed(empty, options, number=2)
    assert loaded(empty) == "1" and second.outputs == first.outputs and first.outputs["value"] == 42
    assert "attempt 1 did this already" in second.log
    succeed(empty, options, task_index=1)
    assert loaded(empty) == "2"
    wanted = f"{KEY}|0|0|1|7|shop/1|load\n{KEY}|1|0|1|7|shop/1|load"
    assert empty.psql("SELECT run_key, task_index, map_index, attempt, epoch, run, task FROM reeve_once ORDER BY 2") == wanted
    ended = fail(empty, {"sql": LOAD + "; SELECT 1 / 0", "once": True}, task_index=2)
    assert "22012" in ended.error and loaded(empty) == "2"
    succeed(empty, options, task_index=2, number=2)
    assert loaded(empty) == "3"


def test_once_a_ghost_that_had_not_committed_does_not_count(empty):
    succeed(empty, {"sql": "CREATE TABLE loaded (n int)"})
    first = running(empty, "INSERT INTO loaded VALUES (1); SELECT pg_sleep(600)", options={"once": True})
    first.signal(signal.SIGSTOP)
    succeed(empty, {"sql": LOAD, "once": True}, number=2)
    first.signal(signal.SIGCONT)
    assert first.end().status == 1 and loaded(empty) == "1"


class Wire:
    """Between the operator and the server: cuts the first connection at its COMMIT. `answered`: after the server has
    committed, before the operator hears of it; else before the server hears of it."""

    COMMIT = b"Q\0\0\0\x0bCOMMIT\0"

    def __init__(self, port, answered):
        self.port, self.answered, self.cut = port, answered, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client):
        upstream = socket.create_connection(("127.0.0.1", self.port))
        back = threading.Thread(target=self.pour, args=(upstream, client), daemon=True)
        back.start()
        with contextlib.suppress(OSError):
            while piece := client.recv(65536):
                if self.COMMIT in piece and not self.cut:
                    self.cut = True
                    if self.answered:
                        client.shutdown(socket.SHUT_WR)
                        upstream.sendall(piece)
                    else:
                        upstream.shutdown(socket.SHUT_RDWR)
                        client.shutdown(socket.SHUT_RDWR)
                    return
                upstream.sendall(piece)
            upstream.shutdown(socket.SHUT_WR)

    @staticmethod
    def pour(source, target):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)


def test_once_a_lost_answer_to_commit_is_looked_up(empty):
    wire = Wire(empty.port, answered=True)
    ended = succeed(empty, {"sql": LOAD, "once": True}, connection={"port": wire.listener.getsockname()[1]})
    assert wire.cut and "it was committed" in ended.log and ended.outputs["value"] == 42 and loaded(empty) == "1"
    wire.listener.close()


def test_once_a_commit_that_never_arrived_is_known_to_be_none(empty):
    wire = Wire(empty.port, answered=False)
    connection = {"port": wire.listener.getsockname()[1]}
    ended = fail(empty, {"sql": LOAD, "once": True}, connection=connection)
    assert wire.cut and "nothing was committed" in ended.error and ended.retry is True
    assert empty.psql("SELECT to_regclass('loaded') IS NULL") == "t"
    succeed(empty, {"sql": LOAD, "once": True}, number=2, connection=connection)
    assert loaded(empty) == "1"
    wire.listener.close()


def test_without_once_a_lost_answer_to_commit_is_said_to_be_unknown(empty):
    wire = Wire(empty.port, answered=True)
    ended = fail(empty, {"sql": LOAD}, connection={"port": wire.listener.getsockname()[1]})
    assert "whether the work was committed is not known (once: true would look it up)" in ended.error
    wire.listener.close()
