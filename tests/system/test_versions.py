"""Programs of two protocol versions: today's, and the next one's (tests/next), to which today's is one version older."""

import time

import pytest

import ledger
import reeve
from ledger import lines_in, until
from reeve import program, wait_until

OLD, NEXT = "reeve-worker", "reeve-worker-next"


def start_master(cluster, name="reeve-master", *arguments):
    before = cluster.log_of("master", 10000).count("leads with epoch")
    cluster.spawn("master", program(name), "--data", cluster.data, *arguments)
    wait_until(lambda: cluster.log_of("master", 10000).count("leads with epoch") == before + 1, what="a master")


def start_worker(cluster, name, *arguments, build=OLD):
    cluster.spawn(name, program(build), "--data", str(cluster.folder / name), "--slots", "2", *arguments)


def said_of_versions(cluster):
    """What a worker and its master say of versions."""
    return {name: [line for line in cluster.log_of(name, 10000).splitlines() if "protocol version" in line]
            for name in ("master", "w1")}


@pytest.mark.slow
@pytest.mark.parametrize("master, worker", [("reeve-master-next", OLD), ("reeve-master", NEXT)])
def test_worker_of_another_version_is_refused_with_both_named_once_by_both_sides(cluster, master, worker):
    start_master(cluster, master)
    start_worker(cluster, "w1", "--join", cluster.data, build=worker)
    wait_until(lambda: all(said_of_versions(cluster).values()), what="the words of both")
    time.sleep(8)  # a loop would show by now
    said = said_of_versions(cluster)
    for lines in said.values():
        assert len(lines) == 1 and "version 1" in lines[0] and "version 2" in lines[0], said
    assert cluster.processes["w1"].poll() is None, "it waits for an upgrade"


def test_client_of_another_version_is_told_both(cluster):
    start_master(cluster, "reeve-master-next")
    asked = cluster.reeve("ping")
    assert asked.status not in (0, 124) and "version 1" in asked.err and "version 2" in asked.err, asked


def test_join_of_another_version_ends_with_both_named(cluster):
    port = reeve.free_port()
    start_master(cluster, "reeve-master", "--listen", f"tcp://127.0.0.1:{port}")
    token = cluster.ok("token", "create", "--role", "worker").split()[0]
    start_worker(cluster, "w1", "--join", token, build=NEXT)
    assert cluster.processes["w1"].wait(timeout=30 * reeve.PATIENCE) == 7
    said = said_of_versions(cluster)
    for lines in said.values():
        assert len(lines) == 1 and "version 1" in lines[0] and "version 2" in lines[0], said
    assert not cluster.json("workers")


def test_upgrade_to_another_version_of_master_and_worker_kills_no_task(cluster):
    """The old runner serves the new agent: what stays on a host has a version of its own."""
    path, gate = cluster.folder / "ledger", cluster.folder / "gate"
    start_master(cluster)
    start_worker(cluster, "w1", "--join", cluster.data)
    body = ledger.script(path, f"echo before; {until(gate)}; echo after")
    run = cluster.submit(cluster.dag("d", {"a": {"bash": body}}))
    wait_until(lambda: lines_in(path) == 1, what="the task's start")
    runners = cluster.runners()
    cluster.kill("master")
    start_master(cluster, "reeve-master-next")
    wait_until(lambda: said_of_versions(cluster)["w1"], what="the refusal")
    cluster.kill("w1")
    start_worker(cluster, "w1", build=NEXT)
    wait_until(lambda: cluster.log_of("w1", 10000).count("registered with the master") == 2, what="the new agent")
    assert cluster.runners() == runners
    gate.touch()
    wait_until(lambda: lines_in(path) == 2, what="the task's end")
    # Back again: what the new ones recorded is the old ones' too.
    cluster.kill("w1")
    cluster.kill("master")
    start_master(cluster)
    start_worker(cluster, "w1")
    cluster.finish(run)
    (attempt,) = cluster.tasks(run)["a"]["attempts"]
    assert (attempt["state"], attempt["worker"]) == ("success", cluster.json("workers")[0]["worker"])
    assert cluster.ok("logs", f"{run}/a") == "before\nafter\n"
    assert ledger.check(ledger.read(path), expected=[(run, "a")]) == []
