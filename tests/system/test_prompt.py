"""What commands ask for on a terminal, and how they leave it."""

import os
import signal
import termios

import pytest

from terminal import Terminal
from reeve import wait_until


def shows_what_is_typed(terminal):
    return bool(termios.tcgetattr(terminal.fd)[3] & termios.ECHO)


def ask(cluster):
    terminal = Terminal(cluster, "connections", "set", "warehouse", "--type", "postgres", "--host", "db")
    terminal.until("password: ")
    wait_until(lambda: not shows_what_is_typed(terminal), what="the hidden prompt")
    return terminal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signal_at_a_hidden_prompt_leaves_a_terminal_that_shows_what_is_typed(started, number):
    terminal = ask(started)
    if number == signal.SIGINT:
        terminal.press_ctrl_c()
    else:
        os.kill(terminal.pid, number)
    _, status = os.waitpid(terminal.pid, 0)
    assert shows_what_is_typed(terminal)
    os.close(terminal.fd)
    assert os.waitstatus_to_exitcode(status) == -number
    assert started.json("connections", "list") == []


def test_end_of_input_at_a_prompt_sets_nothing(started):
    terminal = ask(started)
    os.write(terminal.fd, b"\x04")
    assert terminal.end() == 2 and "nothing was given: a password was asked for" in terminal.shown
    assert started.json("connections", "list") == []


def test_password_that_is_typed_is_not_shown(started):
    terminal = ask(started)
    os.write(terminal.fd, b"s3cret\n")
    assert terminal.end() == 0 and "s3cret" not in terminal.shown
    assert started.json("connections", "list")[0]["has_password"]


def test_interrupted_test_of_a_connection_ends_as_interrupted_and_says_how_to_end_it(started):
    started.ok("connections", "set", "db", stdin="generic://127.0.0.1:1")
    terminal = Terminal(started, "connections", "test", "db", "--queue", "nobody")
    terminal.until("reeve_connection_test/1")
    terminal.press_ctrl_c()
    assert terminal.end() == 130 and "`reeve cancel reeve_connection_test/1` ends it" in terminal.shown
    started.ok("cancel", "reeve_connection_test/1")
