"""Who may come, and who may say what: over TCP, with the wire's own peers. Numbers are those of docs' list of faults."""

import secrets
import socket
import time

import pytest

import reeve
import wire as wires
from wire import DENIED, INVALID, MALFORMED, NOT_FOUND, OTHER_VERSION, REFUSED, UNSUPPORTED, USAGE



# ---- 24: keys ----

@pytest.mark.parametrize("bulk", [False, True], ids=["control", "bulk"])
def test_24_an_unknown_key_is_refused_at_the_handshake_and_audited(wire, bulk):
    keys = wires.Keys()
    peer = wire.remote(keys, bulk)
    assert peer.handshake() is False
    peer.send(wires.message("get_workers", request=1))
    assert peer.hears_nothing()
    line = wires.audited(wire, action="handshake", refused=True)
    assert line["who"] in keys.public.hex() and len(line["who"]) >= 16
    assert line["address"] == "127.0.0.1" and line["role"] == "none"


@pytest.mark.parametrize("bulk", [False, True], ids=["control", "bulk"])
def test_24_nobody_is_heard_without_encryption(wire, bulk):
    peer = wire.plain(bulk)
    peer.send(wires.message("ping", request=1))
    assert peer.handshake(2) is not True
    assert peer.hears_nothing()


def test_24_a_peer_talks_to_no_server_of_another_key(wire):
    keys = wire.member("viewer", "ann")
    peer = wire.remote(keys, server=wires.Keys().public)
    peer.send(wires.message("ping", request=1))
    assert peer.handshake(2) is not True
    assert peer.hears_nothing()


def test_24_a_person_s_key_that_was_removed_is_refused_at_its_next_message(wire):
    token, once = wire.token("operator")
    keys = wires.Keys()
    wire.remote(once).good("join", key=keys.public, name="ann")
    control, bulk = wire.remote(keys), wire.remote(keys, bulk=True)
    assert control.good("ping")["name"] == "ann"
    assert bulk.ask("blob_read", hash=bytes(32), limit=1)[1]["code"] == NOT_FOUND
    wire.local().good("revoke_token", token=token)
    code, text = control.refused("ping")
    assert code == DENIED and "does not belong to the cluster" in text
    assert bulk.refused("blob_read", hash=bytes(32), limit=1)[0] == DENIED
    assert wire.remote(keys).handshake() is False
    line = wires.audited(wire, action="ping", refused=True)
    assert line["who"] in keys.public.hex() or line["who"] == "ann"


def test_24_what_a_removed_key_followed_ends(wire):
    wire.cluster.start_worker("w1")
    run = wire.cluster.submit(wire.cluster.dag("d", {"a": {"bash": "until [ -e go ]; do sleep 0.05; done"}},))
    token, once = wire.token("viewer")
    keys = wires.Keys()
    wire.remote(once).good("join", key=keys.public, name="ann")
    peer = wire.remote(keys)
    assert peer.ask("watch", run=run, tasks=True)[0] == "run_changed"
    wire.local().good("revoke_token", token=token)
    # Nothing that happens from here on is told.
    peer.came.clear()
    while peer.socket.poll(200):
        peer.socket.recv()
    wire.cluster.ok("cancel", run)
    wire.cluster.finish(run, status=1)
    assert peer.hears_nothing(0.5)


def test_24_a_worker_s_key_that_was_removed_is_refused_at_its_next_message(wire):
    keys = wire.member("worker", "w1")
    peer = wire.remote(keys)
    session, answer, _ = wires.register(wire, peer, keys, "w1")
    assert answer == "registered" and wires.beat(peer, session)[0] == "heartbeat_ack"
    wire.local().good("remove_worker", worker="w1")
    answer, body = wires.beat(peer, session)
    assert answer == "refused" and body["code"] == DENIED
    assert wire.remote(keys).handshake() is False
    assert "w1" not in [worker["worker"] for worker in wire.local().good("get_workers")["workers"]]


def test_24_a_worker_cannot_register_another_s_key(wire):
    keys, other = wire.member("worker", "w1"), wire.member("worker", "w2")
    _, answer, body = wires.register(wire, wire.remote(keys), other, "w2")
    assert answer == "refused" and body["code"] in (DENIED, REFUSED)


def test_keys_are_as_good_after_a_restart(wire):
    keys, gone = wire.member("operator", "ann"), wire.member("worker", "w9")
    wire.local().good("remove_worker", worker="w9")
    wire.cluster.kill("master")
    wire.cluster.start_master("--listen", f"tcp://127.0.0.1:{wire.port}")
    pong = wire.remote(keys).good("ping")
    assert (pong["name"], pong["role"]) == ("ann", "operator")
    assert wire.remote(gone).handshake() is False


# ---- tokens ----

def test_a_token_that_has_expired_says_so(wire):
    _, once = wire.token("worker", valid_ms=1)
    code, text = wire.remote(once).refused("join", key=wires.Keys().public, name="w1")
    assert code == DENIED and "expired" in text


def test_a_token_is_used_up_by_one_key_which_may_repeat(wire):
    _, once = wire.token("worker")
    keys = wires.Keys()
    for _ in range(2):
        assert wire.remote(once).good("join", key=keys.public, name="w1")["name"] == "w1"
    code, text = wire.remote(once).refused("join", key=wires.Keys().public, name="w2")
    assert code == DENIED and "used up" in text


def test_a_token_of_three_uses_takes_three(wire):
    _, once = wire.token("worker", uses=3)
    peer = wire.remote(once)
    for n in range(3):
        peer.good("join", key=wires.Keys().public, name=f"w{n}")
    assert peer.refused("join", key=wires.Keys().public, name="w9")[0] == DENIED


def test_a_forged_or_revoked_token_gets_no_handshake(wire):
    assert wire.remote(wires.Keys()).handshake() is False
    token, once = wire.token("operator")
    live = wire.remote(once)
    assert live.handshake() is True
    wire.local().good("revoke_token", token=token)
    assert live.refused("join", key=wires.Keys().public, name="ann")[0] == DENIED
    assert wire.remote(once).handshake() is False


def test_tokens_are_listed_with_what_became_of_them(wire):
    used, once = wire.token("worker", label="rack 7")
    wire.remote(once).good("join", key=wires.Keys().public, name="w1")
    revoked, _ = wire.token("viewer")
    wire.local().good("revoke_token", token=revoked)
    expired, _ = wire.token("viewer", valid_ms=1)
    time.sleep(0.01)
    lines = {line["token"]: line for line in wire.local().good("get_tokens")["tokens"]}
    assert (lines[used]["state"], lines[used]["joined"], lines[used]["label"]) == ("used", ["w1"], "rack 7")
    assert lines[revoked]["state"] == "revoked" and lines[expired]["state"] == "expired"


def test_a_master_that_does_not_listen_makes_no_tokens(cluster):
    own = wires.Wire(cluster)
    cluster.start_master()
    code, text = own.local().refused("create_token", key=wires.Keys().public, role=1, uses=1, valid_ms=1000)
    own.close()
    assert code == REFUSED and "--listen" in text


# ---- 30: the matrix ----

def is_bulk(message):
    return 80 <= message.number < 100


PROBES = {False: ("ping", {}), True: ("blob_read", {"hash": bytes(32), "limit": 1})}


def is_denied(peer, message, bulk):
    """Whether this message, sent for real, is denied by its sender's role. A probe follows it on the same connection;
    what has come when that is answered, denial or not, is all that comes."""
    request = secrets.randbits(63) | 1
    values = {"request": request} if message.fields and message.fields[0].name == "request" else {}
    peer.send(wires.message(message.name, **values), number=1 if message.numbered else 0)
    name, probe = PROBES[bulk]
    peer.ask(name, **probe)
    answers, peer.came = peer.came, []
    return any(answer == "refused" and body["code"] == DENIED and
               ("not allowed for the role" in body["text"]) and body["text"].startswith(f"{message.name}:")
               for answer, body in answers)


def connections(wire, role):
    """{bulk: a connection of this role}"""
    if role == "local":
        return {False: wire.local(), True: wire.local("bulk")}
    keys = wire.token("viewer")[1] if role == "joiner" else wire.member(role, f"a-{role}")
    return {bulk: wire.remote(keys, bulk) for bulk in (False, True)}


@pytest.mark.parametrize("role", sorted(wires.ROLES))
@pytest.mark.parametrize("bulk", [False, True], ids=["control", "bulk"])
def test_30_the_matrix_holds_for_every_message(wire, role, bulk):
    """Each message of messages.def, asked of each port by each role: what roles.def does not list is denied."""
    peer = connections(wire, role)[bulk]
    probe = PROBES[bulk][0]
    wrong = []
    for message in wires.MESSAGES.values():
        if message.name == probe:
            continue
        may = role in wires.RULES[message.name]
        if is_denied(peer, message, bulk) == may:
            wrong.append((message.name, "may" if may else "may not"))
    answer, body = peer.ask(*PROBES[bulk][:1], **PROBES[bulk][1])
    assert (answer == "refused" and body["code"] == DENIED) == (role not in wires.RULES[probe])
    assert not wrong, f"{role}: {wrong}"


def test_30_every_message_has_a_rule():
    assert set(wires.MESSAGES) == set(wires.RULES)


def test_30_what_was_denied_changed_nothing(wire):
    worker, viewer = wire.member("worker", "w1"), wire.member("viewer", "v1")
    file = wire.cluster.dag("d", {"a": {"noop": None}})
    tokens = len(wire.local().good("get_tokens")["tokens"])
    for keys in (worker, viewer):
        peer = wire.remote(keys)
        for name, values in [
                ("submit", {"file": str(file)}), ("drain", {"worker": "w1"}), ("remove_worker", {"worker": "w1"}),
                ("create_token", {"key": wires.Keys().public, "role": 2, "uses": 1, "valid_ms": 1000}),
                ("join", {"key": wires.Keys().public, "name": "x"})]:
            assert peer.refused(name, **values)[0] == DENIED
        wires.audited(wire, action="submit", refused=True)
    local = wire.local()
    assert local.good("get_runs", limit=10)["runs"] == []
    assert len(local.good("get_tokens")["tokens"]) == tokens
    assert local.good("ping")["role"] == "local"


def test_30_one_denied_message_spoils_its_frame(wire):
    keys = wire.member("viewer", "ann")
    peer = wire.remote(keys)
    peer.send(wires.message("ping", request=5), wires.message("get_tokens", request=6))
    answer, body = peer.receive(lambda name, _: True)
    assert answer == "refused" and body["request"] == 6
    assert peer.hears_nothing(0.3)


def test_changes_by_persons_are_audited_with_their_names(wire):
    keys = wire.member("operator", "ann")
    wire.cluster.start_worker("w1")
    reeve.wait_until(lambda: wire.cluster.workers_up(), what="w1 up")
    wire.remote(keys).good("drain", worker="w1")
    line = wires.audited(wire, action="drain")
    assert (line["who"], line["role"], line["target"], line["refused"]) == ("ann", "operator", "w1", False)
    assert line["address"] == "127.0.0.1"
    wire.local().good("drain", worker="w1", undo=True)
    line = wires.audited(wire, action="undrain")
    assert (line["who"], line["role"]) == ("local", "local")


# ---- 26: garbage ----

def zmtp_greeting(mechanism):
    return b"\xff\0\0\0\0\0\0\0\1\x7f\3\0" + mechanism.ljust(20, b"\0") + b"\0" * 32


GARBAGE = {
    "noise": secrets.token_bytes(100000),
    "http": b"GET / HTTP/1.1\r\nHost: reeve\r\n\r\n",
    "8 GB after the greeting": zmtp_greeting(b"CURVE") + b"\2" + (8 << 30).to_bytes(8, "big") + b"x" * 65536,
    "8 GB command": zmtp_greeting(b"CURVE") + b"\6" + (8 << 30).to_bytes(8, "big") + b"x" * 65536,
    "another mechanism": zmtp_greeting(b"NULL") + b"\4\x05\x05READY",
    "nothing": b"",
}


def test_26_garbage_on_both_ports_costs_nothing_and_disturbs_nobody(wire):
    keys = wire.member("worker", "w1")
    worker = wire.remote(keys)
    session = wires.register(wire, worker, keys, "w1")[0]
    master = wire.cluster.processes["master"].pid
    before = wires.rss(master)
    open_sockets = []
    for text in GARBAGE.values():
        for port in (wire.port, wire.port + 1):
            for _ in range(8):
                connection = socket.create_connection(("127.0.0.1", port))
                connection.settimeout(1)
                open_sockets.append(connection)
                try:
                    connection.sendall(text)
                except OSError:
                    pass
        assert wires.beat(worker, session)[0] == "heartbeat_ack"
    assert wires.rss(master) < before + (64 << 20)
    for connection in open_sockets:
        connection.close()
    assert wire.local().good("ping")


def test_26_a_member_s_frames_are_bounded_too(wire):
    keys = wire.member("worker", "w1")
    worker = wire.remote(keys)
    session = wires.register(wire, worker, keys, "w1")[0]
    noisy = wire.member("operator", "ann")
    master = wire.cluster.processes["master"].pid
    before = wires.rss(master)
    for bulk in (False, True):
        peer = wire.remote(noisy, bulk)
        noise = b"\x81" + secrets.token_bytes(5000)  # never an array: one that begins with another number is another version
        for data in (b"", b"\xc1", b"\x96\1", noise, b"\xdd\xff\xff\xff\xff", b"\x91" * 100):
            peer.socket.send(data)
            answer, body = peer.receive(lambda name, _: name == "refused")
            assert body["code"] == MALFORMED
        wire.remote(noisy, bulk).socket.send(bytes(9 << 20))
        assert wires.beat(worker, session)[0] == "heartbeat_ack"
    assert wires.rss(master) < before + (64 << 20)
    assert wire.remote(noisy).good("ping")


def test_another_protocol_version_is_refused_with_both_named_and_logged_once(wire):
    keys = wire.member("worker", "w1")
    peer = wire.remote(keys)
    for _ in range(5):
        peer.send(wires.message("register", worker=keys.public, name="w1"), version=7)
        answer, body = peer.receive(lambda name, _: name == "refused")
        assert body["code"] == OTHER_VERSION and "version 7" in body["text"] and "version 1" in body["text"]
    local = wire.local()
    local.send(wires.message("ping", request=1), version=7)
    assert local.receive(lambda name, _: name == "refused")[1]["code"] == OTHER_VERSION
    log = (wire.cluster.folder / "master.log").read_text()
    assert log.count("w1 at 127.0.0.1 speaks protocol version 7, this master version 1") == 1


def test_what_a_newer_client_asks_is_refused_by_name(wire):
    peer = wire.local()
    peer.socket.send(wires.frame(b"\x92\xcd\x03\xe7\5"))
    answer, body = peer.receive(lambda name, _: name == "refused")
    assert body["code"] == UNSUPPORTED and "999" in body["text"]


# ---- 31: whose attempt ----

def test_31_a_worker_sends_no_log_of_another_s_attempt(wire):
    keys, thief_keys = wire.member("worker", "w1"), wire.member("worker", "thief")
    peer = wire.remote(keys)
    session = wires.register(wire, peer, keys, "w1")[0]
    wire.cluster.submit(wire.cluster.dag("d", {"a": {"bash": "true"}}))
    attempt = wires.assigned(wire, peer, session)

    thief = wire.remote(thief_keys, bulk=True)
    for message in (wires.message("log_open", id=attempt), wires.message("log_chunk", id=attempt, data=b"forged\n"),
                    wires.message("log_end", id=attempt, bytes=0)):
        thief.send(message)
        answer, body = thief.receive(lambda name, _: name in ("refused", "log_have"))
        assert answer == "refused" and body["code"] == DENIED and "not assigned" in body["text"]
    assert wires.audited(wire, action="log", refused=True)["who"] == "thief"
    assert thief.refused("log_read", id=attempt)[0] == DENIED

    owner = wire.remote(keys, bulk=True)
    owner.send(wires.message("log_open", id=attempt))
    assert owner.receive(lambda name, _: name == "log_have")[1]["offset"] == 0
    owner.send(wires.message("log_chunk", id=attempt, data=b"mine\n", now=wires.boot_ms()))
    reader = wire.local("bulk")
    data = reeve.wait_until(lambda: reader.good("log_read", id=attempt, limit=100)["data"], what="the log")
    assert data == b"mine\n"


def test_31_a_log_s_first_words_may_be_a_chunk(wire):
    """A worker that reconnects without knowing it goes on with chunks: it is told from where."""
    keys = wire.member("worker", "w1")
    peer = wire.remote(keys)
    session = wires.register(wire, peer, keys, "w1")[0]
    wire.cluster.submit(wire.cluster.dag("d", {"a": {"bash": "true"}}))
    attempt = wires.assigned(wire, peer, session)
    owner = wire.remote(keys, bulk=True)
    for n in range(3):
        owner.send(wires.message("log_chunk", id=attempt, offset=5 * n, data=b"line\n", now=wires.boot_ms()))
    assert owner.receive(lambda name, _: name == "log_have")[1]["offset"] == 0
    owner.send(wires.message("log_chunk", id=attempt, data=b"line\n", now=wires.boot_ms()))
    owner.send(wires.message("log_end", id=attempt, bytes=5))
    kept = owner.receive(lambda name, body: name == "log_have" and body["kept"])
    assert kept[1]["offset"] == 5


# ---- a folder from another host ----

def put(bulk, data):
    """Sends a blob, and returns its hash in bytes."""
    import hashlib
    digest = hashlib.blake2b(data, digest_size=32).digest()
    bulk.send(wires.message("blob_offer", hash=digest, bytes=len(data)))
    answer, body = bulk.receive(lambda name, values: name in ("blob_want", "blob_kept") and values["hash"] == digest)
    if answer == "blob_want":
        bulk.send(wires.message("blob_chunk", hash=digest, offset=body["offset"], data=data[body["offset"]:]))
        bulk.receive(lambda name, values: name == "blob_kept" and values["hash"] == digest)
    return digest


def manifest(files):
    """The text of {path: (mode, size, hash)}"""
    lines = [f"{mode:05o} {size} {digest.hex()} {path}\n".encode() for path, (mode, size, digest) in
             sorted(files.items())]
    return b"reeve-manifest 1\n" + b"".join(line if line[:2] != b"00" else line[1:] for line in lines)


def test_a_remote_client_submits_a_folder_that_it_sent(wire):
    wire.cluster.start_worker("w1")
    keys = wire.member("operator", "ann")
    control, bulk = wire.remote(keys), wire.remote(keys, bulk=True)
    dag = b'{"dag": "far", "tasks": {"a": {"bash": {"file": "say.sh"}}}}'
    script = b"#!/bin/sh\necho from afar\n"
    files = {"far.yaml": (0o644, len(dag), put(bulk, dag)), "say.sh": (0o755, len(script), put(bulk, script))}
    run = control.good("submit", file="far.yaml", bundle=put(bulk, manifest(files)))["run"]
    wire.cluster.finish(run)
    assert "from afar" in wire.cluster.ok("logs", run)


def test_a_remote_client_s_mistakes_are_named(wire):
    keys = wire.member("operator", "ann")
    control, bulk = wire.remote(keys), wire.remote(keys, bulk=True)
    dag = b'{"dag": "far", "tasks": {"a": {"bsh": "x"}}}'
    files = {"far.yaml": (0o644, len(dag), put(bulk, dag))}
    good = put(bulk, manifest(files))
    code, text = control.refused("submit", file="far.yaml", bundle=good)
    assert code == INVALID and text.startswith("far.yaml:1:")
    code, text = control.refused("submit", file="near.yaml", bundle=good)
    assert code == NOT_FOUND and "near.yaml" in text
    code, text = control.refused("submit", file="/data/ann/far.yaml")
    assert code == USAGE and "your host" in text and "/data/ann/far.yaml" in text
    code, text = control.refused("submit", file="far.yaml", bundle=secrets.token_bytes(32))
    assert code == NOT_FOUND and "send the files first" in text
    missing = manifest({**files, "x.sh": (0o755, 5, secrets.token_bytes(32))})
    code, text = control.refused("submit", file="far.yaml", bundle=put(bulk, missing))
    assert code == NOT_FOUND and "x.sh" in text and "send the files first" in text


@pytest.mark.parametrize("path", ["../up.sh", "/etc/passwd", "a/../../b", "a//b", "./a"])
def test_29_a_sent_folder_stays_in_its_folder(wire, path):
    keys = wire.member("operator", "ann")
    control, bulk = wire.remote(keys), wire.remote(keys, bulk=True)
    dag = b'{"dag": "far", "tasks": {"a": {"noop": null}}}'
    digest = put(bulk, dag)
    bad = manifest({"far.yaml": (0o644, len(dag), digest), path: (0o644, len(dag), digest)})
    assert control.refused("submit", file="far.yaml", bundle=put(bulk, bad))[0] == INVALID


def test_a_blob_that_lies_about_its_content_is_refused(wire):
    bulk = wire.remote(wire.member("operator", "ann"), bulk=True)
    digest = secrets.token_bytes(32)
    bulk.send(wires.message("blob_offer", hash=digest, bytes=4))
    bulk.receive(lambda name, _: name == "blob_want")
    bulk.send(wires.message("blob_chunk", hash=digest, data=b"lies"))
    assert bulk.receive(lambda name, _: name == "refused")[1]["text"]
    assert bulk.refused("blob_read", hash=digest, limit=10)[0] == NOT_FOUND
