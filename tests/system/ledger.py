"""The ledger: a file outside reeve to which tasks write what they did, and the checker that reads it.

Every task of a test appends one line at its start and one at its end, each with a single write to a file opened for
appending. So the order of the lines is the order of the events: what was before in the world is before in the file.

    start RUN TASK ATTEMPT EPOCH BOOT PID
    end   RUN TASK ATTEMPT EPOCH BOOT PID
    overlap RUN TASK ATTEMPT EPOCH BOOT PID

BOOT is CLOCK_BOOTTIME in seconds (/proc/uptime). An attempt with a lock (see `script`) that finds the lock of its task
taken writes `overlap`: processes of another attempt are alive, even if that one never wrote an end.

The checker knows only this file, the edges of the graph, and which attempts reeve itself calls lost.
"""

import collections
import shlex

Line = collections.namedtuple("Line", "position kind run task attempt epoch boot pid")


def script(path, body=":", locks=None):
    """A bash text that writes its start, runs the body, and writes its end. With `locks`, a folder, it holds a lock
    of its task for as long as any process of it lives."""
    quoted = shlex.quote(str(path))
    lines = [f'L() {{ read -r up _ </proc/uptime; '
             f'echo "$1 $REEVE_RUN_ID $REEVE_TASK $REEVE_ATTEMPT $REEVE_EPOCH $up $$" >>{quoted}; }}']
    if locks:
        lock = shlex.quote(str(locks)) + '/"${REEVE_RUN_ID//\\//_}.$REEVE_TASK"'
        lines += [f"exec 9>>{lock}", "flock -n 9 || L overlap"]
    return "\n".join(lines + ["L start", body, "L end"]) + "\n"


def until(gate):
    """Bash that waits for a file to be there, and starts no process for it."""
    return f"until [ -e {gate} ]; do read -rt 0.05 <> <(:) || :; done"


def lines_in(path):
    """How much has happened so far."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def read(path):
    """The lines of a ledger; a line that is torn or unknown is an error of the test's own machinery."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text and not text.endswith("\n"):
        raise ValueError(f"{path}: the last line is torn: {text.splitlines()[-1]!r}")
    lines = []
    for position, line in enumerate(text.splitlines()):
        words = line.split(" ")
        if len(words) != 7 or words[0] not in ("start", "end", "overlap"):
            raise ValueError(f"{path}:{position + 1}: not a ledger's line: {line!r}")
        kind, run, task, attempt, epoch, boot, pid = words
        lines.append(Line(position, kind, run, task, int(attempt), int(epoch), float(boot), int(pid)))
    return lines


def check(lines, expected=(), lost=(), parents=None):
    """All that is wrong, as texts; an empty list: nothing.

    expected: (run, task) that must have ended exactly once. lost: (run, task, attempt) that reeve shows as lost: they
    may lack an end. parents: {task: [tasks]} of every run in the ledger; tasks that write nothing pass their parents'
    order on.
    """
    tasks = collections.defaultdict(list)
    for line in lines:
        tasks[line.run, line.task].append(line)
    wrong = []
    for key, mine in tasks.items():
        wrong += _attempts_wrong(key, mine, set(lost))
        wrong += _clocks_wrong(key, mine)
    for key in expected:
        ends = sum(line.kind == "end" for line in tasks.get(tuple(key), ()))
        if ends == 0:
            wrong.append(f"{key[0]}/{key[1]} is lost: it never ended")
        elif ends > 1:
            wrong.append(f"{key[0]}/{key[1]} ended {ends} times")
    if parents is not None:
        for run in sorted({line.run for line in lines}):
            wrong += _order_wrong(run, tasks, parents)
    return wrong


def _attempts_wrong(key, lines, lost):
    """No attempt twice, attempts in rising order, none beside another."""
    name, wrong = "/".join(key), []
    started, ended, alive, highest = set(), set(), None, 0
    for line in lines:
        attempt = line.attempt
        if line.kind == "overlap":
            wrong.append(f"{name}@{attempt} found processes of another attempt alive")
        elif line.kind == "start":
            if attempt in started:
                wrong.append(f"{name}@{attempt} started twice")
            elif attempt < highest:
                wrong.append(f"{name}@{attempt} started after @{highest}")
            if alive is not None and alive != attempt and (*key, alive) not in lost:
                wrong.append(f"{name}@{attempt} started while @{alive} had not ended")
            started.add(attempt)
            alive, highest = attempt, max(highest, attempt)
        else:
            if attempt not in started:
                wrong.append(f"{name}@{attempt} ended and never started")
            if attempt in ended:
                wrong.append(f"{name}@{attempt} ended twice")
            if alive is not None and alive != attempt:
                wrong.append(f"{name}@{attempt} ended while @{alive} was at work")
            ended.add(attempt)
            alive = None
    for attempt in sorted(started - ended):
        if (*key, attempt) not in lost and attempt != highest:
            wrong.append(f"{name}@{attempt} has no end, and is not shown as lost")
    return wrong


def _clocks_wrong(key, lines):
    """Times and epochs never run back along a task's lines."""
    for before, after in zip(lines, lines[1:]):
        if after.boot < before.boot:
            return [f"{'/'.join(key)}: time runs back from {before.boot} to {after.boot}"]
        if after.epoch < before.epoch and after.kind == "start":
            return [f"{'/'.join(key)}: epoch falls from {before.epoch} to {after.epoch}"]
    return []


def _order_wrong(run, tasks, parents):
    """Each task starts after the last end of all that is above it, by place in the ledger and by time."""
    wrong, done = [], {}
    for task in _parents_first(parents):
        above, boot, last = max((done.get(p, (-1, -1.0, None)) for p in parents.get(task, ())), default=(-1, -1.0, None))
        mine = tasks.get((run, task), ())
        for line in mine:
            if line.kind == "start" and (line.position < above or line.boot < boot):
                wrong.append(f"{run}/{task}@{line.attempt} started before {last} above it ended")
        ends = [(line.position, line.boot, task) for line in mine if line.kind == "end"]
        starts = [line for line in mine if line.kind == "start"]
        if starts and not ends and any(task in parents.get(below, ()) and tasks.get((run, below)) for below in parents):
            wrong.append(f"{run}/{task} never ended, and tasks below it started")
        done[task] = max(ends, default=(above, boot, last))
    return wrong


def _parents_first(parents):
    """The tasks, each after all that is above it."""
    state, order = {}, []
    for root in parents:
        stack = [(root, iter(parents.get(root, ())))]
        state.setdefault(root, "open")
        while stack:
            task, rest = stack[-1]
            below = next((p for p in rest if p not in state), None)
            if below is not None:
                state[below] = "open"
                stack.append((below, iter(parents.get(below, ()))))
            else:
                stack.pop()
                if state[task] != "done":
                    state[task] = "done"
                    order.append(task)
    return order
