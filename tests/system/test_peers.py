"""What one who may come can do to others, and what a crowd at the door can: FAULTS 25, 26, 31, over TCP."""

import os
import re
import secrets
import socket
import time

import pytest
import zmq

import ledger
import reeve
import wire as wires
from ledger import until
from reeve import wait_until
from test_access import GARBAGE, zmtp_greeting
from wire import DENIED, REFUSED

SUCCESS, FAILED = (int(re.search(rf"ATTEMPT_STATE\({name}, (\d+)", (wires.PROTO / "states.def").read_text())[1])
                   for name in ("SUCCESS", "FAILED"))


class Victim:
    """A worker by hand: its session lives as long as it beats."""

    def __init__(self, wire, name="w1", **more):
        self.wire, self.keys = wire, wire.member("worker", name)
        self.peer = wire.remote(self.keys)
        self.boot, self.instance = secrets.token_bytes(16), secrets.randbits(63)
        self.session, answer, _ = wires.register(wire, self.peer, self.keys, name, boot=self.boot,
                                                 instance=self.instance, **more)
        assert answer == "registered"
        self.beat()

    def beat(self):
        answer, body = wires.beat(self.peer, self.session)
        assert answer == "heartbeat_ack", body

    def attempt(self, name="d"):
        """The id of an attempt that it was given now, and its run."""
        run = self.wire.cluster.submit(self.wire.cluster.dag(name, {"a": {"bash": "true"}}))
        attempt = wires.assigned(self.wire, self.peer, self.session)
        self.peer.came.clear()
        return attempt, run

    def end(self, attempt, number=1):
        self.peer.send(wires.message("ended", id=attempt, state=SUCCESS, ended_at=wires.boot_ms()), session=self.session,
                       number=number)


def state_of(wire, run):
    task = wire.cluster.tasks(run)["a"]
    return task["state"], [attempt["worker"] for attempt in task["attempts"]]


def with_routing_id(wire, keys, text):
    """A connection that calls itself so before ZeroMQ can give it a number."""
    own = wire.context.socket(zmq.DEALER)
    own.routing_id = text
    own.curve_publickey, own.curve_secretkey = (zmq.utils.z85.encode(part) for part in (keys.public, keys.secret))
    own.curve_serverkey = zmq.utils.z85.encode(wire.server)
    own.linger = 0
    own.connect(f"tcp://127.0.0.1:{wire.port}")
    return own


# ---- 25: names and numbers of others ----

@pytest.mark.parametrize("role", ["worker", "operator"])
def test_25_a_peer_that_squats_routing_ids_diverts_and_blocks_nothing(wire, role):
    squatter = wire.member(role, "squatter")
    ids = [b"w1", b"worker", b"\1" + secrets.token_bytes(4), b"x" * 255] + [b"\1" + n.to_bytes(4, "big") for n in range(20)]
    sockets = [with_routing_id(wire, squatter, text) for text in ids]
    for own in sockets:
        own.send(wires.frame(wires.message("ping", request=1)))
    victim = Victim(wire)
    for own in sockets[:10]:
        own.send(wires.frame(wires.message("heartbeat", stamp=wires.boot_ms()), session=victim.session))
    attempt, run = victim.attempt()
    victim.end(attempt)
    wire.cluster.finish(run)
    victim.beat()
    assert state_of(wire, run) == ("success", ["w1"])
    heard = [part for own in sockets if own.poll(1) for part in [own.recv()]]
    assert not any(name == "assign" for frame in heard for name, _ in wires.unpack_frame(frame)[1]), heard
    for own in sockets:
        own.close(0)


def test_25_a_worker_that_takes_another_s_name_key_session_or_runner_gets_nothing_of_it(wire):
    victim = Victim(wire)
    keys = wire.member("worker", "thief")
    thief = wire.remote(keys)
    # Its key, and its name.
    assert wires.register(wire, thief, victim.keys, "w1")[1] == "refused"
    assert wires.register(wire, thief, keys, "w1")[1] == "refused"
    # Its session: refused, and the session goes on.
    for body in (wires.message("heartbeat", stamp=wires.boot_ms()), wires.message("leave", why="it does not")):
        thief.send(body, session=victim.session, number=1)
        answer, values = thief.receive(lambda name, _: True)
        assert (answer, values["code"]) == ("refused", DENIED) and "another worker's key" in values["text"]
    victim.beat()
    attempt, run = victim.attempt()
    # Its session's id, for a session of its own.
    thief.send(wires.message("register", worker=keys.public, name="thief", host="h", software="t", slots=4,
                             boot=victim.boot, instance=secrets.randbits(63), queues=["default"], now=wires.boot_ms()),
               session=victim.session)
    answer, values = thief.receive(lambda name, _: True)
    assert answer in ("refused", "register_again") or (answer, values) == ("registered", values)
    victim.beat()
    # Its runner's instance and boot, said to be dead: only its own worker may say so.
    session, answer, _ = wires.register(wire, thief, keys, "thief", boot=victim.boot, dead_instance=victim.instance,
                                        queues=["elsewhere"])
    assert answer == "registered"
    wires.beat(thief, session)
    assert state_of(wire, run)[1] == ["w1"] and not any(name == "assign" for name, _ in thief.came)
    victim.end(attempt)
    wire.cluster.finish(run)
    assert state_of(wire, run) == ("success", ["w1"])
    assert wires.audited(wire, action="heartbeat", refused=True)["who"] == "thief"
    assert wires.audited(wire, action="register", refused=True)["who"] == "thief"


# ---- 31: another's attempt ----

@pytest.mark.parametrize("message, values", [
    ("started", {}), ("ended", {"state": SUCCESS}), ("ended", {"state": FAILED, "reason": 1}), ("given_back", {"why": "mine now"})])
def test_31_a_worker_s_word_on_another_s_attempt_is_refused_and_audited(wire, message, values):
    victim = Victim(wire)
    thief = Victim(wire, "thief", queues=["elsewhere"])
    attempt, run = victim.attempt()
    thief.peer.send(wires.message(message, id=attempt, **values), session=thief.session, number=1)
    answer, body = thief.peer.receive(lambda name, _: name == "refused")
    assert body["code"] == REFUSED and "another worker's" in body["text"]
    line = wires.audited(wire, action=message, refused=True)
    assert (line["who"], line["target"]) == ("thief", f"{run}/a@1")
    # As long as it beats; a look that comes late finds it silent.
    wait_until(lambda: (victim.beat(), state_of(wire, run))[1] == ("assigned", ["w1"]), what="the attempt as it was")
    victim.end(attempt)
    wire.cluster.finish(run)
    assert state_of(wire, run) == ("success", ["w1"])


def test_31_a_worker_reads_no_log_and_no_run(wire):
    victim = Victim(wire)
    thief = Victim(wire, "thief", queues=["elsewhere"])
    attempt, run = victim.attempt()
    bulk = wire.remote(thief.keys, bulk=True)
    assert bulk.refused("log_read", id=attempt)[0] == DENIED
    for request, values in (("get_run", {"run": run}), ("watch", {"run": run}), ("explain", {"run": run}), ("get_workers", {})):
        assert thief.peer.refused(request, **values)[0] == DENIED
        assert wires.audited(wire, action=request, refused=True)["who"] == "thief"


# ---- 26: a crowd at the door ----

@pytest.fixture
def gated(wire):
    """A real worker over TCP, with a task whose lease is short: it runs until the gate is there."""
    cluster = wire.cluster
    token = cluster.ok("token", "create", "--role", "worker").split()[0]
    cluster.env["REEVE_JOIN"] = token
    cluster.spawn("w1", reeve.program("reeve-worker"), "--data", str(cluster.folder / "w1"), "--name", "w1")
    del cluster.env["REEVE_JOIN"]
    wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up")
    path, gate = cluster.folder / "ledger", cluster.folder / "gate"
    body = ledger.script(path, until(gate))
    run = cluster.submit(cluster.dag("d", {"a": {"bash": body, "lease": "18s", "kill_grace": "1s"}}))
    wait_until(path.exists, what="the task's start")
    yield run, path, gate


def crowd(wire, text, count):
    """Connections to both ports that say this and then nothing; those that are cut come no more."""
    for n in range(count):
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex(("127.0.0.1", wire.port + n % 2))
        connection.setblocking(True)
        connection.settimeout(1)
        try:
            connection.sendall(text)
        except OSError:
            pass
        yield connection


@pytest.mark.slow
def test_26_crowds_of_slow_handshakes_garbage_and_8_gb_frames_cost_no_lease(wire, gated):
    """For longer than the task's lease; the master's memory and descriptors stay bounded."""
    run, path, gate = gated
    cluster, master = wire.cluster, wire.cluster.processes["master"].pid
    before = wires.rss(master)
    kinds = [*GARBAGE.values(), zmtp_greeting(b"CURVE")[:20], zmtp_greeting(b"CURVE"),
             zmtp_greeting(b"CURVE") + b"\4\xc8\5HELLO" + bytes(50)]
    began, held, most = time.monotonic(), [], 0
    while time.monotonic() - began < 22:
        for text in kinds:
            held += crowd(wire, text, 20)
        for connection in held[:-1500]:
            connection.close()
        held = held[-1500:]
        most = max(most, len(os.listdir(f"/proc/{master}/fd")))
        wait_until(lambda: cluster.workers_up() == {"w1"}, what="w1 up, or up again")
    assert most > 100, "nobody was at the door"
    assert wires.rss(master) < before + (256 << 20)
    gate.touch()
    cluster.finish(run)
    for connection in held:
        connection.close()
    (attempt,) = cluster.tasks(run)["a"]["attempts"]
    assert attempt["state"] == "success"
    assert ledger.check(ledger.read(path), expected=[(run, "a")]) == []
    wait_until(lambda: len(os.listdir(f"/proc/{master}/fd")) < 100, what="the descriptors given back")
    assert wire.remote(wire.member("viewer", "ann")).good("ping")
