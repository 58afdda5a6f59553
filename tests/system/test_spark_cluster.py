"""The operator spark on a real standalone cluster: results, and what is left when it is stopped or lost. FAULTS 21."""

import re
import signal

import pytest

import spark
from reeve import wait_until

pytestmark = pytest.mark.slow
TOGETHER = True  # one Spark for all

SALARIES = [("Ann", "sales", 3000), ("Bo", "sales", 4600), ("Cy", "sales", 4100), ("Di", "finance", 3000),
            ("Ed", "sales", 3000), ("Flo", "finance", 3300), ("Gus", "finance", 3900), ("Hal", "marketing", 3000),
            ("Ida", "marketing", 2000), ("Jo", "sales", 4100)]
PROGRAM = f"""
import sys, time
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
rows = spark.createDataFrame({SALARIES!r}, ["name", "department", "salary"])
for row in rows.groupBy("department").agg(F.avg("salary").alias("mean")).orderBy("department").collect():
    print(f"{{row.department}}: {{row.mean:.2f}}")
if "sleep" in sys.argv:
    print("sleeping", flush=True)
    time.sleep(600)
if "fail" in sys.argv:
    1 / 0
"""


@pytest.fixture(scope="module")
def cluster():
    made = spark.Cluster()
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "avg.py").write_text(PROGRAM)
    return tmp_path


def hear(attempt, wanted):
    """Reads what it says until wanted(line) gives something; each note is answered."""
    rest = b""
    attempt.ours.settimeout(120)
    while True:
        *lines, rest = (rest + attempt.receive()).split(b"\n")
        for line in map(spark.json.loads, lines):
            attempt.said.append(line)
            if line["type"] == "note":
                attempt.ours.sendall(b'{"type": "noted", "id": %d}\n' % line["id"])
            if found := wanted(line):
                return found
        assert lines, attempt.said


def note_of(attempt, key):
    return hear(attempt, lambda line: line.get("note", {}).get(key))


def notes_left(attempt):
    """As a later attempt is told of them."""
    return [{"attempt": 1, "id": line["id"], "at": "2026-11-21T03:00:00.000Z", "note": line["note"]}
            for line in attempt.said if line["type"] == "note"]


def test_average_salary_by_department_is_what_python_says(cluster, folder):
    ended = cluster.attempt({"application": "avg.py"}, folder=folder).end(180)
    assert ended.status == 0, ended.log
    for department in {row[1] for row in SALARIES}:
        salaries = [row[2] for row in SALARIES if row[1] == department]
        assert f"{department}: {sum(salaries) / len(salaries):.2f}" in ended.log
    assert any(re.fullmatch(r"app-\d+-\d+", note.get("application", "")) for note in ended.notes), ended.notes
    wait_until(cluster.is_empty, seconds=120)


def test_failure_shows_the_exception(cluster, folder):
    ended = cluster.attempt({"application": "avg.py", "args": ["fail"]}, folder=folder).end(180)
    assert ended.error == "ZeroDivisionError: division by zero (spark-submit ended with 1)", ended.log


def test_cancel_in_client_mode_leaves_no_driver_and_no_executor(cluster, folder):
    attempt = cluster.attempt({"application": "avg.py", "args": ["sleep"]}, folder=folder)
    note_of(attempt, "application")
    far = hear(attempt, lambda line: line["type"] == "progress" and line.get("done", 0) > 0 and line)
    assert re.match(r"\d+ of \d+ stages, http:", far["text"]) and far["done"] <= far["total"], far
    attempt.signal(signal.SIGTERM)
    assert attempt.end(180).status == 143
    wait_until(cluster.is_empty, seconds=120)


def test_21_a_retry_in_client_mode_ends_the_application_that_a_killed_operator_left(cluster, folder):
    first = cluster.attempt({"application": "avg.py", "args": ["sleep"]}, folder=folder)
    left = note_of(first, "application")
    wait_until(lambda: left in [one["id"] for one in (cluster.page() or {}).get("activeapps", [])], seconds=120)
    first.signal(signal.SIGKILL)
    first.process.wait(30)
    notes = notes_left(first)
    ended = cluster.attempt({"application": "avg.py"}, folder=folder, number=2, notes=notes).end(180)
    assert ended.status == 0 and f"ending {left} of an earlier attempt" in ended.log, ended.log
    assert "are not looked for" not in ended.log
    wait_until(cluster.is_empty, seconds=60)


def test_cluster_mode_follows_the_driver_over_rest(cluster):
    jar = cluster.jar()
    options = {"application": f"file://{jar}", "class": "Average"}
    ended = cluster.attempt(options, "cluster").end(180)
    assert ended.status == 0, ended.log
    assert "is FINISHED" in ended.log or ended.notes[-1]["driver"].startswith("driver-")
    ended = cluster.attempt({**options, "args": ["fail"]}, "cluster").end(180)
    assert re.match(r"driver-\S+ is FAILED", ended.error), ended.log


def test_21_a_lost_spark_submit_s_driver_is_adopted_and_ended_on_cancel(cluster):
    options = {"application": f"file://{cluster.jar()}", "class": "Average", "args": ["sleep"]}
    first = cluster.attempt(options, "cluster")
    driver = note_of(first, "driver")
    first.signal(signal.SIGKILL)
    first.process.wait(30)
    second = cluster.attempt(options, "cluster", number=2, notes=notes_left(first))
    assert note_of(second, "adopted") == "true"
    (active,) = cluster.active_drivers()
    assert active["id"] == driver
    second.signal(signal.SIGTERM)
    ended = second.end(180)
    assert (ended.status, ended.error) == (143, f"stopped by a signal; {driver} is KILLED"), ended.log
    wait_until(cluster.is_empty, seconds=120)


def test_cluster_mode_where_rest_is_off():
    cluster = spark.Cluster(rest=False)
    try:
        options = {"application": f"file://{cluster.jar()}", "class": "Average"}
        assert cluster.attempt(options, "cluster").end(180).status == 0
        attempt = cluster.attempt({**options, "args": ["sleep"]}, "cluster")
        driver = note_of(attempt, "driver")
        wait_until(lambda: any(one["state"] == "RUNNING" for one in cluster.active_drivers()), seconds=120)
        attempt.signal(signal.SIGTERM)
        ended = attempt.end(180)
        assert ended.error == f"stopped by a signal; {driver} is KILLED", ended.log
        wait_until(cluster.is_empty, seconds=120)
    finally:
        cluster.close()
