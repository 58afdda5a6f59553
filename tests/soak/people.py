"""The load: who submits runs, and who cancels, retries, marks, follows and reads them meanwhile."""

import collections
import json
import random
import subprocess
import threading
import time
import uuid

LIVE_RUNS = 12    # so many at once
PATIENCE_S = 120  # no command takes longer

# Exit statuses that are an answer. 5: the master was away; 7: the state does not allow it; 1: a run's own end.
CHANGE, READ, FOLLOW = {0, 5, 7}, {0, 5}, {0, 1, 5, 124}


class Record:
    """What the people know. Every field is guarded by `lock`."""

    def __init__(self):
        self.lock = threading.Lock()
        self.runs = {}  # run: its kind's name
        self.touched = set()  # runs that somebody changed
        self.unanswered = collections.Counter()  # {dag: submits without an answer}
        self.commands = collections.Counter()
        self.wrong = []

    def complain(self, text):
        with self.lock:
            self.wrong.append(text)


class Person(threading.Thread):
    """Does one thing after another until told to stop; all choices come from its own dice."""

    def __init__(self, name, soak, seed):
        super().__init__(name=name, daemon=True)
        self.soak, self.record = soak, soak.record
        self.dice = random.Random(f"{seed}.{name}")
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            try:
                self.act()
            except subprocess.TimeoutExpired as late:
                self.record.complain(f"a command did not end within {PATIENCE_S} s: {' '.join(late.cmd)}")
            except Exception as error:  # a person that dies silently would make a soak without load
                self.record.complain(f"{self.name} failed: {type(error).__name__}: {error}")
                return

    def stop(self):
        self.stopping.set()

    def reeve(self, allowed, *arguments, **options):
        """A command that ends in one of the allowed ways, or is complained about."""
        result = self.soak.cluster.reeve(*arguments, seconds=PATIENCE_S, **options)
        with self.record.lock:
            self.record.commands[arguments[0]] += 1
        if result.status not in allowed:
            self.record.complain(f"reeve {' '.join(map(str, arguments))} ended {result.status}: {result.err.strip()}")
        return result

    def live(self):
        """Names of runs that have not ended; None when nobody answered."""
        names = []
        for state in ("running", "queued"):
            result = self.reeve(READ, "runs", "--state", state, "-n", "200", "-o", "json")
            if result.status != 0:
                return None
            names += [run["run"] for run in json.loads(result.out)]
        return names


class Submitter(Person):
    """Keeps LIVE_RUNS runs alive. Half of the submits have a key, and are asked again until they are answered."""

    def act(self):
        live = self.live()
        if live is None or len(live) >= LIVE_RUNS:
            self.stopping.wait(0.2)
            return
        kinds = sorted(self.soak.kinds)
        kind = self.dice.choices(kinds, [1 if self.soak.kinds[name].long else 4 for name in kinds])[0]
        if self.dice.random() < 0.5:
            self.submit_with_key(kind)
        else:
            self.submit(kind)

    def submit(self, kind):
        result = self.reeve(READ, "submit", self.soak.kinds[kind].file)
        if result.status == 0:
            self.remember(kind, result.out.strip())
        else:
            with self.record.lock:
                self.record.unanswered[kind] += 1

    def submit_with_key(self, kind):
        key = str(uuid.UUID(int=self.dice.getrandbits(128)))
        again, run = self.dice.random() < 0.2, None
        deadline = time.monotonic() + PATIENCE_S
        while run is None or again:
            result = self.reeve(READ, "submit", self.soak.kinds[kind].file, "--key", key)
            if result.status == 0:
                if run is not None:
                    again = False
                    if result.out.strip() != run:
                        self.record.complain(f"key {key} was {run} and then {result.out.strip()}")
                run = result.out.strip()
            elif time.monotonic() > deadline:
                self.record.complain(f"submit of {kind} by key had no answer in {PATIENCE_S} s")
                return
        self.remember(kind, run)

    def remember(self, kind, run):
        with self.record.lock:
            if run in self.record.runs:
                self.record.wrong.append(f"two submits were answered with {run}")
            self.record.runs[run] = kind


class Meddler(Person):
    """Changes and reads runs at random."""

    def act(self):
        self.stopping.wait(self.dice.random())
        actions = [self.cancel, self.cancel_task, self.retry, self.retry_task, self.mark, self.read, self.read, self.follow,
                   self.follow]
        with self.record.lock:
            runs = list(self.record.runs)
        if runs:
            self.dice.choice(actions)(runs)

    def change(self, run, *arguments):
        with self.record.lock:
            self.record.touched.add(run)
        self.reeve(CHANGE, *arguments)

    def recent(self, runs):
        return self.dice.choice(runs[-20:])

    def task_of(self, run):
        return f"{run}/{self.dice.choice(sorted(self.soak.kinds[run.partition('/')[0]].tasks))}"

    def cancel(self, runs):
        if self.dice.random() < 0.5:
            run = self.recent(runs)
            self.change(run, "cancel", run)

    def cancel_task(self, runs):
        run = self.recent(runs)
        self.change(run, "cancel", self.task_of(run))

    def retry(self, runs):
        result = self.reeve(READ, "runs", "--state", "failed", "-n", "20", "-o", "json")
        failed = [run["run"] for run in json.loads(result.out)] if result.status == 0 else []
        if failed:
            run = self.dice.choice(failed)
            self.change(run, "retry", run)

    def retry_task(self, runs):
        run = self.recent(runs)
        self.change(run, "retry", self.task_of(run), *(["--only"] if self.dice.random() < 0.3 else []))

    def mark(self, runs):
        run = self.recent(runs)
        self.change(run, "mark", self.task_of(run), self.dice.choice(["success", "skipped", "failed"]), "--note", "a note")

    def read(self, runs):
        run = self.recent(runs)
        self.reeve(READ, *self.dice.choice([
            ("status", run), ("status",), ("runs",), ("dags",), ("workers",), ("logs", run), ("logs", run, "--failed"),
            ("artifacts", run), ("status", self.task_of(run), "-o", "json")]))

    def follow(self, runs):
        run = self.recent(runs)
        self.reeve(FOLLOW, *self.dice.choice([("wait", run, "--timeout", "5s"), ("logs", run, "-f")]))
