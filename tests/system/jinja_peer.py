"""Jinja's side of test_template_oracle.py: as tests/oracle/oracle_template.c, a line of JSON in, a line of JSON out.

The filters on dates and ds_add are written here again, by Python's calendar, as Airflow defines them.
"""

import datetime
import json
import sys

import jinja2

NEVER = "\0%d"  # statements and comments do not exist


def compact(value):
    if isinstance(value, jinja2.Undefined):
        str(value)  # raises
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def shown(value):
    """How a value stands in a text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else compact(value)


def moment(text):
    return datetime.datetime.fromisoformat(text)


def iso(text):
    if len(text) == 10:
        return text + "T00:00:00"
    return moment(text).isoformat(timespec="milliseconds" if moment(text).microsecond else "seconds")


def ds_add(text, days):
    return (moment(text).date() + datetime.timedelta(days=days)).isoformat()


class Environment(jinja2.Environment):
    """`params.items` is the member of that name, and no method of Python's."""

    def getattr(self, obj, attribute):
        return self.getitem(obj, attribute)

    def getitem(self, obj, argument):
        try:
            return obj[argument]
        except (LookupError, TypeError):
            return self.undefined(obj=obj, name=argument)


environment = Environment(
    undefined=jinja2.StrictUndefined, finalize=shown, keep_trailing_newline=True, autoescape=False,
    block_start_string=NEVER % 1, block_end_string=NEVER % 2, comment_start_string=NEVER % 3,
    comment_end_string=NEVER % 4)
environment.filters.clear()
environment.globals.clear()
environment.filters.update(
    tojson=compact,
    ds=lambda text: moment(text).strftime("%Y-%m-%d"),
    ds_nodash=lambda text: moment(text).strftime("%Y%m%d"),
    ts=iso,
    ts_nodash=lambda text: moment(text).strftime("%Y%m%dT%H%M%S"),
    ts_nodash_with_tz=lambda text: moment(text).strftime("%Y%m%dT%H%M%S%z"))


def is_single(text):
    """Whether the text is one {{ }} and nothing else: then the value keeps its type."""
    tokens = [kind for _, kind, _ in environment.lex(text)]
    return tokens[0] == "variable_begin" and tokens[-1] == "variable_end" and tokens.count("variable_begin") == 1


def render(wish):
    scope = {**wish["values"], "ds_add": ds_add, **{name: wish[name] for name in ("params", "outputs", "artifacts")}}
    text = wish["text"]
    try:
        template = environment.from_string(text)
        if not text or not is_single(text):
            return {"value": template.render(scope)}
        kept = environment.compile_expression(text.strip()[2:-2], undefined_to_none=False)(scope)
        if isinstance(kept, jinja2.Undefined):
            return {"error": "absent"}
        return {"value": kept}
    except jinja2.UndefinedError:
        return {"error": "absent"}
    except Exception as error:  # of whatever kind: Jinja does not render it
        return {"error": "invalid", "text": str(error)}


for line in sys.stdin:
    print(json.dumps(render(json.loads(line))))
