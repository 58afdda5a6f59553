"""The postgres operator against a real PostgreSQL; psql is the oracle."""

import csv
import json
import signal
import subprocess
import sys

import pytest

from reeve import ROOT, program, wait_until
from pg import empty, fail, server, start, succeed  # noqa: F401 (fixtures)

HOSTILE = ["$(id)", "'; drop table t; --", 'a"b', "a\\'b\\", "two\nlines\r\n", "$1 :v %(v)s", "{1,2}", "\\x00", "é€😀", ""]


def rows(text):
    return [line.split("|") for line in text.splitlines()]


def test_a_value_a_row_set_and_the_count_are_outputs(empty):
    ended = succeed(empty, {"sql": "SELECT 1 + 1 AS two"})
    assert ended.outputs == {"value": 2, "rows": [{"two": 2}], "row_count": 1}
    sql = "SELECT n, n::text AS t, n > 1 AS b, n / 2.0 AS d, null AS x, jsonb_build_object('n', n) AS j FROM generate_series(1, 2) n"
    ended = succeed(empty, {"sql": sql})
    assert ended.outputs["row_count"] == 2 and "value" not in ended.outputs
    first = ended.outputs["rows"][0]
    assert first == {"n": 1, "t": "1", "b": False, "d": "0.50000000000000000000", "x": None, "j": {"n": 1}}
    assert " n | t | b " in ended.log and "(2 rows)" in ended.log
    ended = succeed(empty, {"sql": "CREATE TABLE t AS SELECT generate_series(1, 5)"})
    assert ended.outputs == {"row_count": 5}


def test_a_large_result_is_counted_and_not_held_in_memory(empty):
    """pg.py limits the operator's memory to 30 MiB."""
    sql = "SELECT n, repeat('x', 100) FROM generate_series(1, 1000000) n"
    ended = succeed(empty, {"sql": sql})
    assert ended.outputs == {"row_count": 1000000}
    assert "(1000000 rows, the first 20 shown)" in ended.log and "copy_to" in ended.log


def test_hostile_values_arrive_literally_wherever_a_parameter_stands(empty, tmp_path):
    for value in HOSTILE:
        ended = succeed(empty, {"sql": "SELECT :v AS a, :'v' AS b", "parameters": {"v": value}})
        assert ended.outputs["rows"] == [{"a": value, "b": value}]
        copied = tmp_path / "out.csv"
        succeed(empty, {"parameters": {"v": value}, "copy_to": {"file": str(copied), "query": "SELECT :v AS a, 'x' AS b"}})
        with open(copied, newline="", encoding="utf-8") as file:
            assert list(csv.reader(file)) == [["a", "b"], [value, "x"]]
        if value:
            succeed(empty, {"sql": 'CREATE TABLE :"v" (:"v" text DEFAULT :v); INSERT INTO :"v" DEFAULT VALUES',
                            "parameters": {"v": value}})
            quoted = '"' + value.replace('"', '""') + '"'
            assert empty.psql(f"SELECT {quoted} FROM {quoted}", arguments=("-At", "-z")) == value.rstrip("\n") or "\n" in value
    assert empty.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == str(len(HOSTILE) - 1)


def test_a_nul_in_a_parameter_is_refused_by_name(empty):
    ended = fail(empty, {"sql": "SELECT :v", "parameters": {"v": "a\0b"}})
    assert ended.error == "with.parameters.v has a NUL in it" and ended.retry is False


def test_parameters_keep_their_types(empty):
    values = {"n": 7, "r": 0.5, "b": True, "z": None, "list": [1, 2], "same": [1, 2], "words": ['a"b', "c,d", None, "\\"], "o": {"k": [1]}}
    sql = """SELECT :n + 1 AS n, :r::float8 * 2 AS r, NOT :b AS b, :z::text IS NULL AS z, 2 = ANY(:list::int[]) AS any,
             cardinality(CAST(:words AS text[])) AS words, (:words::text[])[1] AS first, (:words::text[])[4] AS last,
             :same::jsonb -> 1 AS item, CAST(:o AS jsonb) -> 'k' -> 0 AS k"""
    ended = succeed(empty, {"sql": sql, "parameters": values})
    assert ended.outputs["rows"] == [{"n": 8, "r": 1.0, "b": False, "z": True, "any": True, "words": 4, "first": 'a"b',
                                      "last": "\\", "item": 2, "k": 1}]


def test_one_transaction_unless_autocommit(empty):
    sql = "CREATE TABLE t (n int); INSERT INTO t VALUES (1); SELECT 1 / 0"
    fail(empty, {"sql": sql})
    assert empty.psql("SELECT to_regclass('t') IS NULL") == "t"
    fail(empty, {"sql": sql, "autocommit": True})
    assert empty.psql("SELECT count(*) FROM t") == "1"
    succeed(empty, {"sql": "VACUUM t", "autocommit": True})
    ended = fail(empty, {"sql": "VACUUM t"})
    assert "25001" in ended.error and "autocommit: true" in ended.log
    ended = fail(empty, {"sql": "SELECT 1;\nCOMMIT"})
    assert ended.error.startswith("sql:2:1: the task is one transaction already")
    ended = fail(empty, {"sql": "BEGIN; INSERT INTO t VALUES (2)", "autocommit": True})
    assert "did not end it" in ended.error and empty.psql("SELECT count(*) FROM t") == "1"
    succeed(empty, {"sql": "BEGIN; INSERT INTO t VALUES (2); COMMIT", "autocommit": True})
    assert empty.psql("SELECT count(*) FROM t") == "2"


def test_notices_and_row_counts_are_in_the_log(empty):
    sql = "DO $$ BEGIN RAISE NOTICE 'half; way'; RAISE WARNING 'odd' USING HINT = 'look'; END $$;\nCREATE TABLE t AS VALUES (1), (2);\n\nDELETE FROM t"
    ended = succeed(empty, {"sql": sql})
    for line in ("NOTICE: half; way", "WARNING: odd", "hint: look", "sql:2: SELECT 2", "sql:4: DELETE 2"):
        assert line in ended.log


def test_a_mistake_is_shown_with_its_place_and_a_caret(empty, tmp_path):
    (tmp_path / "load.sql").write_text("SELECT 1;\n\nSELECT 'é', :day,\n\tregoin FROM (VALUES (1)) AS v (region)\n")
    ended = fail(empty, {"file": "load.sql", "parameters": {"day": "2026-11-21"}}, folder=tmp_path)
    assert ended.error.startswith('load.sql:4:2: column "regoin" does not exist (SQLSTATE 42703')
    assert "    \tregoin FROM" in ended.log and "\n    \t^\n" in ended.log and "hint: Perhaps you meant" in ended.log
    assert ended.retry is False and "another try would not help" in ended.log
    ended = fail(empty, {"sql": "SELECT 'é' AS a, :day AS b FROM nowhere", "parameters": {"day": "x"}})
    assert ended.error.startswith("sql:1:33: ") and "42P01" in ended.error
    ended = fail(empty, {"sql": "SELEC 1"})
    assert ended.error.startswith("sql:1:1: syntax error") and "42601" in ended.error
    ended = fail(empty, {"sql": "SELECT :dya", "parameters": {}})
    assert "only names in `parameters` count" in ended.log


def test_backslashes_are_read_as_the_server_reads_them_at_that_moment(empty):
    sql = """SET standard_conforming_strings = off; SELECT 'a\\';' || :v AS b"""
    ended = succeed(empty, {"sql": sql, "parameters": {"v": "c\\d"}})
    assert ended.outputs["value"] == "a';c\\d"


@pytest.mark.parametrize("options, words", [
    ({"sql": "SELECT %(day)s", "parameters": {"day": 1}}, "sql:1:8: %(day)s is not a parameter here: write :day"),
    ({"sql": "SELECT DATE :day", "parameters": {"day": 1}}, "write CAST(:day AS DATE)"),
    ({"sql": "SELECT 1", "parameters": {"day": 1}}, 'the parameter "day" is used nowhere'),
    ({"sql": "SELECT 'x"}, "sql:1:8: the string that begins here is never closed"),
    ({"sql": "\\copy t from 'x'"}, "copy_from"),
    ({"sql": "COPY pg_class TO STDOUT"}, "use copy_from or copy_to"),
    ({"sql": "CREATE TEMP TABLE t (n int); COPY t FROM STDIN"}, "use copy_from or copy_to"),
    ({"sql": "SET application_name = 'mine'"}, "sets application_name, which carries the attempt's tag"),
    ({}, "nothing to do"),
    ({"sqll": "SELECT 1"}, 'unknown option "sqll"; did you mean "sql"?'),
    ({"sql": "SELECT 1", "file": "x.sql"}, "only one of them runs"),
    ({"file": "not_there.sql"}, "not_there.sql"),
    ({"sql": "SELECT 1", "statement_timeout": "300"}, "300s"),
    ({"sql": "SELECT 1", "retry": "yes"}, "auto, always or never"),
    ({"sql": "SELECT 1", "log_rows": 5000}, "from 0 to 1000"),
    ({"sql": "SELECT 1", "once": True, "autocommit": True}, "does not go with autocommit"),
    ({"sql": "SELECT 1", "parameters": {"a-b": 1}}, "cannot be a parameter's name"),
    ({"copy_from": {"table": "t"}}, '"copy_from" needs file'),
    ({"copy_from": {"file": "a", "table": "t", "query": "x"}}, 'unknown option "query"'),
    ({"copy_to": {"file": "a"}}, "table or query"),
    ({"copy_to": {"file": "a", "table": "t; drop"}}, "is no name"),
])
def test_bad_input_is_told_by_name(empty, options, words):
    ended = fail(empty, options)
    assert words in ended.error and ended.retry is False


def test_timeouts_of_statements_and_locks(empty):
    ended = fail(empty, {"sql": "SELECT pg_sleep(60)", "statement_timeout": "100ms"})
    assert "57014" in ended.error and ended.retry is True
    succeed(empty, {"sql": "CREATE TABLE t (n int)"})
    holder = start(empty.connection(), {"sql": "LOCK TABLE t; SELECT pg_sleep(600)"}, task_index=1)
    wait_until(lambda: empty.psql("SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND granted") == "1")
    ended = fail(empty, {"sql": "SELECT * FROM t", "lock_timeout": "100ms"})
    assert "55P03" in ended.error and ended.retry is True
    holder.signal(signal.SIGTERM)
    assert holder.end().status == 1


def test_a_session_is_tagged_and_is_ended_when_its_client_vanishes(empty):
    sql = """SELECT current_setting('application_name') AS tag, current_setting('client_connection_check_interval') AS check,
             current_setting('tcp_keepalives_idle') AS idle"""
    ended = succeed(empty, {"sql": sql})
    assert ended.outputs["rows"] == [{"tag": "reeve:0123456789abcdef:0:0:1", "check": "2s", "idle": "30"}]


@pytest.mark.parametrize("extra", [{"application_name": "x"}, {"fallback_application_name": "x"},
                                   {"options": "-c application_name=x"}])
def test_an_application_name_of_the_connection_is_refused(empty, extra):
    ended = fail(empty, {"sql": "SELECT 1"}, connection={"extra": extra})
    assert "application_name" in ended.error and "tag" in ended.error and ended.retry is False


def test_connections_that_fail_say_what_and_where(empty):
    ended = fail(empty, {"sql": "SELECT 1"}, connection={"password": "wrong"})
    assert "password authentication failed" in ended.error and "28P01" in ended.error
    assert f"127.0.0.1 port {empty.port}" in ended.error and ended.retry is False and "wrong" not in ended.error
    ended = fail(empty, {"sql": "SELECT 1"}, connection={"schema": "nowhere"})
    assert "3D000" in ended.error and ended.retry is False
    ended = fail(empty, {"sql": "SELECT 1"}, connection={"port": 1})
    assert "127.0.0.1 port 1 cannot be reached" in ended.error and ended.retry is True
    ended = fail(empty, {"sql": "SELECT 1"}, connection={"extra": {"sslmod": "require"}})
    assert 'did you mean "sslmode"?' in ended.error
    ended = fail(empty, {"sql": "SELECT 1"}, connection={"type": "http"})
    assert "is of type http, not postgres" in ended.error
    ended = fail(empty, {"sql": "SELECT 1"}, connection={"extra": {"sslmode": "verify-full"}})
    assert ended.retry is not None and "certificate" in ended.error or "SSL" in ended.error


def test_several_hosts_are_tried_and_the_wanted_one_is_taken(empty):
    hosts = f"127.0.0.1:1,127.0.0.1:{empty.port}"
    assert succeed(empty, {"sql": "SELECT 1"}, connection={"host": hosts}).outputs["value"] == 1
    empty.psql("ALTER ROLE etl SET default_transaction_read_only = on")
    try:
        ended = fail(empty, {"sql": "SELECT 1"},
                     connection={"host": hosts, "extra": {"target_session_attrs": "read-write"}})
        assert "port 1 cannot be reached" in ended.error and "read-only" in ended.error and ended.retry is True
        succeed(empty, {"sql": "SELECT 1"}, connection={"host": hosts, "extra": {"target_session_attrs": "read-only"}})
    finally:
        empty.psql("ALTER ROLE etl RESET default_transaction_read_only")
    succeed(empty, {"sql": "SELECT 1"}, connection={"extra": {"target_session_attrs": "prefer-standby"}})


def test_the_operator_keeps_its_contract(empty):
    connection = empty.connection()
    done = subprocess.run(
        [sys.executable, ROOT / "tests/operators/conformance.py", program("reeve-op-postgres"), "--connections",
         json.dumps({connection["id"]: connection}), "--with", '{"sql": "SELECT pg_sleep(1)"}', "--bad", '{"sql": "SELEC"}'],
        capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.count("ok ") == 5, done.stdout + done.stderr
    assert empty.backends("reeve:") == []


def test_the_environment_of_a_worker_is_not_the_connections(empty):
    ended = succeed(empty, {"sql": "SELECT current_user::text"},
                    PGUSER="admin", PGOPTIONS="-c application_name=x", PGAPPNAME="x", PGHOST="192.0.2.1")
    assert ended.outputs["value"] == "etl"
