"""A peer of the master that shares no code with it: messages.def and roles.def read as text, msgpack, ZeroMQ.

    control = wire.connect("ipc:///tmp/…/control.sock")
    control.ask("ping")                       -> ("pong", {"request": …, "software": …})
    keys = wire.Keys()
    remote = wire.connect("tcp://127.0.0.1:7411", keys, server_key)

What a message lacks is zero or empty. Nothing here sleeps: answers are awaited by their request's id.
"""

import collections
import pathlib
import re
import secrets
import time

import msgpack
import zmq
import zmq.utils.monitor
from zmq.utils import z85

import reeve

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
VERSION = 1
# Codes of common/errors.def.
USAGE, INVALID, DENIED, NOT_FOUND, REFUSED, OTHER_VERSION, MALFORMED, UNSUPPORTED = -1, -2, -3, -5, -6, -10, -11, -14
TEXT_KINDS = ("TEXT", "OPTIONAL_TEXT")

Field = collections.namedtuple("Field", "name kind record")
Message = collections.namedtuple("Message", "number name numbered fields")


def read_messages():
    """({name: Message}, {record: [Field]}) of messages.def and the part of it that it includes."""
    records, messages, fields = {}, {}, []
    line = re.compile(r"^(\w+)\(([^,)]*)(?:, *([^,)]*))?(?:, *([^,)]*))?(?:, *([^,)]*))?")
    for text in "".join((PROTO / name).read_text() for name in ("messages.def", "runner.def")).splitlines():
        found = line.match(text)
        if not found:
            continue
        word, *rest = found.groups()
        if word in ("RECORD", "MESSAGE"):
            fields = []
        elif word == "FIELD":
            fields.append(Field(rest[2], rest[1], None))
        elif word == "FIELD_RECORD":
            fields.append(Field(rest[2], "RECORD", rest[1]))
        elif word == "FIELD_LIST":
            fields.append(Field(rest[2], "LIST", rest[1]))
        elif word == "FIELD_TEXTS":
            fields.append(Field(rest[1], "TEXTS", None))
        if word == "RECORD":
            records[rest[0]] = fields
        elif word == "MESSAGE":
            messages[rest[1]] = Message(int(rest[0]), rest[1], rest[2] == "NUMBERED", fields)
    return messages, records


def read_roles():
    """({role: number}, {message: {roles that may}}) of roles.def."""
    text = (PROTO / "roles.def").read_text()
    roles = {name: int(number) for number, name in re.findall(r'^ROLE\(\w+, (\d+), "(\w+)"', text, re.M)}
    rules = {message: {word.removeprefix("MAY_").lower() for word in who.split(" + ")} - {"nobody"}
             for message, who in re.findall(r"^MAY\((\w+), ([^)]*)\)", text, re.M)}
    return roles, rules


MESSAGES, RECORDS = read_messages()
ROLES, RULES = read_roles()
NAMES = {message.number: message for message in MESSAGES.values()}


def empty(field):
    if field.kind in TEXT_KINDS:
        return ""
    if field.kind == "BYTES":
        return b""
    if field.kind in ("LIST", "TEXTS"):
        return []
    if field.kind == "RECORD":
        return pack_fields(RECORDS[field.record], {})
    return False if field.kind == "BOOL" else 0


def pack_field(field, value):
    if value is None:
        return empty(field)
    if field.kind == "RECORD":
        return pack_fields(RECORDS[field.record], value)
    if field.kind == "LIST":
        return [pack_fields(RECORDS[field.record], item) for item in value]
    return value


def pack_fields(fields, values):
    unknown = set(values) - {field.name for field in fields}
    assert not unknown, f"no such fields: {unknown}"
    return [pack_field(field, values.get(field.name)) for field in fields]


def unpack_fields(fields, values):
    unpacked = {}
    for field, value in zip(fields, values):
        if field.kind == "RECORD":
            value = unpack_fields(RECORDS[field.record], value)
        elif field.kind == "LIST":
            value = [unpack_fields(RECORDS[field.record], item) for item in value]
        unpacked[field.name] = value
    return unpacked


def message(name, /, **values):
    """One message's bytes."""
    shape = MESSAGES[name]
    return msgpack.packb([shape.number, *pack_fields(shape.fields, values)])


def frame(*messages, version=VERSION, epoch=0, leader=0, session=0, number=0, ack=1):
    """`ack`: all below it has been taken; a worker whose ack goes back is taken for one that was brought back."""
    return msgpack.packb([version, epoch, leader, session, number, ack]) + b"".join(messages)


def unpack_frame(data):
    """[(name, {field: value})] of a frame, and its header."""
    unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=0)
    unpacker.feed(data)
    header, *messages = list(unpacker)
    return dict(zip(("version", "epoch", "leader", "session", "number", "ack"), header)), [
        (NAMES[values[0]].name, unpack_fields(NAMES[values[0]].fields, values[1:])) for values in messages]


class Keys:
    """A CURVE key pair as raw bytes."""

    def __init__(self):
        public, secret = zmq.curve_keypair()
        self.public, self.secret = z85.decode(public), z85.decode(secret)


class Peer:
    """One connection."""

    def __init__(self, context, endpoint, keys=None, server=None):
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndtimeo = 1000
        self.socket.reconnect_ivl = 100
        self.monitor = self.socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH |
            zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_DISCONNECTED)
        if keys is not None:
            self.socket.curve_publickey = z85.encode(keys.public)
            self.socket.curve_secretkey = z85.encode(keys.secret)
            self.socket.curve_serverkey = z85.encode(server)
        self.socket.connect(endpoint)
        self.came = []

    def close(self):
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close(0)

    def handshake(self, seconds=10):
        """True when the first handshake succeeded, False when it was refused; None: neither came in time."""
        deadline = time.monotonic() + seconds * reeve.PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            if self.monitor.poll(int(left * 1000) + 1):
                return zmq.utils.monitor.recv_monitor_message(self.monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
        return None

    def send(self, *messages, **header):
        """After a refused handshake libzmq gives the connection up, and a message would wait for ever: it counts as
        sent, and is not heard."""
        try:
            self.socket.send(frame(*messages, **header))
        except zmq.Again:
            pass

    def receive(self, wanted, seconds=20):
        """The first message that came, or comes, for which wanted(name, values) is true; the others are kept."""
        deadline = time.monotonic() + seconds * reeve.PATIENCE
        while True:
            for i, (name, values) in enumerate(self.came):
                if wanted(name, values):
                    return self.came.pop(i)
            left = deadline - time.monotonic()
            assert left > 0 and self.socket.poll(int(left * 1000) + 1), f"no answer within {seconds} s; {self.came}"
            self.came += unpack_frame(self.socket.recv())[1]

    def hears_nothing(self, seconds=1):
        """For what must not be answered: whether nothing came in that time."""
        return not self.came and not self.socket.poll(int(seconds * 1000))

    def ask(self, name, /, **values):
        """The answer to one request."""
        request = secrets.randbits(63) | 1
        self.send(message(name, request=request, **values))
        return self.receive(lambda _, answer: answer.get("request") == request)

    def good(self, name, /, **values):
        """What a request that must not be refused is answered."""
        answer, body = self.ask(name, **values)
        assert answer != "refused", f"{name}: {body['text']}"
        return body

    def refused(self, name, /, **values):
        """The text of a refusal that must come."""
        answer, body = self.ask(name, **values)
        assert answer == "refused", f"{name} was answered by {answer}"
        return body["code"], body["text"]


class Wire:
    """Connections to one cluster's master, closed together."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.context = zmq.Context()
        self.peers = []
        self.port = None
        self.server = None

    def close(self):
        for peer in self.peers:
            peer.close()
        self.context.destroy(linger=0)

    def local(self, socket="control"):
        return self._add(Peer(self.context, f"ipc://{self.cluster.data}/{socket}.sock"))

    def remote(self, keys, bulk=False, server=None):
        return self._add(Peer(self.context, f"tcp://127.0.0.1:{self.port + bulk}", keys, server or self.server))

    def plain(self, bulk=False):
        """One that speaks TCP without encryption."""
        return self._add(Peer(self.context, f"tcp://127.0.0.1:{self.port + bulk}"))

    def _add(self, peer):
        self.peers.append(peer)
        return peer

    # ---- members ----

    def token(self, role, uses=1, valid_ms=3600_000, label=""):
        """(the token's id, its one-time keys)"""
        keys = Keys()
        made = self.local().good("create_token", key=keys.public, role=ROLES[role], uses=uses, valid_ms=valid_ms,
                                 label=label)
        self.server = made["server_key"]
        return made["token"], keys

    def member(self, role, name):
        """The keys of one who has joined."""
        _, token = self.token(role)
        keys = Keys()
        joined = self.remote(token).good("join", key=keys.public, name=name, host="h", software="test")
        assert joined["name"] == name and joined["role"] == ROLES[role]
        return keys

    def audit(self):
        return self.local().good("get_audit", limit=10000)["lines"]


# ---- a worker by hand ----

def audited(wire, **wanted):
    """A line of the audit log with these values, as soon as there is one."""
    def look():
        return next((line for line in wire.audit() if all(line[k] == v for k, v in wanted.items())), None)
    return reeve.wait_until(look, what=f"an audit line {wanted}")


def rss(pid):
    """Resident bytes of a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def register(wire, peer, keys, name, **more):
    """Opens a session by hand, and returns its id."""
    session = secrets.randbits(63)
    values = {"worker": keys.public, "name": name, "host": "h", "software": "test", "boot": secrets.token_bytes(16),
              "instance": secrets.randbits(63), "slots": 1, "queues": ["default"], "now": boot_ms(), **more}
    peer.send(message("register", **values), session=session)
    answer, body = peer.receive(lambda name, _: name in ("registered", "refused"))
    return (session, answer, body)


def boot_ms():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000000


def beat(peer, session):
    """A heartbeat; its answer."""
    stamp = boot_ms()
    peer.send(message("heartbeat", stamp=stamp), session=session)
    return peer.receive(lambda name, body: name in ("refused", "register_again") or
                        (name == "heartbeat_ack" and body["stamp"] == stamp))


def assigned(wire, peer, session):
    """The id of the attempt that this hand-made worker is given."""
    def look():
        beat(peer, session)
        return next((body["id"] for name, body in peer.came if name == "assign"), None)
    return reeve.wait_until(look, what="an assignment")
