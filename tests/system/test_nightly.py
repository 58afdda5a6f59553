"""The examples that use whole systems, end to end: master, worker, a real PostgreSQL, a real Spark. What they print is
held against psql and against Python's own sums."""

import csv
import json
import os
import shutil
import statistics
import subprocess

import pytest

import pg
import spark
from pg import empty, server  # noqa: F401 (fixtures)
from reeve import ROOT
from terminal import Terminal
from test_postgres_dags import uri

pytestmark = pytest.mark.slow
TOGETHER = True  # one Spark for all


@pytest.fixture(scope="module")
def sparks():
    made = spark.Cluster()
    yield made
    made.close()


@pytest.fixture
def night(cluster, sparks, empty):  # noqa: F811
    """A master that knows both systems, and a worker that has Spark."""
    extra = json.dumps({"rest-port": sparks.rest_port, "webui-port": sparks.web})
    cluster.env["REEVE_CONN_MY_POSTGRES_CONN"] = uri(empty)
    cluster.env["REEVE_CONN_SPARK_DEFAULT"] = json.dumps(
        {"conn_type": "spark", "host": "spark://127.0.0.1", "port": sparks.port, "extra": extra})
    for name, value in sparks.environment().items():
        if name.startswith(("SPARK", "PYSPARK")):
            cluster.env[name] = value
    cluster.start(workers=1, slots=2)
    cluster.database = empty
    return cluster


def run_example(night, name, *arguments, status=0):
    run = night.submit(ROOT / f"dags/{name}/{name}.yaml", *arguments)
    night.finish(run, status=status, seconds=300)
    return run


def employees():
    """What the example itself lists, read without running it."""
    text = (ROOT / "dags/salaries/avg_salary.py").read_text()
    scope = {}
    exec(text[text.index("EMPLOYEES"):text.index("\nspark =")], scope)
    return scope["EMPLOYEES"]


def averages():
    rows = employees()
    assert len(rows) == 10
    return {name: statistics.mean(row[2] for row in rows if row[1] == name) for name in {row[1] for row in rows}}


def test_salaries_are_averaged_on_the_cluster(night):
    run = run_example(night, "salaries")
    log = night.ok("logs", f"{run}/average", "--tail", "all")
    for department, average in averages().items():
        assert f"{department}: {average:.2f}" in log  # Spark's log may come before the end of the line


def test_salaries_from_a_jar_in_cluster_mode(night):
    if shutil.which("javac") is None:
        pytest.skip("there is no javac")
    run = run_example(night, "salaries_jar")
    rows = dict(csv.reader(night.ok("logs", f"{run}/show").splitlines()))
    assert {name: float(value) for name, value in rows.items()} == {name: round(mean, 2) for name, mean in averages().items()}


def test_night_s_orders_add_up_everywhere(night):
    run = run_example(night, "nightly", "-p", "rows=20000")
    tasks = night.tasks(run)
    assert all(task["state"] == "success" for task in tasks.values())
    night.ok("artifacts", f"{run}/clean", "--get", "clean.csv")
    with open(night.folder / "clean.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert 19000 < len(rows) < 20000
    assert night.database.psql("SELECT count(*), sum(amount) FROM night_orders") == \
        f"{len(rows)}|{sum(round(float(row['amount']) * 100) for row in rows) / 100:.2f}"
    means = {name: statistics.mean(float(row["amount"]) for row in rows if row["region"] == name)
             for name in ("AP", "EU", "KR", "US")}
    assert f"the best region is {max(means, key=means.get)}" in night.ok("logs", f"{run}/report")


def psycopg_python():
    """A Python that has psycopg 3, or None."""
    for folder in os.environ["PATH"].split(":"):
        python = os.path.join(folder, "python3")
        if os.access(python, os.X_OK) and subprocess.run([python, "-c", "import psycopg"], capture_output=True,
                                                         check=False).returncode == 0:
            return folder
    return None


def test_connection_is_opened_from_python_and_by_sql(cluster, empty):  # noqa: F811
    folder = psycopg_python()
    if folder is None:
        pytest.skip("no python3 has psycopg")
    cluster.env["REEVE_CONN_MY_POSTGRES_CONN"] = uri(empty)
    cluster.env["PATH"] = f"{folder}:{cluster.env['PATH']}"
    cluster.start(workers=1)
    run = cluster.submit(ROOT / "dags/connection_check/connection_check.yaml")
    cluster.finish(run)
    log = cluster.ok("logs", f"{run}/python_check")
    assert f"127.0.0.1:{empty.port}, database {pg.DATABASE}, user {pg.LOGIN}, asked at " in log
    assert "SELECT 1 gave 1\n" in log
    version = empty.psql("SELECT version()")
    assert f"version: {version}\n" in log and f"both ways say: {version}\n" in cluster.ok("logs", f"{run}/compare")
    assert pg.PASSWORD not in log


def test_traceback_is_where_failed_leads(started):
    run = started.submit(ROOT / "dags/traceback/traceback.yaml")
    started.finish(run, status=1)
    log = started.ok("logs", run, "--failed").replace("ratio | ", "")
    assert 'ratio.py", line 7, in ratio\n    return a / b\n' in log
    assert "ZeroDivisionError: float division by zero" in log
    for env, red in (({}, "\x1b[31m"), ({"NO_COLOR": "1"}, "")):
        terminal = Terminal(started, "logs", run, "--failed", **env)
        assert terminal.end() == 0
        assert f"{red}Traceback (most recent call last):" in terminal.shown and ("\x1b[" in terminal.shown) == bool(red)
        assert f"{red}ZeroDivisionError: float division by zero" in terminal.shown
    assert "\x1b" not in log
    assert started.tasks(run)["ratio"]["error"] == "ZeroDivisionError: float division by zero (ratio.py, line 7)"
