"""Fixtures of the system tests."""

import pytest

import reeve


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that failed shows what the cluster's programs said."""
    outcome = yield
    report = outcome.get_result()
    cluster = item.funcargs.get("cluster") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and cluster is not None:
        report.sections.append(("logs of the cluster", cluster.logs()))


@pytest.fixture
def cluster():
    """An own reeve, nothing started; all of it is ended after the test."""
    own = reeve.Cluster()
    yield own
    own.end_all()
    reports = own.sanitizer_reports()
    own.close()
    assert not reports, reports


@pytest.fixture
def started(cluster):
    """A master and two workers."""
    cluster.start(workers=2)
    return cluster
