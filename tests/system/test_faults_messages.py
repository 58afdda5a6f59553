"""Messages that are doubled, reordered, sent again and lost between a worker and its master (FAULTS 14, 19, 35)."""

import collections

import pytest

import ledger
from ledger import until
from ordeal import Ordeal
from proxy import TO_MASTER, TO_WORKER, Proxy
from reeve import wait_until


@pytest.fixture
def proxy(cluster):
    cluster.start_master()
    with Proxy(cluster) as own:
        yield own
        cluster.end_all()


class Disorder:
    """Doubles, swaps and repeats frames, each way and on each connection for itself."""

    def __init__(self, proxy, dice):
        self.proxy, self.dice = proxy, dice
        self.held = collections.defaultdict(list)

    def __call__(self, way, names, frame):
        chance, out = self.dice.random(), [frame]
        if chance < 0.2:
            out = [frame, frame]
        elif chance < 0.35:
            self.held[way].append(frame)
            return []
        elif chance < 0.5:
            same = [one for one in self.proxy.seen if one[0] == way]
            self.proxy.send_again([self.dice.choice(same)])
        out += self.held.pop(way, [])
        return out


def one_of_each(proxy):
    """A frame of each kind that passed, each way; of the bulk connection, too."""
    return list({(way, names, route[0]): (way, names, route, frame) for way, names, route, frame in proxy.seen}.values())


@pytest.mark.slow
def test_14_doubled_reordered_and_repeated_messages_change_nothing(cluster, proxy, dice):
    ordeal = Ordeal(cluster)
    proxy.start_worker("w1")
    for round_number in range(4):
        proxy.rule = Disorder(proxy, dice)
        client = ordeal.begin()
        client.process.wait()
        proxy.rule = lambda way, names, frame: [frame]
        if round_number == 2:
            cluster.kill("master")
            cluster.start_master()
        proxy.send_again(one_of_each(proxy))
        ordeal.finish(client)
    kinds = {name for _, names, _, _ in proxy.seen for name in names}
    assert {"assign", "ended", "heartbeat", "log_chunk", "log_end"} <= kinds, sorted(kinds)
    ordeal.finish(ordeal.begin())


def test_35_dispatch_of_a_dead_master_that_comes_late_starts_nothing(cluster, proxy):
    path = cluster.folder / "ledger"
    proxy.start_worker("w1", slots=1)
    held = []

    def keep_assignments(way, names, frame):
        if way == TO_WORKER and "assign" in names:
            held.append(proxy.seen[-1])
            return []
        return [frame]

    proxy.rule = keep_assignments
    run = cluster.submit(cluster.dag("d", {"a": {"bash": ledger.script(path, "sleep 0.2")}}))
    wait_until(lambda: held, what="a dispatch")
    cluster.kill("master")
    late = list(held)
    proxy.rule = lambda way, names, frame: [frame]
    cluster.start_master()
    wait_until(lambda: cluster.log_of("w1").count("registered with the master") == 2, what="the next session")
    proxy.send_again(late)
    cluster.finish(run)
    # And once more, when the result is durable; a second run shows that all of it was heard.
    proxy.send_again(late + [one for one in proxy.seen if one[0] == TO_WORKER and "assign" in one[1]])
    second = cluster.submit(cluster.dag("e", {"a": {"bash": ledger.script(path)}}))
    cluster.finish(second)
    lines = ledger.read(path)
    lost = [(run, "a", a["attempt"]) for a in cluster.tasks(run)["a"]["attempts"] if a["state"] == "lost"]
    assert ledger.check(lines, expected=[(run, "a"), (second, "a")], lost=lost) == []
    assert [line.attempt for line in lines if line.run == run and line.kind == "start"] == [len(lost) + 1], lines


@pytest.mark.slow
def test_19_acks_of_ends_lost_a_thousand_times_record_each_once(cluster, proxy):
    path, count = cluster.folder / "ledger", 250
    proxy.start_worker("w1", slots=count)
    lost = collections.Counter()

    def lose_acks(way, names, frame):
        if way == TO_WORKER and "settled" in names and lost["settled"] < 1000:
            lost.update(names)
            return []
        return [frame]

    proxy.rule = lose_acks
    run = cluster.submit(cluster.dag("d", {f"t{n:03}": {"bash": ledger.script(path)} for n in range(count)}))
    cluster.finish(run)
    before = cluster.tasks(run)
    wait_until(lambda: lost["settled"] >= 1000, what="a thousand lost acks")
    proxy.rule = lambda way, names, frame: [frame]
    # The worker's slots are its own again once it knows that all of these ends are settled.
    cluster.finish(cluster.submit(cluster.dag("after", {"a": {"bash": ledger.script(path)}})))
    assert cluster.tasks(run) == before
    assert all([a["state"] for a in task["attempts"]] == ["success"] for task in before.values())
    assert ledger.check(ledger.read(path), expected=[(run, name) for name in before]) == []


def test_14_36_old_registration_that_comes_again_declares_nothing_gone(cluster, proxy):
    """As a restored or a cloned machine would say it: what a session was before, while a later one is alive."""
    path, gate = cluster.folder / "ledger", cluster.folder / "gate"
    sessions = lambda: cluster.log_of("w1").count("registered with the master")
    proxy.start_worker("w1")
    wait_until(lambda: sessions() == 1, what="a session")
    cluster.kill("w1")
    cluster.start_worker("w1")
    wait_until(lambda: sessions() == 2, what="a later session")
    body = ledger.script(path, until(gate))
    run = cluster.submit(cluster.dag("d", {"a": {"bash": body}}))
    wait_until(lambda: path.exists(), what="the task's start")
    route = proxy.seen[-1][2] if proxy.seen[-1][2][0] == "worker" else next(
        one[2] for one in reversed(proxy.seen) if one[2][0] == "worker")
    old = [one for one in proxy.seen if one[0] == TO_MASTER and one[2][0] == "worker" and "register" in one[1]]
    assert len(old) >= 2, "both sessions began through the proxy"
    for one in old:
        # On its own connection, which may be over, and on the one that is in use.
        proxy.send_again([one, (TO_MASTER, one[1], route, one[3])])
        before = len(proxy.seen)
        wait_until(lambda before=before: sum("heartbeat_ack" in names for _, names, _, _ in proxy.seen[before:]) >= 2,
                   what="heartbeats that are answered")
    gate.touch()
    cluster.finish(run)
    tasks = cluster.tasks(run)
    lost = [(run, "a", a["attempt"]) for a in tasks["a"]["attempts"] if a["state"] == "lost"]
    assert ledger.check(ledger.read(path), expected=[(run, "a")], lost=lost) == []
    assert not lost, tasks["a"]
