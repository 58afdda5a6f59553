"""FAULTS 28: what a person or a task supplies is text wherever it comes to, and nothing runs it."""

import json

import pytest

from reeve import files_below

HOSTILE = [
    "$(touch pwned)", "`touch pwned`", "; touch pwned;", "| touch pwned", "& touch pwned &", "x > pwned", "\n touch pwned\n",
    "'; touch pwned; '", '"; touch pwned; "', "${HOME}", "$HOME", "*", "~", "-n", "--help", "", " ", "\\", "\\n", "\t\r",
    "{{ ds }}", "{{ params.p0 }}", "{% raw %}", "%s%n", "\u00e9\u4e2d\U0001f600", "\x01\x7f\x1b[31m", "a=b", "!!", "# no comment",
    "x" * 100000,
]
# What a program is given: its arguments, and what is in its environment.
SHOW = ("import json, os, sys; json.dump([sys.argv[1:], {k: v for k, v in os.environ.items() if k[:7] in "
        "('REEVE_P', 'GIVEN_0', 'GIVEN_1', 'GIVEN_2')}, os.listdir('.')], sys.stdout)")


def shown(cluster, run, task):
    arguments, environment, files = json.loads(cluster.ok("logs", f"{run}/{task}"))
    assert "pwned" not in files and "pwned" not in [path.name for path in files_below(cluster.folder)]
    return arguments, environment


def given_by(source):
    """env and arguments that hold all the values, by templates."""
    names = [f"{source}p{n}" for n in range(len(HOSTILE))]
    env = {f"GIVEN_{n:02}": f"{{{{ {name} }}}}" for n, name in enumerate(names)}
    return env, list(env.values())


def check_shown(cluster, run, task, arguments):
    found, environment = shown(cluster, run, task)
    assert [environment[f"GIVEN_{n:02}"] for n in range(len(HOSTILE))] == HOSTILE
    assert found == (HOSTILE if arguments else [])


@pytest.mark.parametrize("by_file", [False, True], ids=["word", "file"])
def test_28_parameters_are_literal_in_bash_and_exec(started, by_file):
    env, arguments = given_by("params.")
    given = []
    for n, text in enumerate(HOSTILE):
        (started.folder / f"value{n}").write_text(text + "\n", newline="")
        given += ["-p", f"p{n}=@value{n}" if by_file else f"p{n}={text}"]
    file = started.dag("d", {
        "shell": {"bash": {"file": "show.sh"}, "env": env},
        "inline": {"bash": f'python3 -c "{SHOW}"', "env": env},
        "program": {"exec": ["python3", "-c", SHOW, *arguments], "env": env},
    }, files={"show.sh": f'python3 -c "{SHOW}"\n'}, params={f"p{n}": "" for n in range(len(HOSTILE))})
    run = started.submit(file, *given)
    started.finish(run)
    for task in ("shell", "inline", "program"):
        check_shown(started, run, task, arguments=task == "program")
        _, environment = shown(started, run, task)
        assert [environment[f"REEVE_PARAM_p{n}"] for n in range(len(HOSTILE))] == HOSTILE


def test_28_outputs_are_literal_in_bash_and_exec(started):
    env, arguments = given_by("outputs.make.")
    small = [text[:1000] for text in HOSTILE]
    document = json.dumps({f"p{n}": text for n, text in enumerate(small)})
    run = started.submit(started.dag("d", {
        "make": {"bash": "cat document >\"$REEVE_OUTPUT\""},
        "shell": {"needs": "make", "bash": f'python3 -c "{SHOW}"', "env": env},
        "program": {"needs": "make", "exec": ["python3", "-c", SHOW, *arguments]},
    }, files={"document": document}))
    started.finish(run)
    _, environment = shown(started, run, "shell")
    assert [environment[f"GIVEN_{n:02}"] for n in range(len(small))] == small
    assert shown(started, run, "program")[0] == small


def end_of(cluster, tasks, task="a", **keys):
    """(reason, error) of a task that must fail."""
    run = cluster.submit(cluster.dag("d", tasks, **keys))
    cluster.finish(run, status=1)
    found = cluster.tasks(run)[task]
    return found["reason"], found["error"]


def test_28_nul_bytes_are_refused_by_name(started):
    (started.folder / "nul").write_bytes(b"a\0b")
    refused = started.reeve("submit", started.dag("p", {"a": {"noop": None}}, params={"v": "x"}), "-p", "v=@nul")
    assert refused.status == 2 and '"v": it holds a NUL byte' in refused.err, refused
    refused = started.reeve("submit", started.dag("e", {"a": {"bash": "true", "env": {"X": "a\0b"}}}))
    assert refused.status == 3 and "cannot hold a NUL" in refused.err, refused
    for text, word in (("v=a\0b\n", "NUL"), ('{"v": "a\\u0000b"}', "u0000"), ('{"v": "a\0b"}', "0x0")):
        reason, error = end_of(started, {"a": {"bash": 'cat out >"$REEVE_OUTPUT"'}}, files={"out": text})
        assert (reason, word in error) == ("output", True), (reason, error)


def test_28_what_the_kernel_does_not_take_is_refused_by_name(started):
    make = {"bash": "head -c 60000 /dev/zero | tr '\\0' y | sed 's/^/v=/' >\"$REEVE_OUTPUT\""}
    value = "{{ outputs.m.v }}"
    fits = {"needs": "m", "bash": 'echo ${#X}', "env": {"X": value * 2 + "z" * (131071 - 120000 - len("X="))}}
    run = started.submit(started.dag("fits", {"m": make, "a": fits}))
    started.finish(run)
    assert started.ok("logs", f"{run}/a").strip() == str(131071 - len("X="))
    for task, words in (({"bash": "true", "env": {"X": value * 3}}, "env X has 180002 bytes"),
                        ({"exec": ["true", value * 3]}, "argument 2 has 180000 bytes"),
                        ({"bash": "true", "env": {f"X{n}": value * 2 for n in range(20)}}, "over 2097152 bytes in all")):
        reason, error = end_of(started, {"m": make, "a": {"needs": "m", **task}})
        assert (reason, words in error) == ("too_big", True), (reason, error)
    (started.folder / "big").write_text("y" * 131072)
    run = started.submit(started.dag("p", {"a": {"bash": "true"}}, params={"v": "x"}), "-p", "v=@big")
    started.finish(run, status=1)
    assert "REEVE_PARAM_v has" in started.tasks(run)["a"]["error"]
