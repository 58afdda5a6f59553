"""Links that are cut in one direction or in both, healed, and cut again elsewhere (FAULTS 12)."""

import os
import random
import time

import pytest

import fleet as fleets
import ledger
from ledger import lines_in, until
from reeve import wait_until

WHY_NOT = fleets.is_possible()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]
STORM_S = float(os.environ.get("RV_STORM_S", "20"))


@pytest.fixture
def cluster():
    """Hosts m, w1, w2 and w3; a master and three workers of two slots."""
    own = fleets.Fleet(["m", "w1", "w2", "w3"])
    try:
        own.start_master()
        own.start_workers("w1", "w2", "w3")
        yield own
    finally:
        own.end_all()
        reports = own.sanitizer_reports()
        own.close()
    assert not reports, reports


def gated(cluster, name, count):
    path, gate, locks = (cluster.folder / f"{name}.{part}" for part in ("ledger", "gate", "locks"))
    locks.mkdir()
    body = ledger.script(path, until(gate), locks)
    run = cluster.submit(cluster.dag(name, {f"t{n}": {"bash": body} for n in range(count)}))
    wait_until(lambda: lines_in(path) == count, what=f"the start of {count} tasks")
    return run, path, gate


def check(cluster, run, path):
    tasks = cluster.tasks(run)
    # What was asked back for an idler worker before it began is not lost.
    lost = [(run, name, a["attempt"]) for name, task in tasks.items() for a in task["attempts"]
            if a["state"] == "lost" and a["reason"] != "not_started"]
    wrong = ledger.check(ledger.read(path), expected=[(run, name) for name in tasks], lost=lost)
    assert not wrong, "\n".join(wrong)
    return lost


def test_12_link_that_is_cut_in_one_direction_alone_loses_and_doubles_nothing(cluster):
    for source, target in (("w1", "m"), ("m", "w1")):
        run, path, gate = gated(cluster, f"from-{source}", 6)
        cluster.cut_one_way(source, target)
        wait_until(lambda: cluster.workers()["w1"]["state"] == "silent", what="silence")
        gate.touch()
        wait_until(lambda path=path: lines_in(path) == 12, what="the end of all, on both sides of the cut")
        cluster.mend_one_way(source, target)
        cluster.finish(run)
        assert check(cluster, run, path) == [], "no lease has run out"
        wait_until(lambda: cluster.workers()["w1"]["state"] == "up", what="w1 up again")


def test_12_links_that_are_cut_and_healed_one_after_another_converge(cluster):
    """Swizzled: each host is cut in some way for some time, and they heal in another order. Leases are the shortest."""
    seed = int(os.environ.get("RV_SEED", random.randrange(10**6)))
    print(f"RV_SEED={seed} repeats the choices of this run")
    dice = random.Random(seed)
    path, locks = cluster.folder / "ledger", cluster.folder / "locks"
    locks.mkdir()
    tasks = {}
    for n in range(240):
        body = ledger.script(path, f"sleep {dice.choice(['0.1', '0.3', '0.6'])}", locks)
        needs = [f"t{dice.randrange(n):03}"] if n and dice.random() < 0.5 else []
        tasks[f"t{n:03}"] = {"bash": body, "needs": needs, "lease": "18s", "kill_grace": "1s"}
    run = cluster.submit(cluster.dag("storm", tasks))
    wait_until(lambda: lines_in(path) > 10, what="the first starts")
    end = time.monotonic() + STORM_S
    while time.monotonic() < end:
        cuts = []
        for host in dice.sample(["w1", "w2", "w3"], dice.randrange(1, 4)):
            cuts.append(dice.choice([(host, "m"), ("m", host), (host,)]))
            cluster.cut_some(*cuts[-1])
            time.sleep(dice.random())  # the fault's own time
        time.sleep(dice.choice([0.5, 2, 5]))
        for cut in dice.sample(cuts, len(cuts)):
            cluster.mend_some(*cut)
            time.sleep(dice.random())
    cluster.finish(run)
    check(cluster, run, path)
    wait_until(lambda: cluster.workers_up() == {"w1", "w2", "w3"}, what="all up again")
