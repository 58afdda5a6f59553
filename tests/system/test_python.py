"""The operator python, on descriptor 3: what it runs, gives and says. docs/operators/python.md."""

import pathlib
import re
import signal
import sys
import zipfile

import pytest

import op
from reeve import wait_until

CONNECTION = {"id": "my_postgres_conn", "type": "postgres", "host": "db.example", "port": 5432, "schema": "shop",
              "login": "etl", "password": "s3cret", "extra": {"sslmode": "require"}}
CONTEXT = {"ds": "2026-11-21", "ts": "2026-11-21T03:00:00+09:00", "logical_date": "2026-11-20T18:00:00.000Z",
           "run_id": "shop/1", "dag": "shop", "task": "load", "attempt": 1, "params": {"region": "EU", "days": [1, 2]}}
HOSTILE = "$(id) `id` '; drop table t; --\n\"\\ {{ ds }} \u2713"


def run(options, folder="/", connections=(), context=None, **environment):
    return op.Attempt("python", options, connections, folder=str(folder), context=context or CONTEXT,
                      **environment).end(600)  # to build an environment takes a busy machine minutes


def write(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    return folder


# ---- what it runs ----


def test_code_runs_as_a_main_program_in_the_tasks_folder(tmp_path):
    ended = run({"code": "import os, sys\nif __name__ == '__main__':\n    print(sys.argv[1:], os.getcwd())",
                 "args": ["a b", 3, HOSTILE]}, tmp_path)
    assert (ended.status, ended.log) == (0, f"{['a b', '3', HOSTILE]} {tmp_path}\n")


def test_file_finds_its_neighbours_and_its_own_name(tmp_path):
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub", "near.py", "VALUE = 7")
    write(tmp_path / "sub", "main.py", "import near, sys\nprint(near.VALUE, sys.argv, __file__)")
    ended = run({"file": "sub/main.py", "args": ["x"]}, tmp_path)
    assert ended.log == f"7 ['sub/main.py', 'x'] {tmp_path}/sub/main.py\n", ended.log


def test_call_gets_its_arguments_and_what_it_asks_for_by_name(tmp_path):
    write(tmp_path, "checks.py", """
def row_count(first, path, ds, logical_date, params, ti, tail="-"):
    print(first, path, ds, logical_date.isoformat(), params["region"], ti.task_id, ti.try_number, tail)
    return {"rows": 12, "path": path}
""")
    ended = run({"call": "checks:row_count", "args": [1], "kwargs": {"path": HOSTILE}}, tmp_path)
    assert ended.log.startswith(f"1 {HOSTILE} 2026-11-21 2026-11-20T18:00:00+00:00 EU load 1 -\n"), ended.log
    assert "returned {" in ended.log
    assert ended.outputs == {"rows": 12, "path": HOSTILE}


@pytest.mark.parametrize("returned, outputs", [("None", {}), ("5", {"return_value": 5}), ("[1]", {"return_value": [1]}),
                                               ("{}", {"return_value": {}}), ("{'a-b': 1}", {"return_value": {"a-b": 1}}),
                                               ("{'a': {'b': 1}}", {"a": {"b": 1}})])
def test_return_value_becomes_outputs(tmp_path, returned, outputs):
    write(tmp_path, "m.py", f"def f(): return {returned}")
    ended = run({"call": "m:f"}, tmp_path)
    assert (ended.status, ended.outputs) == (0, outputs)


def test_keywords_of_any_name_get_the_whole_context_and_own_ones_win(tmp_path):
    write(tmp_path, "m.py", "def f(**kw): print(kw['ds'], sorted(kw)); return None")
    ended = run({"call": "m:f", "kwargs": {"ds": "mine"}}, tmp_path)
    assert ended.log.startswith("mine ['attempt', 'dag', 'ds', 'logical_date', 'params',"), ended.log


def test_functions_in_disguise_are_called_too(tmp_path):
    write(tmp_path, "m.py", """
import functools
def timed(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)
    return inner
@timed
def wrapped(ds, /, n=1): return n
@timed
def plain(ds): return ds
class Job:
    @staticmethod
    def run(ds): return ds
async def later(ds): return ds + "!"
half = functools.partial(plain)
""")
    for name, value in {"plain": "2026-11-21", "Job.run": "2026-11-21", "later": "2026-11-21!", "half": "2026-11-21"}.items():
        ended = run({"call": f"m:{name}"}, tmp_path)
        assert ended.outputs == {"return_value": value}, ended.log


def test_call_imports_no_more_than_it_needs(tmp_path):
    """Each of these is a millisecond and more of every task's start."""
    write(tmp_path, "m.py", "import sys\ndef f(n, ds): return sorted(sys.modules)")
    ended = run({"call": "m:f", "kwargs": {"n": 1}}, tmp_path)
    plain = op.subprocess.run(["python3", "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True,
                              check=True, env=op.reeve.clean_environment())
    more = set(ended.outputs["return_value"]) - set(plain.stdout.split())
    assert not more & {"json", "re", "enum", "signal", "datetime", "importlib", "types", "traceback"}, sorted(more)


VALUES = [None, True, 0, -1, 2**70, 1.5, -0.0, 1e300, "", HOSTILE, "\u2028\x00\x1f\x7f", "\U0001f600", [], {}, [[{}]],
          {"a": [1, {"b": None}], "": "x", "\u00e9": 2}, (1, 2), {1: 2, None: 3, True: 4, 1.5: 5}]
NO_VALUES = ["{1}", "b''", "float('nan')", "[float('inf')]", "{(1,): 2}", "object()"]


@pytest.mark.parametrize("hide", ["", "import sys; sys.modules['_json'] = None; ", "import _json; del _json.make_encoder; "])
def test_lines_are_what_json_makes_of_them_also_without_its_c_part(hide):
    """hide: what another Python may lack."""
    folder = pathlib.Path(op.reeve.program("reeve-op-python")).parent.parent / "lib/reeve/python"
    text = f"""
{hide}sys = __import__("sys")
sys.path[0] = {str(folder)!r}
from reeve import _lines
import json
for value in {VALUES!r}:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    assert _lines.dumps(value) == text, (value, text)
    assert _lines.loads(text.encode() + b"\\n") == json.loads(text), text
    assert _lines.loads(json.dumps(value, indent=1).encode()) == json.loads(text), text
assert _lines.loads(b'"\\\\ud800"') == "\\ud800"
for no_value in {NO_VALUES!r}:
    errors = []
    for dumps in (_lines.dumps, lambda value: json.dumps(value, ensure_ascii=False, allow_nan=False)):
        try:
            dumps(eval(no_value))
        except (TypeError, ValueError) as error:
            errors.append(repr(error))
    assert len(errors) == 2 and errors[0] == errors[1], errors
for wrong in (b"", b"{{", b'{{"a":}}', b"[1,", b"nul", b'"'):
    try:
        _lines.loads(wrong)
        assert False, wrong
    except (ValueError, StopIteration):
        pass
"""
    op.subprocess.run([sys.executable, "-c", text], check=True)


def test_package_reeve_gives_connections_context_and_outputs():
    ended = run({"code": """
import reeve
c = reeve.connection("my_postgres_conn")
print(c.type, c.host, c.port, c.schema, c.login, c.extra["sslmode"], c.password == "s3cret", repr(c))
reeve.output("rows", 3)
reeve.output({"state": "ok", "rows": 4})
print(reeve.context()["params"])
"""}, connections=[CONNECTION])
    assert ended.status == 0, ended.log
    assert "postgres db.example 5432 shop etl require True <reeve.Connection my_postgres_conn:" in ended.log
    assert ended.outputs == {"rows": 4, "state": "ok"}
    assert "s3cret" not in ended.log


def test_secrets_are_neither_in_arguments_nor_in_the_environment():
    attempt = op.Attempt("python", {"interpreter": sys.executable, "code": "import sys; sys.stdin.read(); import time; "
                                    "print('here', flush=True); time.sleep(600)"}, [CONNECTION])
    pid = attempt.process.pid

    def said():
        attempt.log.seek(0)
        return b"here" in attempt.log.read()

    wait_until(said)
    for name in ("cmdline", "environ"):
        with open(f"/proc/{pid}/{name}", "rb") as file:
            assert b"s3cret" not in file.read()
    attempt.signal(signal.SIGTERM)
    assert attempt.end().status == 143


# ---- how it ends ----


def test_division_by_zero_shows_python_s_own_traceback(tmp_path):
    write(tmp_path, "job.py", "def total(n):\n    return n / 0\n\ntotal(3)\n")
    ended = run({"file": "job.py"}, tmp_path)
    assert ended.status == 1
    own = op.subprocess.run([sys.executable, "job.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.log == own.stderr, "as Python itself prints it"
    assert ended.error == "ZeroDivisionError: division by zero (job.py, line 2)"
    assert ended.retry is True


def test_traceback_of_inline_code_shows_its_lines():
    ended = run({"code": "def f():\n    return {}['rows']\nf()"})
    assert "    return {}['rows']\n" in ended.log and 'line 2, in f\n' in ended.log
    assert "reeve" not in ended.log
    assert ended.error == "KeyError: 'rows' (<code>, line 2)"


@pytest.mark.parametrize("code, status, error, retry", [
    ("import sys; sys.exit(99)", 99, None, None),
    ("import sys; sys.exit(7)", 7, None, None),
    ("import sys; sys.exit('no rows')", 1, "no rows", True),
    ("import reeve; raise reeve.Skip('holiday')", 99, None, None),
    ("import reeve; raise reeve.Fail('bad file')", 1, "reeve.Fail: bad file (<code>, line 1)", False),
    ("x = = 3", 1, "SyntaxError: invalid syntax", False),
    ("raise ValueError('two\\nlines')", 1, "ValueError: two lines (<code>, line 1)", True),
    ("import reeve; reeve.connection('nope')", 1, None, True),
    ("import reeve; reeve.output('a-b', 1)", 1, None, True),
])
def test_ends(code, status, error, retry):
    ended = run({"code": code}, connections=[CONNECTION])
    assert ended.status == status, ended.log
    if error is not None or status != 1:
        assert (ended.error, ended.retry) == (error, retry)


def test_unknown_connection_names_those_that_are_there():
    ended = run({"code": "import reeve; reeve.connection('nope')"}, connections=[CONNECTION])
    assert "has no connection 'nope'; it names my_postgres_conn" in ended.error


@pytest.mark.parametrize("options, words", [
    ({}, "one of code, file and call is needed; none is given"),
    ({"code": "1", "file": "x"}, "code and file is given"),
    ({"codee": "1"}, "codee: no such option; there are code, file"),
    ({"code": 3}, "code: must be text"),
    ({"code": "1", "kwargs": {}}, "kwargs: only with call"),
    ({"file": "gone.py"}, "file: gone.py: there is no such file"),
    ({"call": "m.f"}, "'m.f' is not MODULE:FUNCTION"),
    ({"call": "m:f"}, "there is no module m in the DAG's folder"),
    ({"call": "json:lods"}, "json has no lods; it has "),
    ({"call": "json:__name__"}, "is no function"),
    ({"code": "1", "interpreter": "/no/python"}, "interpreter: /no/python: No such file"),
    ({"code": "1", "venv": {"requirement": []}}, "venv.requirement: no such option"),
    ({"code": "1", "venv": {"requirements": ["--index-url x"]}}, "is not one requirement"),
    ({"code": "1", "venv": {}, "interpreter": "no-such-python"}, "not found on this worker"),
])
def test_what_is_written_wrongly_is_said_and_not_tried_again(options, words, tmp_path):
    ended = run(options, tmp_path)
    assert ended.status == 1 and words in ended.error, ended.log
    assert ended.retry is False


def test_a_value_that_json_has_no_word_for_fails_by_name(tmp_path):
    write(tmp_path, "m.py", "def f(): return {'a': {1, 2}}\ndef nan(): return float('nan')")
    assert "m:f returned what JSON has no word for" in run({"call": "m:f"}, tmp_path).error
    assert "m:nan returned" in run({"call": "m:nan"}, tmp_path).error


def test_sigterm_lets_the_task_clean_up(tmp_path):
    attempt = op.Attempt("python", {"code": """
import time
try:
    open("begun", "w").close()
    time.sleep(600)
finally:
    print("cleaned up")
"""}, folder=str(tmp_path))
    wait_until(lambda: (tmp_path / "begun").exists())
    attempt.signal(signal.SIGTERM)
    ended = attempt.end()
    assert (ended.status, ended.log) == (143, "cleaned up\n")


# ---- environments ----


def wheel(folder, version):
    """A package of one line, as pip takes it."""
    path = folder / f"mini-{version}-py3-none-any.whl"
    info = f"mini-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("mini.py", f"VERSION = {version!r}\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: mini\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return f"./{path.name}"


@pytest.mark.slow
def test_venv_is_built_once_and_again_when_what_is_in_it_changes(tmp_path):
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PIP_NO_INDEX": "1"}
    (tmp_path / "cache").mkdir(mode=0o700)
    options = {"code": "import mini, sys; print(mini.VERSION, sys.prefix != sys.base_prefix)",
               "venv": {"requirements": [wheel(tmp_path, "1.0")]}}
    first = run(options, tmp_path, **cache)
    if "ensurepip is not" in first.log:
        pytest.skip("this Python has no pip for environments (python3-venv)")
    assert first.log.endswith("1.0 True\n"), first.log
    assert run(options, tmp_path, **cache).log == "1.0 True\n"
    options["venv"]["requirements"] = [wheel(tmp_path, "2.0")]
    again = run(options, tmp_path, **cache)
    assert re.search(r"^\$ .*-m venv ", again.log) and again.log.endswith("2.0 True\n")


@pytest.mark.slow
def test_venv_whose_requirement_is_not_there_says_what_pip_said(tmp_path):
    (tmp_path / "cache").mkdir(mode=0o700)
    ended = run({"code": "1", "venv": {"requirements": ["./no-such-1.0-py3-none-any.whl"]}}, tmp_path,
                XDG_CACHE_HOME=str(tmp_path / "cache"), PIP_NO_INDEX="1")
    if "ensurepip is not" in ended.log:
        pytest.skip("this Python has no pip for environments (python3-venv)")
    assert ended.status == 1 and "venv: pip ended with 1" in ended.error
    assert "no-such-1.0" in ended.log


def test_environment_that_others_may_write_is_not_trusted(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    ended = run({"code": "1", "venv": {}}, tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert ended.status == 1 and "may be written by others" in ended.error
