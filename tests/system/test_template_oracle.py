"""Jinja as the oracle of templates: what reeve renders, Jinja renders too, and the same.

Texts are generated, each with values of its own: well-formed ones, which both must render (or both find a
value absent), and ones with a letter removed, doubled or replaced, where reeve may refuse what Jinja takes, and must
not take what Jinja renders otherwise. Statements and comments, which reeve does not have, are off in Jinja. Jinja runs
in a Python that has it (tests/system/jinja_peer.py), which need not be the one of the tests.
"""

import json
import os
import pathlib
import random
import subprocess
import sys

import pytest

import reeve

PEER = pathlib.Path(__file__).with_name("jinja_peer.py")
WELL_FORMED, MUTATED = 1000, 1000

WORDS = ["", "x", "EU", "a b", "it's", 'say "hi"', "{{ ds }}", "}}", "Ümläut", "line\nline", "{% if %}", "\\n", "100%"]
NAMES = ["region", "n", "items", "keys", "values", "_x", "camelCase", "a_b"]
TASKS = ["extract", "check", "a-b", "2nd"]
DATES = ["ds", "ts", "logical_date", "data_interval_start", "data_interval_end"]
VALUES = [*DATES, "ds_nodash", "ts_nodash", "run_id", "dag", "task", "attempt"]
DATE_FILTERS = ["ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz"]


class Dice(random.Random):
    """Texts, values and templates."""

    def value(self, depth=2):
        plain = [self.choice(WORDS), self.randrange(-1000, 1000), True, False, None, 0.5, 1234.75, 10 ** 15]
        if depth == 0 or self.random() < 0.6:
            return self.choice(plain)
        if self.random() < 0.5:
            return [self.value(depth - 1) for _ in range(self.randrange(4))]
        return {self.choice([*NAMES, "a-b", "ä"]): self.value(depth - 1) for _ in range(self.randrange(4))}

    def scope(self):
        day = f"{self.randrange(1971, 2100)}-{self.randrange(1, 13):02}-{self.randrange(1, 29):02}"
        time = f"{self.randrange(24):02}:{self.randrange(60):02}:{self.randrange(60):02}"
        zone = self.choice(["+00:00", "+09:00", "-03:30", "+05:45"])
        moment = f"{day}T{time}{zone}"
        compact = (day + "T" + time).replace("-", "").replace(":", "")
        values = {"ds": day, "ds_nodash": day.replace("-", ""), "ts": moment, "ts_nodash": compact,
                  "logical_date": moment, "data_interval_start": f"{day}T{time}.250{zone}", "data_interval_end": moment,
                  "run_id": "salaries/17", "dag": "salaries", "task": "load", "attempt": self.randrange(1, 9)}
        return {"values": values, "params": {name: self.value() for name in self.sample(NAMES, 5)},
                "outputs": {task: {name: self.value() for name in self.sample(NAMES, 4)} for task in self.sample(TASKS, 3)},
                "artifacts": {task: f"/art/{task}" for task in self.sample(TASKS, 2)}}

    def space(self):
        return self.choice(["", " ", "  ", "\t", "\n "])

    def member(self, name):
        quote = self.choice(["'", '"'])
        in_brackets = f"[{self.space()}{quote}{name}{quote}{self.space()}]"
        return in_brackets if not name.isidentifier() or not name.isascii() or self.random() < 0.3 else f".{name}"

    def steps(self, value):
        """A way into a value, sometimes one that leads nowhere. Never into a text: there Jinja counts letters."""
        if isinstance(value, dict) and value and self.random() < 0.7:
            name = self.choice(list(value))
            return self.member(name) + self.steps(value[name])
        if isinstance(value, list) and self.random() < 0.7:
            index = self.randrange(len(value) + 1)
            return f"[{index}]" + (self.steps(value[index]) if index < len(value) else "")
        return ".nowhere" if isinstance(value, dict) and self.random() < 0.1 else ""

    def root(self, scope):
        kind = self.randrange(6)
        if kind == 0:
            return self.choice(VALUES)
        if kind == 1:
            name = self.choice(NAMES)
            return "params" + self.member(name) + self.steps(scope["params"].get(name))
        if kind == 2:
            task, name = self.choice(TASKS), self.choice(NAMES)
            return "outputs" + self.member(task) + self.member(name) + self.steps(scope["outputs"].get(task, {}).get(name))
        if kind == 3:
            return "artifacts" + self.member(self.choice(TASKS))
        if kind == 4:
            return self.choice(["'{{'", '"}}"', "'text'", '"it\'s"', "'ä'"])
        return f"ds_add({self.space()}{self.date(scope)},{self.space()}{self.randrange(-500, 500)})"

    def date(self, scope, depth=2):
        text = self.choice(DATES)
        if depth and self.random() < 0.3:
            text = f"ds_add({self.date(scope, depth - 1)}, {self.choice(['', '-', '+'])}{self.randrange(400)})"
        return text + (f"{self.space()}|{self.space()}ds" if self.random() < 0.3 else "")

    def expression(self, scope):
        if self.random() < 0.3:
            text = f"{self.date(scope)} | {self.choice(DATE_FILTERS)}"
        else:
            text = self.root(scope) + (" | tojson" if self.random() < 0.2 else "")
        return "{{" + self.choice([" ", " ", "", "\n"]) + text + self.choice([" ", " ", ""]) + "}}"

    def text(self, scope):
        plain = ["", "x", " ", "{", "}", "}}", "a: b\n", "#", "ä", "{# kept #}", "{% kept %}", "'", '"', "\n"]
        if self.random() < 0.3:
            return self.expression(scope)
        parts = []
        for _ in range(self.randrange(1, 4)):
            piece = self.choice(plain)
            # "{" before "{{" is another template.
            parts += ["x" if piece == "{" else piece, self.expression(scope)]
        return "".join(parts) + self.choice(plain)

    def mutated(self, text):
        at = self.randrange(len(text))
        letter = self.choice("{}()[]|.,'\"- +0aé_%#\\~")
        return self.choice([text[:at] + text[at + 1:], text[:at] + text[at] + text[at:], text[:at] + letter + text[at + 1:],
                            text[:at] + letter + text[at:]])


def python_with_jinja():
    for candidate in (sys.executable, "/usr/bin/python3"):
        try:
            if subprocess.run([candidate, "-c", "import jinja2"], capture_output=True, check=False).returncode == 0:
                return candidate
        except OSError:
            continue
    pytest.skip("no python3 here has jinja2 (python3-jinja2)")


def ask(command, wishes):
    """A line of JSON in, a line of JSON out."""
    given = "".join(json.dumps(wish) + "\n" for wish in wishes)
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120 * reeve.PATIENCE, check=False,
                          env=reeve.clean_environment())
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(wishes)
    return answers


@pytest.fixture(scope="module")
def both():
    """wishes -> [(wish, reeve's answer, Jinja's)]"""
    python = python_with_jinja()
    return lambda wishes: list(zip(wishes, ask([reeve.program("oracle_template")], wishes), ask([python, PEER], wishes)))


@pytest.fixture(scope="module")
def dice():
    seed = int(os.environ.get("RV_SEED", random.randrange(10**6)))
    print(f"RV_SEED={seed} repeats these templates")
    return Dice(seed)


def wishes_of(dice, count, change=lambda text: text):
    wishes = []
    for _ in range(count):
        scope = dice.scope()
        wishes.append({"text": change(dice.text(scope)), **scope})
    return wishes


def shown(cases):
    return "\n".join(f"{wish['text']!r}\n    reeve: {mine}\n    jinja: {theirs}" for wish, mine, theirs in cases[:10])


def test_well_formed_templates_render_as_in_jinja(both, dice):
    answers = both(wishes_of(dice, WELL_FORMED))
    kind = {"not_found": "absent"}
    wrong = [(wish, mine, theirs) for wish, mine, theirs in answers
             if mine.get("value") != theirs.get("value") or kind.get(mine.get("error")) != theirs.get("error")]
    assert not wrong, f"{len(wrong)} of {len(answers)}:\n{shown(wrong)}"
    assert sum("value" in mine for _, mine, _ in answers) > WELL_FORMED / 2
    assert sum("error" in mine for _, mine, _ in answers) > WELL_FORMED / 50


def test_what_reeve_takes_of_mutated_templates_renders_as_in_jinja(both, dice):
    answers = both(wishes_of(dice, MUTATED, dice.mutated))
    taken = [answer for answer in answers if "value" in answer[1]]
    wrong = [(wish, mine, theirs) for wish, mine, theirs in taken if mine["value"] != theirs.get("value")]
    assert not wrong, f"{len(wrong)} of {len(answers)}:\n{shown(wrong)}"
    assert MUTATED / 10 < len(taken) < MUTATED
