"""copy_from and copy_to of the postgres operator; psql's \\copy is the oracle."""

import os
import signal

import pytest

from reeve import wait_until
from op import KEY
from pg import empty, fail, server, start, succeed  # noqa: F401 (fixtures)

ROWS = [(1, "plain"), (2, 'quo"te, comma'), (3, "two\nlines"), (4, ""), (5, None), (6, "back\\slash \\N"), (7, "é€😀")]


SLOW = ("CREATE FUNCTION wait() RETURNS trigger AS 'BEGIN PERFORM pg_sleep(600); RETURN NEW; END' LANGUAGE plpgsql; "
        "CREATE TRIGGER w BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION wait()")


def csv_of(rows):
    def cell(value):
        return "" if value is None else '"' + value.replace('"', '""') + '"'
    return "id,text\n" + "".join(f"{number},{cell(text)}\n" for number, text in rows)


@pytest.fixture
def table(empty):
    succeed(empty, {"sql": 'CREATE TABLE orders (id int PRIMARY KEY, text text)'})
    return empty


def psql_copy(server, what, path):
    """The bytes that psql's own \\copy makes of it."""
    server.psql(f"\\copy {what} TO '{path}' WITH (FORMAT csv, HEADER true, NULL '')")
    return path.read_bytes()


def test_a_file_goes_in_and_comes_out_as_psql_copies_it(table, tmp_path):
    (tmp_path / "orders.csv").write_text(csv_of(ROWS), encoding="utf-8")
    ended = succeed(table, {"copy_from": {"file": "orders.csv", "table": "orders"}}, folder=tmp_path)
    assert ended.outputs == {"row_count": 7} and "7 rows into orders" in ended.log
    ended = succeed(table, {"copy_to": {"file": "out.csv", "table": "public.orders"}}, folder=tmp_path)
    assert ended.outputs == {"row_count": 7}
    assert (tmp_path / "out.csv").read_bytes() == psql_copy(table, "orders", tmp_path / "psql.csv")
    assert (tmp_path / "out.csv").read_bytes().decode() == csv_of(ROWS).replace('"plain"', "plain").replace(
        '"back\\slash \\N"', "back\\slash \\N").replace('"é€😀"', "é€😀")
    query = "SELECT id, text FROM orders WHERE id > :low -- the rest\n"
    succeed(table, {"parameters": {"low": 5}, "copy_to": {"file": "out.csv", "query": query}}, folder=tmp_path)
    wanted = psql_copy(table, "(SELECT id, text FROM orders WHERE id > 5)", tmp_path / "psql.csv")
    assert (tmp_path / "out.csv").read_bytes() == wanted
    assert sorted(path.name for path in tmp_path.iterdir()) == ["orders.csv", "out.csv", "psql.csv"]


@pytest.mark.parametrize("options", [{"format": "text"}, {"format": "binary"}, {"header": False, "delimiter": ";", "null": "NULL"},
                                     {"format": "text", "delimiter": "|", "null": "-"}])
def test_every_format_comes_back_the_same(table, tmp_path, options):
    (tmp_path / "orders.csv").write_text(csv_of(ROWS), encoding="utf-8")
    succeed(table, {"sql": 'CREATE TABLE "Copy Of" ("Id" int, "text" text)',
                    "copy_from": {"file": "orders.csv", "table": "orders"},
                    "copy_to": {"file": "out", "table": "orders", "columns": ["text", "id"], **options}}, folder=tmp_path)
    succeed(table, {"copy_from": {"file": "out", "table": 'public."Copy Of"', "columns": ["text", "Id"], **options}},
            folder=tmp_path)
    differ = 'SELECT count(*) FROM (SELECT id, text FROM orders EXCEPT ALL SELECT "Id", text FROM "Copy Of") x'
    assert table.psql(differ) == "0" and table.psql('SELECT count(*) FROM "Copy Of"') == "7"


def test_a_missing_file_is_an_error_and_none_comes_into_being(table, tmp_path):
    ended = fail(table, {"sql": "DELETE FROM orders", "copy_from": {"file": "not/there.csv", "table": "orders"}},
                 folder=tmp_path)
    assert ended.error == "copy_from: not/there.csv: No such file or directory" and ended.retry is False
    assert "connected" not in ended.log and list(tmp_path.iterdir()) == []
    os.mkfifo(tmp_path / "pipe")
    for name in (".", "pipe"):
        ended = fail(table, {"copy_from": {"file": name, "table": "orders"}}, folder=tmp_path)
        assert ended.error == f"copy_from: {name} is no file"


def test_a_broken_row_is_named_and_nothing_of_the_task_stays(table, tmp_path):
    (tmp_path / "orders.csv").write_text("id,text\n1,a\nx,b\n", encoding="utf-8")
    ended = fail(table, {"sql": "INSERT INTO orders VALUES (100, 'before')",
                         "copy_from": {"file": "orders.csv", "table": "orders"}}, folder=tmp_path)
    assert 'orders.csv: invalid input syntax for type integer: "x"' in ended.error
    assert "COPY orders, line 3, column id" in ended.error and "22P02" in ended.error and ended.retry is False
    assert table.psql("SELECT count(*) FROM orders") == "0"
    (tmp_path / "orders.csv").write_text("id,text\n1,a\n1,b\n", encoding="utf-8")
    ended = fail(table, {"copy_from": {"file": "orders.csv", "table": "orders"}}, folder=tmp_path)
    assert "23505" in ended.error and "detail: Key (id)=(1) already exists." in ended.log
    ended = fail(table, {"copy_from": {"file": "orders.csv", "table": "nowhere"}}, folder=tmp_path)
    assert "42P01" in ended.error


def test_a_copy_that_fails_leaves_the_file_that_was_there(table, tmp_path):
    (tmp_path / "out.csv").write_text("before")
    for query in ("SELECT 1 / (3 - n) FROM generate_series(1, 5) n", "SELECT 1; SELECT 2", "SELEC"):
        fail(table, {"copy_to": {"file": "out.csv", "query": query}}, folder=tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["out.csv"] and (tmp_path / "out.csv").read_text() == "before"
    ended = fail(table, {"copy_to": {"file": "no/out.csv", "table": "orders"}}, folder=tmp_path)
    assert ended.error == "copy_to: no/out.csv: No such file or directory"
    # A constraint that only the COMMIT checks.
    succeed(table, {"sql": "CREATE TABLE late (id int REFERENCES orders DEFERRABLE INITIALLY DEFERRED)"})
    ended = fail(table, {"sql": "INSERT INTO late VALUES (99)", "copy_to": {"file": "out.csv", "table": "late"}},
                 folder=tmp_path)
    assert ended.error.startswith("COMMIT: ") and "23503" in ended.error
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"] and (tmp_path / "out.csv").read_text() == "before"


def test_a_large_file_needs_little_memory_in_both_directions(table, tmp_path):
    """pg.py limits the operator's memory to 30 MiB."""
    line = "x" * 990
    with open(tmp_path / "big.csv", "w", encoding="utf-8") as file:
        file.writelines(f"{number},{line}\n" for number in range(100_000))
    options = {"file": "big.csv", "table": "orders", "header": False}
    ended = succeed(table, {"copy_from": options}, folder=tmp_path, seconds=120)
    assert ended.outputs == {"row_count": 100_000}
    succeed(table, {"copy_to": {**options, "file": "back.csv"}}, folder=tmp_path, seconds=120)
    assert (tmp_path / "big.csv").read_bytes() == (tmp_path / "back.csv").read_bytes()


def test_a_signal_in_a_copy_leaves_no_backend_and_no_row(table, tmp_path):
    (tmp_path / "orders.csv").write_text(csv_of(ROWS), encoding="utf-8")
    succeed(table, {"sql": SLOW})
    copy = start(table.connection(), {"copy_from": {"file": "orders.csv", "table": "orders"}}, folder=tmp_path)
    wait_until(lambda: table.psql(f"SELECT wait_event FROM pg_stat_activity WHERE application_name = 'reeve:{KEY}:0:0:1'")
               == "PgSleep")
    copy.signal(signal.SIGTERM)
    assert copy.end().error == "stopped by a signal; what it did in the database is over"
    assert table.backends() == [] and table.psql("SELECT count(*) FROM orders") == "0"
    endless = {"copy_to": {"file": "out.csv", "query": "SELECT generate_series(1, 10000000000)"}}
    copy = start(table.connection(), endless, folder=tmp_path)
    wait_until(lambda: (tmp_path / "out.csv.part").exists() and (tmp_path / "out.csv.part").stat().st_size > 0)
    copy.signal(signal.SIGTERM)
    assert copy.end().status == 1
    assert table.backends() == [] and [path.name for path in tmp_path.iterdir()] == ["orders.csv"]


@pytest.mark.parametrize("options", [{"copy_to": {"file": "out.csv", "query": "SELECT generate_series(1, 10000000000)"}},
                                     {"copy_from": {"file": "big.csv", "table": "orders"}}])
def test_a_server_that_is_restarted_in_a_copy_ends_it(table, tmp_path, options):
    """copy_from: its file is longer than what the sockets hold, and the server takes no more."""
    succeed(table, {"sql": SLOW})
    (tmp_path / "big.csv").write_bytes(b"1," + b"x" * 100 + b"\n" + b"2,x\n" * 5_000_000)
    copy = start(table.connection(), options, folder=tmp_path)
    state = f"SELECT state FROM pg_stat_activity WHERE application_name = 'reeve:{KEY}:0:0:1' AND query LIKE 'COPY%'"
    wait_until(lambda: table.psql(state) == "active")
    table.restart()
    ended = copy.end()
    assert ended.retry is True and ("was lost" in ended.error or "57P0" in ended.error)
    assert [path.name for path in tmp_path.iterdir()] == ["big.csv"]
