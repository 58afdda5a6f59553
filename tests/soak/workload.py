"""What the soak submits: DAGs of every kind that this version runs, and how each run of them must end.

A kind that nobody touched (no cancel, retry or mark) must end as `ends` says, whatever was killed meanwhile: a lost
worker costs no try. Tasks that fail fail by their own doing, after their line `end` in the ledger.
"""

import collections
import shlex

import ledger

# ends: the run's end. tasks: {task: its end}. parents: {task: [tasks]}. writes: tasks that write the ledger.
# said: {task: how many lines its log has, or None: unknown}. long: takes many seconds.
Kind = collections.namedtuple("Kind", "name file ends tasks parents writes said long")

SHORT = {"lease": "20s", "kill_grace": "1s"}  # so that leases run out within a soak
RETRY = {"retries": 5, "retry_delay": "500ms"}


class Author:
    """Writes DAGs whose tasks keep the ledger at `path`, and locks in the folder `locks`."""

    def __init__(self, cluster, dice, path, locks, tries):
        self.cluster, self.dice = cluster, dice
        self.path, self.locks, self.tries = path, locks, tries

    def script(self, body=":", after=""):
        """Writes the ledger and two lines of log; what is in `after` runs when the end is in the ledger."""
        said = 'echo "hello $REEVE_TASK@$REEVE_ATTEMPT"'
        return said + "\n" + ledger.script(self.path, body, self.locks) + 'echo "bye $REEVE_TASK@$REEVE_ATTEMPT"\n' + after

    def write(self, name, tasks, ends="success", special=None, **more):
        """A Kind of tasks as they stand in the file. special: {task: end}, where it is not success."""
        more.setdefault("default_args", {"max_losses": "none"})  # it is the soak that takes the workers down
        files, said, is_long = more.pop("files", {}), more.pop("said", {}), more.pop("is_long", False)
        parents = {task: keys.get("needs", []) for task, keys in tasks.items()}
        writes = {task for task, keys in tasks.items() if "noop" not in keys}
        file = self.cluster.dag(name, tasks, files=files, **more)
        return Kind(name, file, ends, {task: "success" for task in tasks} | (special or {}), parents, writes,
                    {task: 2 for task in writes} | said, is_long)

    # ---- the kinds ----

    def layers(self):
        """40 tasks in a random graph, most of them short."""
        tasks = {}
        for index in range(40):
            above = range(max(0, index - 12), max(0, index - 3))
            needs = sorted(self.dice.sample(above, min(len(above), self.dice.randrange(4))))
            body = f"sleep {self.dice.choice(['0.05', '0.2', '0.6'])}" if self.dice.random() < 0.3 else ":"
            tasks[f"t{index:02}"] = {"bash": self.script(body), "needs": [f"t{n:02}" for n in needs],
                                     "priority_weight": self.dice.randrange(1, 9), **SHORT}
        return self.write("layers", tasks, max_active_tasks=20)

    def noops(self):
        """A ladder of no-ops with a script here and there."""
        tasks = {}
        for index in range(200):
            needs = [f"n{n:03}" for n in {max(0, index - 2), max(0, index - 1)} if index]
            work = {"bash": self.script()} if index % 50 == 49 else {"noop": None}
            tasks[f"n{index:03}"] = {**work, "needs": needs}
        return self.write("noops", tasks)

    def unsteady(self):
        """Fails twice, however many workers are lost between, and then succeeds."""
        count = shlex.quote(str(self.tries)) + '/"${REEVE_RUN_ID//\\//_}.$REEVE_TASK"'
        fails_twice = f"[ $(wc -l <{count}) -gt 2 ] || exit 3\n"
        first = {"bash": self.script(f"echo >>{count}", fails_twice), **RETRY, **SHORT}
        tasks = {"first": first, "second": {**first, "needs": ["first"], "retry_exponential_backoff": True},
                 "last": {"bash": self.script(), "needs": ["second"]}}
        return self.write("unsteady", tasks, said={"first": None, "second": None})

    def failing(self):
        """A task that fails for good, what follows from it, and one that is skipped."""
        tasks = {
            "good": {"bash": self.script("sleep 0.1")},
            "bad": {"bash": self.script("sleep 0.1", "exit 7\n"), "needs": ["good"], "retries": 1,
                    "retry_delay": "1s", **SHORT},
            "left": {"bash": self.script(), "needs": ["bad"]},
            "skip": {"bash": self.script(after="exit 99\n"), "needs": ["good"]},
            "clean": {"bash": self.script(), "needs": ["bad", "left", "skip"], "trigger_rule": "all_done"},
            "alarm": {"bash": self.script(), "needs": ["bad"], "trigger_rule": "one_failed"}}
        return self.write("failing", tasks, "failed", {"bad": "failed", "left": "upstream_failed", "skip": "skipped"})

    def data(self):
        """Artifacts and outputs go down a diamond and are counted there."""
        make = ('head -c 300000 /dev/urandom >big.bin; sum=$(sha256sum <big.bin); mkdir -p parts; '
                'for n in 1 2 3; do echo $n >parts/$n.txt; done; printf "sum=%s\\nrows=3\\n" "$sum" >"$REEVE_OUTPUT"')
        check = ('[ "$(sha256sum <"$REEVE_ARTIFACTS/make/big.bin")" = "$SUM" ]; '
                 '[ "$(cat "$REEVE_ARTIFACTS"/make/parts/*.txt | wc -l)" = "$ROWS" ]; '
                 'echo "{\\"ok\\": $ROWS}" >"$REEVE_OUTPUT"')
        env = {"SUM": "{{ outputs.make.sum }}", "ROWS": "{{ outputs.make.rows }}"}
        tasks = {"make": {"bash": self.script(make), "artifacts": ["big.bin", "parts/*.txt"], **SHORT},
                 "left": {"bash": self.script(check), "env": env, "needs": ["make"], **SHORT},
                 "right": {"bash": self.script(check), "env": env, "needs": ["make"], **SHORT},
                 "join": {"bash": self.script('[ "$L$R" = 33 ]'), "needs": ["left", "right"],
                          "env": {"L": "{{ outputs.left.ok }}", "R": "{{ outputs.right.ok }}"}}}
        return self.write("data", tasks)

    def programs(self):
        """exec of a file that travels with the run, with params as its arguments."""
        program = "#!/bin/bash\nset -e\n" + self.script('[ "$1" = "a b" ]; sleep "$2"')
        tasks = {f"p{n}": {"exec": ["./work.sh", "{{ params.word }}", f"0.{n}"], "needs": [f"p{n - 1}"] if n else [],
                           **SHORT} for n in range(4)}
        return self.write("programs", tasks, files={"work.sh": program}, params={"word": "a b"})

    def slow(self):
        """Tasks that are at work when something dies; one ignores SIGTERM, one is ended by its timeout."""
        tasks = {f"s{n}": {"bash": self.script(f"sleep {n + 1}"), **SHORT} for n in range(5)}
        tasks["deaf"] = {"bash": self.script("trap '' TERM; sleep 4"), **SHORT}
        tasks["late"] = {"bash": self.script("trap 'L end; exit 1' TERM; sleep 300 & wait"), "execution_timeout": "3s", "allow_failure": True, **SHORT}
        tasks["end"] = {"bash": self.script(), "needs": sorted(tasks), "trigger_rule": "all_done"}
        return self.write("slow", tasks, "success", {"late": "failed"}, said={"late": None}, is_long=True)

    def loud(self):
        """Logs of a few MB that must arrive whole, and one of which the middle is cut."""
        lines = 'seq -f "line %.0f of a log that is to arrive whole" 1 40000'
        tasks = {"whole": {"bash": self.script(lines), **SHORT},
                 "slowly": {"bash": self.script("for n in {1..300}; do echo line $n; sleep 0.01; done"), **SHORT},
                 "cut": {"bash": self.script(lines), "log_limit": "256KiB", **SHORT}}
        return self.write("loud", tasks, said={"whole": 40002, "slowly": 302, "cut": None})

    def all(self):
        kinds = (self.layers, self.noops, self.unsteady, self.failing, self.data, self.programs, self.slow, self.loud)
        return {kind.name: kind for kind in (make() for make in kinds)}
