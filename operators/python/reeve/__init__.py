"""What a task's Python may ask of reeve: connections, the context, outputs.

    import reeve
    with reeve.connection("warehouse").psycopg() as db: ...
    reeve.output("rows", 1200)
    day = reeve.context()["ds"]

Works in the `python` operator, and in a Python that a bash or exec task starts. Pure Python, needs nothing else.
"""

import os

from reeve import _lines

__all__ = ["Connection", "Fail", "NoConnection", "Skip", "connection", "context", "output"]

_task = None  # what the operator was given; None: a bash or exec task


class Skip(Exception):
    """Raised by a task: it ends as skipped."""


class Fail(Exception):
    """Raised by a task: it fails, and its retries are not used, for another try cannot help."""


class NoConnection(KeyError):
    """The task does not name that connection."""

    def __str__(self):
        return self.args[0]


class Connection:
    """One of the task's connections. A part that is not set is None; `extra` is a dict."""

    def __init__(self, parts):
        self.id, self.type = parts.get("id"), parts.get("type")
        self.host, self.port, self.schema = parts.get("host"), parts.get("port"), parts.get("schema")
        self.login, self.password = parts.get("login"), parts.get("password")
        self.extra = parts.get("extra") or {}

    def __repr__(self):
        return f"<reeve.Connection {self.id}: {self.type} {self.host}:{self.port}/{self.schema}>"

    def psycopg(self, **options):
        """A psycopg connection (version 3); `options` as psycopg.connect takes them."""
        import psycopg

        parts = {"host": self.host, "port": self.port, "dbname": self.schema, "user": self.login,
                 "password": self.password, **self.extra, **options}
        return psycopg.connect(**{name: value for name, value in parts.items() if value is not None})


def connection(name):
    """The connection of that id, which the task names under `connection` or `connections`."""
    if _task is not None:
        known = _task.get("connections", {})
        if name in known:
            return Connection({"id": name, **known[name]})
        raise NoConnection(_missing(name, known))
    folder = os.environ.get("REEVE_CONNECTIONS", "")
    known = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    if name not in known or not os.path.isdir(os.path.join(folder, name)):
        raise NoConnection(_missing(name, known))
    return Connection(_from_files(name, os.path.join(folder, name)))


def _missing(name, known):
    names = ", ".join(known) or "none"
    return f"this task has no connection {name!r}; it names {names}. Add `connection: {name}` to the task"


def _from_files(name, folder):
    parts = {"id": name}
    for part in ("type", "host", "port", "schema", "login", "password", "extra", "uri"):
        try:
            with open(os.path.join(folder, part), encoding="utf-8") as file:
                parts[part] = file.read()
        except FileNotFoundError:
            continue
    if "port" in parts:
        parts["port"] = int(parts["port"])
    if "extra" in parts:
        import json

        parts["extra"] = json.loads(parts["extra"] or "{}")
    if "type" not in parts and "uri" in parts:
        parts["type"] = parts["uri"].partition(":")[0]
    return parts


def context():
    """What templates know, as a dict: run_id, dag, task, attempt, ds, ts, params, …; dates as datetime."""
    return _known()


def _known(wanted=None):
    """The context, or of it what is wanted: a date costs a task the import of datetime."""
    values = dict(_task["context"]) if _task is not None else _from_environment()
    values["ti"] = values["task_instance"] = _TaskInstance(values)
    if wanted is not None:
        values = {name: values[name] for name in wanted if name in values}
    for name in ("logical_date", "data_interval_start", "data_interval_end"):
        if isinstance(values.get(name), str):
            values[name] = _date(values[name])
    return values


def _date(text):
    from datetime import datetime

    return datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)


def _from_environment():
    names = {"run_id": "RUN_ID", "dag": "DAG", "task": "TASK", "ds": "DS", "logical_date": "LOGICAL_DATE"}
    values = {name: os.environ.get("REEVE_" + variable) for name, variable in names.items()}
    values["attempt"] = int(os.environ.get("REEVE_ATTEMPT", "1"))
    values["params"] = {name[len("REEVE_PARAM_"):]: value for name, value in os.environ.items()
                        if name.startswith("REEVE_PARAM_")}
    return values


class _TaskInstance:
    """What Airflow's users know as `ti`."""

    def __init__(self, values):
        self.dag_id, self.task_id, self.run_id = values.get("dag"), values.get("task"), values.get("run_id")
        self.try_number = values.get("attempt")

    def xcom_push(self, key, value):
        output(key, value)

    def xcom_pull(self, *_args, **_kwargs):
        raise Fail("a task is given the outputs of others by name: kwargs: {rows: \"{{ outputs.TASK.rows }}\"}")


def output(name, *value):
    """Values for the tasks below: output("rows", 12) or output({"rows": 12}). They count if the task succeeds."""
    values = {name: value[0]} if value else dict(name)
    for key in values:
        if not isinstance(key, str) or not key.isidentifier() or not key.isascii():
            raise ValueError(f"an output's name is letters, digits and _, not {key!r}")
    if _task is not None:
        _say({"type": "output", "outputs": values})
        return
    path = os.environ.get("REEVE_OUTPUT")
    if not path:
        raise RuntimeError("this is no task of reeve: REEVE_OUTPUT is not set")
    import json

    known = {}
    if os.path.exists(path) and os.path.getsize(path) > 0:
        with open(path, encoding="utf-8") as file:
            known = json.load(file)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump({**known, **values}, file, allow_nan=False)
    os.replace(path + ".new", path)


def _say(message):
    """One line to the worker, in one write where the socket takes it."""
    line = _lines.dumps(message).encode() + b"\n"
    if len(line) > 131072:
        raise ValueError(f"{message['type']}: {len(line)} bytes are too many; put large data into a file")
    while line:
        line = line[os.write(3, line):]
