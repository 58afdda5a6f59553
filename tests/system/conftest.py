"""Fixtures of the system tests."""

import ctypes
import os
import random
import signal

import pytest

import reeve
import wire as wires


CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x00020000, 0x4000, 1 << 18


def keep_mounts_apart():
    """Mounts of these tests are in a namespace of their own. Other tests beside them make namespaces too, with a copy of
    every mount that they see: a file system whose power is cut here would live on there, and be found dead when it is
    mounted again."""
    libc = ctypes.CDLL(None)
    if os.geteuid() == 0 and libc.unshare(CLONE_NEWNS) == 0:
        libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)


def pytest_configure():
    """Whoever ends the tests early gets all that they started ended too, as Ctrl-C does."""
    keep_mounts_apart()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--part", metavar="I/N", help="of the tests, each Nth from the Ith on: N such runs may go side by side")


def weigh(items):
    marks = [item.get_closest_marker("weight") for item in items]
    return sum(mark.args[0] if mark else 1 for mark in marks)


def share(items, count):
    """Into so many parts of about one weight. Tests of a module with TOGETHER stay in one: they share what is dear to start."""
    units = {}
    for item in items:
        together = getattr(item.module, "TOGETHER", False)
        units.setdefault(item.module.__name__ if together else item.nodeid, []).append(item)
    parts = [[] for _ in range(count)]
    for unit in sorted(units.values(), key=weigh, reverse=True):
        min(parts, key=weigh).extend(unit)
    place = {item: index for index, item in enumerate(items)}
    return [sorted(part, key=place.get) for part in parts]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """After the deselection by markers, so that the parts are of one size."""
    part = config.getoption("--part")
    if part:
        number, count = map(int, part.split("/"))
        items[:] = share(items, count)[number - 1]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that failed shows what the cluster's programs said."""
    outcome = yield
    report = outcome.get_result()
    cluster = item.funcargs.get("cluster") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and isinstance(cluster, reeve.Cluster):
        report.sections.append(("logs of the cluster", cluster.logs()))


@pytest.fixture
def dice():
    """What a test chooses at random, and how to choose the same again."""
    seed = int(os.environ.get("RV_SEED", random.randrange(10**6)))
    print(f"RV_SEED={seed} repeats the choices of this run")
    return random.Random(seed)


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


@pytest.fixture
def wire(cluster):
    """A master that listens on TCP, and connections to it."""
    own = wires.Wire(cluster)
    own.port = reeve.free_port()
    cluster.start_master("--listen", f"tcp://127.0.0.1:{own.port}")
    own.token("viewer")  # tells the server's key
    yield own
    own.close()
