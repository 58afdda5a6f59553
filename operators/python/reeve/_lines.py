"""JSON as the worker speaks it, without the module `json`.

That one brings `re` and `enum`, 5 ms of every task's start. Its C part alone reads and writes the same; a Python that lacks
it, or has it in another shape, takes `json`. It is looked for here, at once: later a task's own folder may have a json.py.
"""


class _Reading:
    """What json.JSONDecoder is to the C part."""

    strict, object_hook, object_pairs_hook, parse_float, parse_int = True, None, None, float, int
    parse_constant = {name: float(name) for name in ("NaN", "Infinity", "-Infinity")}.__getitem__


def _refuse(value):
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _encoder():
    """As json.dumps(…, ensure_ascii=False, allow_nan=False) makes it; each with its own memory of circles."""
    return _json.make_encoder({}, _refuse, _json.encode_basestring, None, ": ", ", ", False, False, False)


try:
    import _json

    _scan = _json.make_scanner(_Reading)
    assert _scan('{"a": [1]}\n', 0)[0] == {"a": [1]} and "".join(_encoder()({"a": [1]}, 0)) == '{"a": [1]}'
except Exception:
    _json = None
    import json


def loads(line):
    """The value of a line, in bytes. The worker writes nothing else; what is none raises ValueError or StopIteration."""
    text = line.decode("utf-8", "surrogatepass")
    return _scan(text, 0)[0] if _json else json.loads(text)


def dumps(value):
    """TypeError or ValueError when JSON has no word for it."""
    return "".join(_encoder()(value, 0)) if _json else json.dumps(value, ensure_ascii=False, allow_nan=False)
