"""DAGs with the postgres operator end to end: master, worker, a real server; psql is the oracle."""

import os
import signal
import urllib.parse

import pytest

from reeve import ROOT, wait_until
import pg
from pg import empty, server  # noqa: F401 (fixtures)


pytestmark = pytest.mark.slow


def uri(server):
    return f"postgres://{pg.LOGIN}:{urllib.parse.quote(pg.PASSWORD, safe='')}@127.0.0.1:{server.port}/{pg.DATABASE}"


@pytest.fixture
def shop(cluster, empty):
    """A master that knows the database, and a worker."""
    for name in ("WAREHOUSE", "MY_POSTGRES_CONN"):
        cluster.env[f"REEVE_CONN_{name}"] = uri(empty)
    cluster.start(workers=1)
    cluster.database = empty
    return cluster


def backends(server):
    return server.backends("reeve:")


def dag(cluster, task):
    return cluster.dag("load", {"load": {"connection": "warehouse", **task}})


def in_query(cluster, count=1):
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE starts_with(application_name, 'reeve:') AND wait_event = 'PgSleep'"
    wait_until(lambda: cluster.database.psql(asleep) == str(count), what="the task in its query")


def test_orders_are_cleaned_loaded_and_added_up_as_psql_adds_them(shop):
    run = shop.submit(ROOT / "dags/orders/orders.yaml")
    shop.finish(run)
    database = shop.database
    assert database.psql("SELECT count(*), count(DISTINCT day) FROM orders") == "98970|1"
    shop.ok("artifacts", f"{run}/totals", "--get", "totals.csv")
    wanted = database.psql("SELECT department, count(*) AS orders, round(avg(amount), 2) AS average FROM orders GROUP BY 1 "
                           "ORDER BY 1", arguments=("--csv",))
    assert (shop.folder / "totals.csv").read_text().strip() == wanted
    report = shop.ok("logs", f"{run}/report")
    assert f"{database.psql('SELECT sum(amount) FROM orders')} in all; 1030 lines were rejected" in report
    # Again on the same day: the load of another run.
    again = shop.submit(ROOT / "dags/orders/orders.yaml", "-p", "rows=1000", "--again")
    shop.finish(again)
    assert database.psql("SELECT count(*) FROM orders WHERE day = (SELECT max(day) FROM orders)") == "990"
    assert database.psql("SELECT count(DISTINCT run_key) FROM reeve_once") == "2" and backends(database) == []


def test_hostile_params_and_outputs_are_rows_of_the_table_and_nothing_else(shop):
    make = """python3 -c 'import json, os; json.dump({"o": os.environ["REEVE_PARAM_p"]}, open(os.environ["REEVE_OUTPUT"], "w"))'"""
    keep = {"sql": "CREATE TABLE IF NOT EXISTS kept (p text, o text); INSERT INTO kept VALUES (:p, :o)",
            "parameters": {"p": "{{ params.p }}", "o": "{{ outputs.make.o }}"}}
    file = shop.dag("hostile", {"make": {"bash": make}, "keep": {"needs": "make", "connection": "warehouse", "postgres": keep}},
                    params={"p": "x"})
    hostile = "$(id) `id` '); DROP TABLE kept; -- :o %(p)s {{ ds }} \"x\" \\"
    run = shop.submit(file, "-p", f"p={hostile}")
    shop.finish(run)
    assert shop.database.psql("SELECT p, o FROM kept") == f"{hostile}|{hostile}"


def test_20_a_cancelled_task_leaves_no_backend(shop):
    run = shop.submit(dag(shop, {"postgres": "CREATE TABLE t (n int); SELECT pg_sleep(600)"}))
    in_query(shop)
    shop.ok("cancel", run)
    shop.finish(run, status=1)
    assert backends(shop.database) == [] and shop.database.psql("SELECT to_regclass('t') IS NULL") == "t"
    assert shop.tasks(run)["load"]["state"] == "cancelled"


def test_20_a_timed_out_task_leaves_no_backend(shop):
    run = shop.submit(dag(shop, {"postgres": "SELECT pg_sleep(600)", "execution_timeout": "1s"}))
    shop.finish(run, status=1)
    assert backends(shop.database) == [] and shop.tasks(run)["load"]["reason"] == "timeout"


def test_20_the_backend_of_a_killed_operator_is_gone_before_the_retry_starts(shop):
    """The retry itself looks who is there: nobody but itself."""
    sql = ("CREATE TABLE IF NOT EXISTS seen (n int); COMMIT; INSERT INTO seen SELECT count(*) FROM pg_stat_activity WHERE "
           "starts_with(application_name, 'reeve:'); SELECT pg_sleep(CASE WHEN (SELECT count(*) FROM seen) > 1 THEN 0 ELSE 600 END)")
    run = shop.submit(dag(shop, {"postgres": {"sql": sql, "autocommit": True}, "retries": 1, "retry_delay": "0s"}))
    in_query(shop)
    operator, = [pid for pid, name in shop.processes_left().items() if name.startswith("reeve-op-postgr")]
    os.kill(operator, signal.SIGKILL)
    shop.finish(run)
    assert shop.database.psql("SELECT n FROM seen") == "1\n1" and backends(shop.database) == []
    assert [one["state"] for one in shop.tasks(run)["load"]["attempts"]] == ["failed", "success"]


# Counts who is at work for this task, and stays if it is the first to count.
COUNTS = ("CREATE TABLE IF NOT EXISTS seen (n int); INSERT INTO seen SELECT count(*) FROM pg_stat_activity WHERE "
          "starts_with(application_name, 'reeve:'); SELECT pg_sleep(CASE WHEN (SELECT count(*) FROM seen) > 1 THEN 0 ELSE 600 END)")


def check_lost(shop, run):
    """The second attempt met no backend but its own, and none is left."""
    assert shop.database.psql("SELECT n FROM seen") == "1\n1" and backends(shop.database) == []
    assert [one["state"] for one in shop.tasks(run)["load"]["attempts"]] == ["lost", "success"]


def test_20_the_query_of_a_killed_runner_is_gone_before_the_next_attempt_starts(shop):
    run = shop.submit(dag(shop, {"postgres": {"sql": COUNTS, "autocommit": True}}))
    in_query(shop)
    runner, = shop.runners()
    os.kill(runner, signal.SIGKILL)
    wait_until(lambda: shop.processes["w1"].poll() is not None, what="the agent's end")
    shop.start_worker("w1")
    shop.finish(run)
    check_lost(shop, run)


def test_20_the_query_of_a_lost_lease_is_gone_before_the_next_attempt_starts(shop):
    """The agent stands still: the runner alone ends what nobody renews, and the operator its query."""
    run = shop.submit(dag(shop, {"postgres": {"sql": COUNTS, "autocommit": True}, "lease": "18s", "kill_grace": "1s"}))
    in_query(shop)
    shop.processes["w1"].send_signal(signal.SIGSTOP)
    shop.start_worker("w2")
    shop.finish(run, seconds=120)
    shop.processes["w1"].send_signal(signal.SIGCONT)
    check_lost(shop, run)


def test_a_mistake_is_the_tasks_error(shop):
    run = shop.submit(dag(shop, {"postgres": "SELECT 1;\nSELEC 2"}))
    shop.finish(run, status=1)
    task = shop.tasks(run)["load"]
    assert len(task["attempts"]) == 1
    assert task["error"].startswith('sql:2:1: syntax error at or near "SELEC" (SQLSTATE 42601')
    assert "    ^" in shop.ok("logs", run, "--failed")


def test_a_mistake_is_not_tried_again_unless_told(shop):
    for options, attempts in (({}, 1), ({"retry": "always"}, 2)):
        task = {"postgres": {"sql": "SELECT 1 / 0", **options}, "retries": 1, "retry_delay": "0s"}
        run = shop.submit(dag(shop, task))
        shop.finish(run, status=1)
        assert len(shop.tasks(run)["load"]["attempts"]) == attempts


def test_a_restarted_server_is_tried_again(shop):
    sql = "SELECT pg_sleep(CASE WHEN pg_postmaster_start_time() > CAST(:since AS timestamptz) THEN 0 ELSE 600 END)"
    since = shop.database.psql("SELECT pg_postmaster_start_time()")
    run = shop.submit(dag(shop, {"postgres": {"sql": sql, "parameters": {"since": since}}, "retries": 30, "retry_delay": "1s"}))
    in_query(shop)
    shop.database.restart()
    shop.finish(run)
