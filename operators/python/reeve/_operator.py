"""The operator `python`: reads the task from descriptor 3, and runs it.

Without `interpreter` and `venv` the task runs in this very process; with one of them the operator starts again, by that
interpreter, and finds the task in a file on memory: never in arguments or environment, for secrets are in it.
"""

import _signal  # of which `signal` is the wrapping, at the price of `enum`
import os
import sys

import reeve
from reeve import _lines

VERSION = "1.0"
OWN = os.path.dirname(os.path.realpath(__file__))
OPTIONS = {"code": str, "file": str, "call": str, "args": list, "kwargs": dict, "interpreter": str, "venv": dict}
VENV_OPTIONS = {"requirements": list, "system_site_packages": bool}
KINDS = {str: "text", list: "a list", dict: "a mapping", bool: "true or false"}
AGAIN = "--task"
CODE = "<code>"  # the file name, in tracebacks, of text that lies in no file


class Wrong(Exception):
    """The task is written wrongly; another try will not help."""

    retry = False


class Broken(Wrong):
    """What it needs could not be had; another try may."""

    retry = True


# ---- what it is asked ----


def check_options(options, known, where=""):
    for key, value in options.items():
        if key not in known:
            raise Wrong(f"{where}{key}: no such option; there are {', '.join(known)}")
        if not isinstance(value, known[key]):
            raise Wrong(f"{where}{key}: must be {KINDS[known[key]]}")


def check(options):
    check_options(options, OPTIONS)
    ways = [way for way in ("code", "file", "call") if way in options]
    if len(ways) != 1:
        raise Wrong(f"one of code, file and call is needed; {' and '.join(ways) or 'none'} is given")
    if "kwargs" in options and ways != ["call"]:
        raise Wrong(f"kwargs: only with call; {ways[0]} takes args")
    if ways == ["call"]:
        module, colon, function = options["call"].partition(":")
        if not colon or not all(name.isidentifier() for name in module.split(".") + function.split(".")):
            raise Wrong(f"call: {options['call']!r} is not MODULE:FUNCTION")
    if ways == ["file"] and not os.path.isfile(options["file"]):
        raise Wrong(f"file: {options['file']}: there is no such file in the DAG's folder")
    venv = options.get("venv", {})
    check_options(venv, VENV_OPTIONS, "venv.")
    for text in venv.get("requirements", []):
        if not isinstance(text, str) or text.strip() != text or not text or text[0] == "-" or "\n" in text:
            raise Wrong(f"venv.requirements: {text!r} is not one requirement, as in requirements.txt")


def read_task():
    if len(sys.argv) == 3 and sys.argv[1] == AGAIN:
        with os.fdopen(int(sys.argv[2]), "rb") as file:
            line = file.read()
    else:
        line = read_line()
    os.set_inheritable(3, False)
    return line


def read_line():
    line = bytearray()
    while not line.endswith(b"\n"):
        try:
            part = os.read(3, 65536)
        except OSError:
            part = b""
        if not part:
            raise SystemExit("reeve-op-python: there is no task on descriptor 3; a worker starts it with one")
        line += part
    return bytes(line)


def become(interpreter, line):
    """The operator again, by another interpreter; does not return when that works."""
    task = os.memfd_create("task")
    os.write(task, line)
    os.lseek(task, 0, os.SEEK_SET)
    for fd in (3, task):
        os.set_inheritable(fd, True)
    try:
        os.execvp(interpreter, [interpreter, os.path.realpath(sys.argv[0]), AGAIN, str(task)])
    except OSError as error:
        raise Wrong(f"interpreter: {interpreter}: {error.strerror}") from None


def find_interpreter(options, line):
    """Goes on there, when it is not this one."""
    interpreter = options.get("interpreter")
    if "venv" in options:
        from reeve import _venv

        interpreter = _venv.python(options["venv"], interpreter or sys.executable)
    if interpreter is not None:
        become(interpreter, line)


# ---- running it ----


def in_json(value):
    import json

    return json.dumps(value)


def run_text(options):
    """Code or a file, as Python runs its main program."""
    main = type(sys)("__main__")
    name = options.get("file", CODE)
    place = CODE
    sys.argv = [name] + [value if isinstance(value, str) else in_json(value) for value in options.get("args", [])]
    if "file" in options:
        place = main.__file__ = os.path.abspath(name)
        sys.path[0] = os.path.dirname(place)
        with open(name, "rb") as file:
            source = file.read()
    else:
        sys.path[0] = os.getcwd()
        source = options["code"]
    sys.modules["__main__"] = main
    exec(compile(source, place, "exec", dont_inherit=True), main.__dict__)


def run(options):
    if "call" not in options:
        return run_text(options)
    from reeve import _call

    sys.path[0] = os.getcwd()
    sys.argv = [options["call"]]
    return _call.run(options)


# ---- its end ----


def is_own(trace):
    return os.path.dirname(os.path.realpath(trace.tb_frame.f_code.co_filename)) == OWN


def show_failure(error, code):
    """The traceback as Python itself prints it, without the operator's own lines; returns the error in one line."""
    import linecache
    import traceback

    linecache.cache[CODE] = len(code), None, code.splitlines(keepends=True), CODE
    sys.stdout.flush()
    while error.__traceback__ is not None and is_own(error.__traceback__):
        error.__traceback__ = error.__traceback__.tb_next
    traceback.print_exception(type(error), error, error.__traceback__)
    sys.stderr.flush()
    text = traceback.format_exception_only(type(error), error)[-1].strip()
    places = traceback.extract_tb(error.__traceback__)
    if not places or isinstance(error, SyntaxError):
        return text
    here = os.getcwd()
    near = [place for place in places if not os.path.isabs(place.filename) or place.filename.startswith(here)]
    place = (near or places)[-1]
    return f"{text} ({os.path.basename(place.filename)}, line {place.lineno})"


def fail(text, retry):
    """Its last word, cut so that the line is one."""
    reeve._say({"type": "error", "error": " ".join(text.split())[:1000], "retry": retry})


def stop(_number, _frame):
    """The task's `finally` and `with` still get their turn."""
    raise SystemExit(128 + _signal.SIGTERM)


def tell(outputs, call):
    try:
        text = _lines.dumps(outputs)
    except (TypeError, ValueError) as error:
        raise Wrong(f"{call} returned what JSON has no word for: {error}") from None
    print("returned", text, flush=True)
    reeve.output(outputs)


def carry_out(options):
    """The exit status."""
    try:
        outputs = run(options)
        if outputs is not None:
            tell(outputs, options["call"])
        return 0
    except SystemExit as end:
        if isinstance(end.code, str):
            fail(end.code, retry=True)
        raise
    except reeve.Skip as skip:
        print("skipped:", skip, file=sys.stderr)
        return 99
    except Wrong as error:
        return refuse(error)
    except BaseException as error:
        fail(show_failure(error, options.get("code", "")), retry=not isinstance(error, (reeve.Fail, SyntaxError)))
        return 1


def refuse(error):
    print(f"reeve-op-python: {error}", file=sys.stderr)
    fail(str(error), retry=error.retry)
    return 1


def main():
    if sys.argv[1:] == ["--describe"]:
        print(in_json({"reeve": 1, "version": f"{VERSION} (Python {sys.version.split()[0]})"}))
        return 0
    line = read_task()
    reeve._task = _lines.loads(line)
    options = reeve._task["with"]
    _signal.signal(_signal.SIGTERM, stop)
    try:
        check(options)
        if sys.argv[1:2] != [AGAIN]:
            find_interpreter(options, line)
    except Wrong as error:
        return refuse(error)
    return carry_out(options)
