"""What goes wrong, and what a person is told: exit codes and messages of INTERFACE."""

import os
import pty
import re
import subprocess

import pytest

import reeve

MISTAKES = reeve.ROOT / "tests/system/data/ten_mistakes.yaml"


def test_no_master_names_all_places_and_how_to_start_one(cluster):
    result = cluster.reeve("status", "d/1")
    assert result.status == 5
    for place in (str(cluster.data), "reeve-master"):
        assert place in result.err
    del cluster.env["REEVE_DATA"]
    result = cluster.reeve("status", "d/1")
    assert result.status == 5
    for place in ("/var/lib/reeve/master", f"{cluster.folder}/.local/share/reeve/master", "reeve-master"):
        assert place in result.err


@pytest.mark.parametrize("arguments", [
    ["frobnicate"], ["submit"], ["status", "--no-such-option"], ["wait"], ["logs", "a", "b"], ["cancel"]])
def test_wrong_usage_ends_two_and_shows_the_way(cluster, arguments):
    result = cluster.reeve(*arguments)
    assert result.status == 2, (result.out, result.err)
    assert result.err and not result.out


def test_misspelt_command_gets_the_right_one(cluster):
    assert "submit" in cluster.reeve("sumbit").err


def test_what_is_not_there_ends_six(started):
    for arguments in (["status", "nothing/1"], ["logs", "nothing/1"], ["wait", "nothing/1"], ["cancel", "nothing/1"],
                      ["status", "nothing"], ["submit", "nothing"]):
        result = started.reeve(*arguments)
        assert result.status == 6, (arguments, result)
        assert "nothing" in result.err


def expected_mistakes():
    """(line, word) of each comment `#! WORD` of the file."""
    lines = MISTAKES.read_text().splitlines()
    return [(number, line.split("#! ")[1]) for number, line in enumerate(lines, 1) if "#! " in line]


@pytest.mark.parametrize("command", ["validate", "submit", "run"])
def test_ten_mistakes_get_ten_messages_at_their_lines(started, command):
    result = started.reeve(command, MISTAKES)
    assert result.status == 3
    found = re.findall(r"^(\S+?):(\d+):(\d+): (.*)$", result.out + result.err, re.MULTILINE)
    assert len(expected_mistakes()) == 10
    assert len(found) == 10, result.out + result.err
    for line, word in expected_mistakes():
        assert any(int(l) == line and word in text for _, l, _, text in found), (line, word, found)
    assert started.json("runs") == []


def test_mistake_shows_its_line_and_a_caret(cluster):
    path = cluster.folder / "d" / "d.yaml"
    path.parent.mkdir()
    path.write_text("tasks:\n  load:\n    bash: echo hi\n    timout: 5m\n")
    result = cluster.reeve("validate", path)
    assert result.status == 3
    text = result.out + result.err
    assert re.search(r'd\.yaml:4:5: (error: )?unknown key "timout" in task "load"; did you mean "execution_timeout"\?', text), text
    assert "    timout: 5m\n" in text and re.search(r"^ *\^", text, re.MULTILINE)


def test_key_of_a_later_version_is_known(cluster):
    result = cluster.reeve("validate", cluster.dag("d", {"a": {"bash": "true", "pool": "p"}}))
    assert result.status == 3
    assert "not supported in this version" in result.out + result.err
    assert "unknown key" not in result.out + result.err


def test_files_that_do_not_travel_are_told_by_validate_all_at_once_and_refused_by_submit(started):
    file = started.dag("d", {"a": {"bash": {"file": "a.sh"}}, "b": {"bash": {"file": "./b.sh"}}, "c": {"postgres": {"file": "c.sql"}},
                             "d": {"bash": "true"}}, files={"a.sh": "true\n"})
    other = started.dag("e", {"a": {"noop": None}})
    other.write_text("files: [no.sh]\ntasks: {a: {noop: }}\n")
    for path, words in ((file, ('b.sh"', '"c.sql"')), (other, ('"no.sh"',))):
        warned = started.reeve("validate", path)
        assert warned.status == 0 and "warning: submit will refuse it" in warned.err, warned.err
        (document,) = started.json("validate", path)
        assert document["severity"] == "warning" and document["file"] == str(path)
        refused = started.reeve("submit", path)
        assert refused.status == 3
        for text in (warned.err, document["message"], refused.err):
            assert all(word in text for word in words) and '"a.sh"' not in text, text
    (file.parent / "b.sh").write_text("true\n")
    (file.parent / "c.sql").write_text("SELECT 1\n")
    assert started.json("validate", file) == [] and started.reeve("validate", file).err == ""


def test_terminal_escapes_do_not_pass_to_a_terminal(started):
    run = started.submit(started.dag("d", {"a": {"bash": r"printf 'red \033[31m\033]0;title\007 end\n'"}}))
    started.finish(run)
    leader, follower = pty.openpty()
    subprocess.run([reeve.program("reeve"), "logs", f"{run}/a"], stdout=follower, env=started.env, check=True)
    os.close(follower)
    shown = b""
    while b"end" not in shown:
        shown += os.read(leader, 65536)
    os.close(leader)
    assert b"\x1b[31m" not in shown and b"\x1b]0" not in shown and b"\x07" not in shown
    assert b"red" in shown and b"end" in shown


def test_second_master_on_the_same_data_is_refused(started):
    second = subprocess.run([reeve.program("reeve-master"), "--data", str(started.data)], capture_output=True, text=True,
                            env=started.env, timeout=30, check=False)
    assert second.returncode == 7
    assert str(started.data) in second.stderr and "in use" in second.stderr
    assert started.reeve("ping").status == 0


def test_data_folder_too_long_for_a_socket_is_refused_by_name(cluster):
    long = cluster.folder / ("x" * 120)
    result = subprocess.run([reeve.program("reeve-master"), "--data", str(long)], capture_output=True, text=True,
                            env=cluster.env, timeout=30, check=False)
    assert result.returncode not in (0, -6, -11)
    assert "long" in result.stderr
    assert not long.exists()


@pytest.mark.parametrize("command", ["run", "submit"])
def test_folder_in_the_place_of_a_file_names_a_file_in_it(started, command):
    file = started.dag("d", {"a": {"noop": None}})
    result = started.reeve(command, f"{file.parent}/")
    assert result.status == 2 and f"is a folder: name a DAG file, as in {file}" in result.err
    result = started.reeve(command, f"{started.folder}/dags")
    assert result.status == 2 and "is a folder: name a DAG file" in result.err


def test_hint_comes_after_what_was_printed(started):
    run = started.submit(started.dag("d", {"a": {"bash": "exit 3"}}))
    started.finish(run, status=1)
    both = subprocess.run([reeve.program("reeve"), "status", run], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=started.env, check=True).stdout.splitlines()
    assert both[0].startswith(f"{run}  failed") and both[-1] == f"reeve: see `reeve logs {run} --failed`"


@pytest.mark.parametrize("word, here", [("trigger", "submit"), ("clear", "retry"), ("kill", "cancel"), ("list", "runs")])
def test_commands_of_other_tools_are_told_by_the_name_they_have_here(cluster, word, here):
    result = cluster.reeve(word)
    assert result.status == 2 and f'"{word}": it is called `reeve {here}` here' in result.err


def test_change_of_the_last_run_asks_for_a_number_that_can_be_one(cluster):
    result = cluster.reeve("cancel", "last")
    assert result.status == 2 and "as in DAG/17" in result.err


def test_submit_whose_answer_nobody_hears_says_what_it_made(started):
    with open("/dev/full", "w") as full:
        done = subprocess.run([reeve.program("reeve"), "submit", str(started.dag("d", {"a": {"noop": None}}))], env=started.env,
                              stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "d/1 was submitted" in done.stderr and "No space left" in done.stderr
    started.finish("d/1")


def test_configuration_of_a_worker_is_printed_before_it_joined(cluster):
    done = subprocess.run([reeve.program("reeve-worker"), "--data", str(cluster.folder / "w"), "--slots", "3", "--print-config"],
                          env=cluster.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "slots = 3  (from --slots)" in done.stdout, done.stdout + done.stderr
    assert not (cluster.folder / "w").exists()


def test_logs_tell_of_a_task_that_failed_before_it_could_start(started):
    run = started.submit(started.dag("d", {"a": {"bash": "true", "connection": "gone"}, "b": {"bash": "echo broken; exit 3"}}))
    started.finish(run, status=1)
    for arguments, lines in (([f"{run}"], 1), ([f"{run}/a"], 1), ([run, "--failed"], 1), ([f"{run}/b"], 0)):
        result = started.reeve("logs", *arguments)
        assert result.status == 0 and "has failed" not in result.err and "has started" not in result.err, result.err
        assert result.err.count(f'{run}/a failed before it started: connection "gone" is not there') == lines, result.err
    assert started.ok("logs", run, "--failed") == "b | broken\n"
    later = started.submit(started.dag("e", {"b": {"bash": "echo b"}, "a": {"needs": "b", "bash": "true", "connection": "gone"}}))
    followed = started.reeve("logs", later, "-f")
    assert followed.err.count(f"{later}/a failed before it started: ") == 1 and followed.out == "b | b\n", followed.err
    assert started.reeve("logs", later, "-f").err.count("failed before it started") == 1
