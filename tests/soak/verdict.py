"""The end of a soak: what the ledger, reeve's own record and the folders say, held against each other."""

import collections
import json

import ledger

RUN_ENDS = {"success", "failed", "cancelled"}
TASK_ENDS = RUN_ENDS | {"skipped", "upstream_failed"}
ATTEMPT_ENDS = {"success", "failed", "skipped", "cancelled", "lost"}
# Attempts that may lack a line `end`: they were killed.
KILLED_REASONS = {"timeout"}
SPARES_MAX = 64  # WORK_SPARES_MAX


def runs_of(cluster, dags):
    """{run: its line of `reeve runs`}, all of them; at most 10,000 a DAG."""
    return {run["run"]: run for dag in dags for run in cluster.json("runs", dag, "-n", "10000")}


def check_submits(record, runs):
    """Every acknowledged submit is there; beyond them there are no more than had no answer."""
    wrong = [f"{run} was acknowledged and is not there" for run in record.runs if run not in runs]
    more = collections.Counter(run["dag"] for name, run in runs.items() if name not in record.runs)
    for dag, count in more.items():
        if count > record.unanswered[dag]:
            wrong.append(f"{count} runs of {dag} that nobody submitted, {record.unanswered[dag]} had no answer")
    return wrong


def attempts_of(status):
    return [(task["task"], attempt) for task in status["tasks"] for attempt in task["attempts"]]


def check_run(kind, status, untouched):
    """One run by its own `status`: all is over, and, when nobody touched it, as its kind ends."""
    run, wrong = status["run"], []
    if status["state"] not in RUN_ENDS:
        return [f"{run} has not ended: {status['state']}"]
    for task in status["tasks"]:
        if task["state"] not in TASK_ENDS:
            wrong.append(f"{run}/{task['task']} is {task['state']} in a run that has ended")
        elif untouched and task["state"] != kind.tasks[task["task"]]:
            wrong.append(f"{run}/{task['task']} ended {task['state']}, not {kind.tasks[task['task']]}: {task['error']}")
    for task, attempt in attempts_of(status):
        if attempt["state"] not in ATTEMPT_ENDS:
            wrong.append(f"{run}/{task}@{attempt['attempt']} is {attempt['state']} in a run that has ended")
    if untouched and status["state"] != kind.ends:
        wrong.append(f"{run} ended {status['state']}, not {kind.ends}")
    if {task["task"] for task in status["tasks"]} != set(kind.tasks):
        wrong.append(f"{run} has other tasks than its file")
    return wrong


def check_attempts(kind, status, lines):
    """The ledger's lines of one run against reeve's attempts: whatever has an end by its own doing wrote both lines
    once, and nothing wrote that reeve does not know."""
    run, wrong = status["run"], []
    wrote = collections.Counter((line.task, line.attempt, line.kind) for line in lines)
    known = {(task, attempt["attempt"]) for task, attempt in attempts_of(status)}
    wrong += [f"{run}/{task}@{number} wrote, and reeve knows no such attempt"
              for task, number in {(task, number) for task, number, _ in wrote} - known]
    for task, attempt in attempts_of(status):
        number, state = attempt["attempt"], attempt["state"]
        if task not in kind.writes or state in ("lost", "cancelled") or attempt["reason"] in KILLED_REASONS:
            continue
        for line in ("start", "end"):
            if wrote[task, number, line] != 1:
                wrong.append(f"{run}/{task}@{number} is {state} and has {wrote[task, number, line]} lines {line!r}")
    return wrong


def check_ledger(kind, statuses, lines, untouched):
    """The checker of the ledger over all runs of one kind."""
    killed = [(status["run"], task, attempt["attempt"]) for status in statuses for task, attempt in attempts_of(status)
              if attempt["state"] in ("lost", "cancelled") or attempt["reason"] in KILLED_REASONS]
    plain = [line for line in lines if line.run in untouched]
    # After a retry a task may end later than what is below it had begun: the order holds for untouched runs.
    return (ledger.check([line for line in lines if line.run not in untouched], lost=killed)
            + ledger.check(plain, lost=killed, parents=kind.parents))


def check_log(cluster, kind, run, task, number):
    """The log of an attempt that succeeded is whole."""
    log = cluster.ok("logs", f"{run}/{task}@{number}", seconds=120)
    lines = log.splitlines()
    if kind.said[task] is not None and len(lines) != kind.said[task]:
        return [f"the log of {run}/{task}@{number} has {len(lines)} lines, not {kind.said[task]}"]
    if not lines or lines[0] != f"hello {task}@{number}" or lines[-1] != f"bye {task}@{number}":
        return [f"the log of {run}/{task}@{number} lacks its first or last line"]
    return []


def check_logs(cluster, kinds, statuses, dice, count):
    """A sample of the logs."""
    whole = [(status, task, attempt["attempt"]) for status in statuses for task, attempt in attempts_of(status)
             if attempt["state"] == "success" and task in kinds[status["dag"]].writes]
    wrong = []
    for status, task, number in dice.sample(whole, min(count, len(whole))):
        wrong += check_log(cluster, kinds[status["dag"]], status["run"], task, number)
    return wrong


def left_of(cluster, workers):
    """Paths that a worker with nothing to do should not have. It may keep empty attempts' folders for later ones."""
    left = []
    for name in workers:
        data = cluster.folder / name
        spares = list((data / "work").glob("*"))
        found = [path for spare in spares for path in (*spare.iterdir(), *spare.glob("files/*")) if path.name != "files"]
        found += (data / "private/spool").glob("*")
        found += spares[SPARES_MAX:]
        left += [str(path.relative_to(cluster.folder)) for path in found]
    return left


def check_all(soak):
    """Everything, once all runs have ended: (texts, statuses)."""
    record, kinds = soak.record, soak.kinds
    runs = runs_of(soak.cluster, kinds)
    wrong, statuses = check_submits(record, runs), []
    for run in runs:
        shown = soak.cluster.reeve("status", run, "-o", "json", seconds=120)
        if shown.status == 0:
            statuses.append(json.loads(shown.out))
        else:
            wrong.append(f"{run} cannot be shown: {shown.err.strip()}")
    lines = ledger.read(soak.ledger) if soak.ledger.exists() else []
    by_run, by_dag = collections.defaultdict(list), collections.defaultdict(list)
    for line in lines:
        by_run[line.run].append(line)
        by_dag[line.run.partition("/")[0]].append(line)
    untouched = set(runs) - record.touched
    wrong += [f"{run} wrote, and reeve knows no such run" for run in by_run if run not in runs]
    for status in statuses:
        kind = kinds[status["dag"]]
        wrong += check_run(kind, status, status["run"] in untouched)
        wrong += check_attempts(kind, status, by_run[status["run"]])
    for name, kind in kinds.items():
        wrong += check_ledger(kind, [status for status in statuses if status["dag"] == name], by_dag[name], untouched)
    wrong += check_logs(soak.cluster, kinds, statuses, soak.dice, soak.log_samples)
    return wrong, statuses
