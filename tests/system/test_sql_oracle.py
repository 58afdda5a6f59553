"""psql as the oracle of the SQL scanner: what it sends to a server, statement by statement, is what reeve splits.

The server is a small one that takes note of each query and answers nothing. Texts are generated of pieces that are
near to each other's limits: quotes, dollar quotes, comments, parentheses, bodies of functions, parameters. (An E''
string that goes on in the next line is not among them: psql reads line by line and does not see it, the server does.)"""

import json
import random
import re
import shutil
import socket
import struct
import subprocess
import threading

import pytest

import pg
import reeve

TEXTS = 300
NAMES = ["day", "t"]
# Psql replaces :day by this text as it is, and quotes it for :'day' and :"day".
VALUES = {"day": "VALday", "t": "VALt"}

PIECES = ["select", "a", " b$$c", " 1 ", " 1.5e3 ", " $1 ", "E'x\\'y'", "e'\\\\'", "'it''s'", "'a;b'", "'\\\\'", '"q;""r"', "U&'\\0061'",
          'u&"x"', "b'01'", "X'1F'", "n'y'", "$$ ; $$", "$a$ $$ ; $b$ $a$", "$a$$a$", "/* ; */", "/* /* ; */ ' */", "-- ; '\n", "'a'\n'b'",
          "E'a' 'b'", ";", ";", ";", "(", ")", "(a; b)", "::", ":=", ":", "::day", ":day", ":'day'", ':"t"',
          ":t::text", ":days ", ":'days'", "[1:2]", "=:day", "+", "--\n", "/", "*", "\n", "\t", " ", "@>", "%", "{", "}", "é", "'é'",
          "; create function f() begin atomic select case when 1 then 2 end; select 3; end;",
          "; CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC a; b; END;", "create rule r do (x; y);", "begin; end;", "do $x$ begin; end $x$;"]


class Notes:
    """Speaks just enough of the protocol that psql believes it; keeps what it is asked."""

    def __init__(self, escapes):
        self.escapes, self.queries = escapes, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    @staticmethod
    def message(kind, body):
        return kind + struct.pack("!I", len(body) + 4) + body

    def serve(self):
        client, _ = self.listener.accept()
        with client, client.makefile("rb") as stream:
            length, = struct.unpack("!I", stream.read(4))
            stream.read(length - 4)
            settings = {b"server_version": b"15.0", b"client_encoding": b"UTF8",
                        b"standard_conforming_strings": b"off" if self.escapes else b"on"}
            client.sendall(self.message(b"R", struct.pack("!I", 0)) + b"".join(
                self.message(b"S", key + b"\0" + value + b"\0") for key, value in settings.items()) + self.message(b"Z", b"I"))
            while (kind := stream.read(1)) and kind != b"X":
                length, = struct.unpack("!I", stream.read(4))
                body = stream.read(length - 4)
                if kind == b"Q":
                    self.queries.append(body[:-1].decode())
                    client.sendall(self.message(b"C", b"DO\0") + self.message(b"Z", b"I"))


def asked(text, escapes):
    """What psql sends for a file with this text."""
    notes = Notes(escapes)
    variables = [word for name, value in VALUES.items() for word in ("-v", f"{name}={value}")]
    done = subprocess.run([pg.programs() / "psql", "-X", "-q", "-h", "127.0.0.1", "-p", str(notes.port), "-U", "x", "-d", "x",
                           *variables, "-f", "-"], input=text.encode(), capture_output=True, check=False, timeout=60,
                          env=reeve.clean_environment(PGSSLMODE="disable", PGGSSENCMODE="disable", PGCLIENTENCODING="UTF8"))
    notes.listener.close()
    assert done.returncode == 0, done.stderr.decode()
    return notes.queries


def without_lead(text):
    """Less white space and comments in front, and without empty lines: psql passes over those."""
    text = re.sub(r"\n+", "\n", text)
    while True:
        text = text.lstrip(" \t\n\r\f\v")
        if text.startswith("--"):
            text = text.partition("\n")[2]
        elif text.startswith("/*"):
            depth, at = 1, 2
            while depth:
                pair = text[at:at + 2]
                depth += {"/*": 1, "*/": -1}.get(pair, 0)
                at += 2 if pair in ("/*", "*/") else 1
            text = text[at:]
        else:
            return text


def replaced(statement):
    for name, value in VALUES.items():
        for marked, text in ((f"<{name}>", value), (f"<'{name}'>", f"'{value}'"), (f'<"{name}">', f'"{value}"')):
            statement = statement.replace(marked, text)
    return statement


def texts():
    dice = random.Random(20261121)
    for number in range(TEXTS):
        pieces = [dice.choice(PIECES) for _ in range(dice.randrange(1, 25))]
        joint = dice.choice(["", " ", " ", "\n"])
        yield joint.join(pieces), number % 4 == 0


@pytest.mark.skipif(pg.programs() is None and shutil.which("psql") is None, reason="psql is not installed (package postgresql)")
@pytest.mark.slow
def test_statements_and_parameters_are_those_that_psql_sends():
    wishes = list(texts())
    lines = "".join(json.dumps({"text": text, "names": NAMES, "escapes": escapes}) + "\n" for text, escapes in wishes)
    done = subprocess.run([reeve.program("oracle_sql")], input=lines, capture_output=True, text=True, check=True)
    compared = 0
    for (text, escapes), line in zip(wishes, done.stdout.splitlines(), strict=True):
        answer = json.loads(line)
        theirs = [query for query in map(without_lead, asked(text, escapes)) if query not in ("", ";")]
        ours = [without_lead(replaced(statement)) for statement in answer["statements"]]
        if "error" in answer:
            theirs = theirs[:len(ours)]
        assert len(ours) == len(theirs), (text, escapes, ours, theirs)
        for mine, other in zip(ours, theirs):
            compared += 1
            assert other.startswith(mine) and without_lead(other[len(mine):]) in ("", ";"), (text, escapes, mine, other)
    assert compared > TEXTS
