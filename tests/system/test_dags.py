"""Every example in dags/ does what its head says."""

import pytest

import reeve
from reeve import ROOT

EXAMPLES = sorted(ROOT.glob("dags/*/*.yaml"))
# The others need PostgreSQL or Spark: test_postgres_dags.py and test_nightly.py run them.
ALONE = [path for path in EXAMPLES if "connection: " not in path.read_text()]
ENDS = {"flaky": 1, "traceback": 1}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_valid(cluster, path):
    result = cluster.reeve("validate", path)
    assert result.status == 0, result.out + result.err


@pytest.mark.parametrize("path", ALONE, ids=lambda path: path.stem)
def test_example_ends_as_it_should(cluster, path):
    cluster.env["REEVE_OPERATOR_PATH"] = f"{reeve.BIN}:{ROOT}/operators/examples"
    cluster.start(workers=2)
    run = cluster.submit(path)
    cluster.finish(run, status=ENDS.get(path.stem, 0))


def test_packages_reports_the_ten_largest_sections(started):
    run = started.submit(ROOT / "dags/packages/packages.yaml")
    started.finish(run)
    lines = started.ok("logs", f"{run}/report").splitlines()
    head = next(i for i, line in enumerate(lines) if "The 10 largest of" in line)
    rows = [line.split()[-3:] for line in lines[head + 2:head + 12]]
    sizes = [float(size) for _, _, size in rows]
    assert len(rows) == 10 and sizes == sorted(sizes, reverse=True)
    started.ok("artifacts", f"{run}/report", "--get", "report.txt")
    assert (started.folder / "report.txt").read_text().startswith("section ")


def test_flaky_shows_the_error_plainly(started):
    run = started.submit(ROOT / "dags/flaky/flaky.yaml")
    started.finish(run, status=1)
    tasks = started.tasks(run)
    assert {name: task["state"] for name, task in tasks.items()} == {
        "unsteady": "success", "broken": "failed", "never": "upstream_failed", "look_back": "success"}
    assert len(tasks["unsteady"]["attempts"]) == 3
    assert "orders.csv: No such file or directory" in started.ok("logs", run, "--failed")


def test_region_report_cleans_up_and_adds_up(started):
    run = started.submit(ROOT / "dags/region_report/region_report.yaml", "-p", "region=KR", "-p", "orders=70")
    started.finish(run)
    assert started.ok("logs", f"{run}/report").count(",KR,product-") == 7
    assert "removed directory" in started.ok("logs", f"{run}/clean_up")
