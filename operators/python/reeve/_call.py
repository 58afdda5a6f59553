"""`call: MODULE:FUNCTION`: finds the function, gives it what it asks for, and makes outputs of what it returns."""

import os
import sys

import reeve
from reeve._operator import Wrong

TAKES_POSITIONAL, TAKES_KEYWORDS = 0x04, 0x08  # of a code object: *args, **kwargs


def find(text):
    name, _, path = text.partition(":")
    try:
        __import__(name)  # importlib would do the same, after 1 ms of its own import
        found = sys.modules[name]
    except ModuleNotFoundError as error:
        if error.name != name.split(".")[0] and error.name != name:
            raise
        raise Wrong(f"call: there is no module {name} in the DAG's folder, nor where {sys.executable} looks") from None
    for part in path.split("."):
        if not hasattr(found, part):
            functions = sorted(key for key, value in vars(found).items() if callable(value) and not key.startswith("_"))
            raise Wrong(f"call: {name} has no {part}; it has {', '.join(functions) or 'no function'}")
        found = getattr(found, part)
    if not callable(found):
        raise Wrong(f"call: {text} is no function")
    return found


def parameters(function):
    """Names of its parameters, how many of them go by position, and whether it takes any other by name."""
    code = getattr(function, "__code__", None)
    if code is not None and not hasattr(function, "__wrapped__"):
        count = code.co_argcount + code.co_kwonlyargcount
        return list(code.co_varnames[:count]), bool(code.co_flags & TAKES_KEYWORDS)
    import inspect

    known = inspect.signature(function).parameters.values()
    by_name = [one.name for one in known if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    return by_name, any(one.kind == one.VAR_KEYWORD for one in known)


def keywords(function, args, kwargs):
    """The task's own kwargs, and of the context what the function asks for by name."""
    names, takes_any = parameters(function)
    taken = names[:len(args)]
    given = reeve._known(None if takes_any else names[len(args):])
    return {**{name: value for name, value in given.items() if name not in taken}, **kwargs}


def outputs_of(value):
    """A mapping is outputs by name; anything else is the output `return_value`, as Airflow has it."""
    if value is None:
        return None
    names = value.keys() if isinstance(value, dict) else ()
    if names and all(isinstance(name, str) and name.isidentifier() and name.isascii() for name in names):
        return value
    return {"return_value": value}


def run(options):
    function = find(options["call"])
    args = options.get("args", [])
    value = function(*args, **keywords(function, args, options.get("kwargs", {})))
    if hasattr(value, "__await__"):
        import asyncio

        value = asyncio.run(value)
    return outputs_of(value)
