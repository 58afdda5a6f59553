#!/usr/bin/env python3
"""A soak: random kills under load for minutes or hours; memory and descriptors stay flat, the ledger is exact.

    tests/soak/soak.py [--minutes M] [--seed S] [--workers N] [--keep]

A master and N workers run DAGs of every kind while people submit, cancel, retry, mark and read, and kill -9 hits the
programs. Then the faults stop, every run must end, a calm with the same load follows in which nothing may grow, and
at last all is held against the ledger that the tasks wrote (tests/system/ledger.py). Prints its seed, a line a minute
and a summary; ends 0 when nothing is wrong. The seed repeats the choices, not the machine's timing. Programs come
from $REEVE_BIN (default: build/dev/bin).
"""

import argparse
import collections
import pathlib
import random
import signal
import sys
import time
import traceback

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "system")]

import reeve  # noqa: E402  (found by the path above)

import faults  # noqa: E402
import gauges  # noqa: E402
import people  # noqa: E402
import verdict  # noqa: E402
import workload  # noqa: E402

END_WITHIN_S = 180  # of every run, when the faults have stopped
SPOOL_EMPTY_WITHIN_S = 30
CALM_MAX_S = 600  # the store's page cache fills slowly, up to 32 MiB, and is no leak
SHOWN_MAX = 40


class Soak:
    def __init__(self, options):
        self.options = options
        self.dice = random.Random(options.seed)
        self.cluster = reeve.Cluster()
        self.workers = [f"w{n + 1}" for n in range(options.workers)]
        self.ledger, locks, tries = (self.cluster.folder / name for name in ("ledger", "locks", "tries"))
        for folder in (locks, tries):
            folder.mkdir()
        author = workload.Author(self.cluster, self.dice, self.ledger, locks, tries)
        self.kinds = author.all()
        self.record = people.Record()
        self.gauges = gauges.Gauges()
        self.faults = faults.Faults(self, options.seed)
        self.instances = set()
        self.log_samples = int(60 * options.minutes)
        self.begun = self.said = time.monotonic()

    # ---- watching ----

    def say(self, text):
        print(f"{(time.monotonic() - self.begun) / 60:6.1f} min  {text}", flush=True)

    def watch(self, phase, seconds, until=lambda: False):
        """Samples, and says a line a minute, for so long or until the condition holds: then true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if until():
                return True
            self.sample(phase)
            if time.monotonic() - self.said >= 60:
                self.said += 60
                self.say(self.line(phase))
            time.sleep(min(1, max(0, deadline - time.monotonic())))
        return until()

    def sample(self, phase):
        """The faults' thread may end what is looked at: what is gone is left out."""
        processes = {name: process.pid for name, process in list(self.cluster.processes.items())}
        for name in self.workers:
            for pid in faults.runner_of(self.cluster, name):
                processes[f"{name}'s runner"] = pid
            sockets = (self.cluster.folder / name / "private").glob("runner-*.sock")
            self.instances |= {path.name[len("runner-"):-len(".sock")] for path in sockets}
        self.gauges.take(phase, processes)

    def line(self, phase):
        with self.record.lock:
            runs, wrong = len(self.record.runs), len(self.record.wrong)
        kills = self.faults.kills
        sizes = []
        for name in ["master", *self.workers]:
            latest = self.gauges.latest(name)
            if latest:
                sizes.append(f"{name} {latest.rss_kib / 1024:.1f} MiB {latest.fds} fds")
        return (f"{phase}: {runs} runs, kills: master {kills['master']} agents {kills['agent']} runners "
                f"{kills['runner']}, stops {kills['stop']}; {', '.join(sizes)}; {wrong} wrong")

    # ---- phases ----

    def live(self):
        return [run for state in ("running", "queued") for run in self.cluster.json("runs", "--state", state, "-n", "1000")]

    def start(self):
        self.cluster.start(workers=len(self.workers))
        first = [self.cluster.submit(kind.file) for kind in self.kinds.values()]
        with self.record.lock:
            self.record.runs.update((run, run.partition("/")[0]) for run in first)
        if not self.watch("first runs", END_WITHIN_S, lambda: not self.live()):
            self.record.complain("the first runs did not end, before any fault")
        self.watch("idle before", 5)

    def load(self, phase, seconds):
        persons = [people.Submitter("submitter", self, f"{self.options.seed}.{phase}"),
                   people.Meddler("meddler", self, f"{self.options.seed}.{phase}")]
        for person in persons:
            person.start()
        self.watch(phase, seconds)
        return persons

    def finish(self, phase, persons):
        """No more load; everything that is alive must end."""
        for person in persons:
            person.stop()
        for person in persons:
            person.join(people.PATIENCE_S + 30)
            if person.is_alive():
                self.record.complain(f"{person.name} does not end")
        begin = time.monotonic()
        if not self.watch(phase, END_WITHIN_S, lambda: not self.live()):
            self.record.complain(f"runs live {END_WITHIN_S} s after the {phase}: "
                                 + ", ".join(run["run"] for run in self.live()))
        self.say(f"all runs ended {time.monotonic() - begin:.1f} s after the {phase}")

    def torment(self, seconds):
        self.faults.start()
        persons = self.load("faults", seconds)
        self.faults.stop()
        self.faults.join(faults.LONG_S + 60)
        if self.faults.is_alive():
            self.record.complain("the faults do not end")
        self.cluster.wait_for_master()
        reeve.wait_until(lambda: self.cluster.workers_up() == set(self.workers), what="all workers up")
        self.finish("end of the faults", persons)

    def rest(self):
        """Nothing to do: spools and attempts' folders are empty, nothing of a dead runner is left."""
        if not self.watch("after", SPOOL_EMPTY_WITHIN_S, lambda: not verdict.left_of(self.cluster, self.workers)):
            left = verdict.left_of(self.cluster, self.workers)
            self.record.complain(f"idle workers keep {len(left)} files: {', '.join(left[:10])}")
        self.watch("idle after", 5)
        live = {path.name[len("runner-"):-len(".sock")]
                for path in self.cluster.folder.glob("*/private/runner-*.sock")}
        for instance in self.instances - live:
            for path in reeve.cgroups_of(instance):
                self.record.complain(f"a dead runner's cgroup is left: {path}")

    def end(self):
        for name in self.workers:
            self.cluster.stop_worker(name)
        if self.cluster.kill("master", signal.SIGTERM) != 0:
            self.record.complain(f"the master did not stop well:\n{self.cluster.log_of('master', 5)}")
        left = self.cluster.processes_left()
        if left:
            self.record.complain(f"processes are left: {left}")

    def run(self):
        seconds = self.options.minutes * 60
        calm = min(seconds * 0.3, CALM_MAX_S)
        self.start()
        self.torment(seconds - calm)
        persons = self.load("calm", calm)
        self.finish("end of the calm", persons)
        self.rest()
        wrong, statuses = verdict.check_all(self)
        self.record.wrong += wrong + self.gauges.wrong()
        self.end()
        return statuses


def summary(soak, statuses):
    attempts = collections.Counter(attempt["state"] for status in statuses for _, attempt in verdict.attempts_of(status))
    states = collections.Counter(status["state"] for status in statuses)
    print(f"runs: {len(statuses)} ({dict(states)}), {len(soak.record.touched)} of them touched by people")
    print(f"attempts: {sum(attempts.values())} ({dict(attempts)})")
    print(f"kills: {dict(soak.faults.kills)}; commands: {dict(soak.record.commands)}")
    for name in sorted({sample.name for sample in soak.gauges.samples}):
        parts = []
        for phase in ("idle before", "faults", "calm", "idle after"):
            mine = gauges.named(soak.gauges.samples, phase).get(name)
            if mine:
                parts.append(f"{phase} {mine[-1].rss_kib / 1024:.1f} MiB (most {max(s.rss_kib for s in mine) / 1024:.1f}), "
                             f"{mine[-1].fds} fds (most {max(s.fds for s in mine)})")
        print(f"{name}: {'; '.join(parts)}")


def conclude(soak, statuses):
    """Prints what came of it; the exit status."""
    summary(soak, statuses)
    wrong = soak.record.wrong
    for text in wrong[:SHOWN_MAX]:
        print(f"WRONG: {text}")
    if len(wrong) > SHOWN_MAX:
        print(f"… and {len(wrong) - SHOWN_MAX} more")
    print(f"seed {soak.options.seed}: {'%d wrong' % len(wrong) if wrong else 'nothing wrong'} in "
          f"{(time.monotonic() - soak.begun) / 60:.1f} min")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="keep the folder also when nothing is wrong")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    soak = Soak(options)
    status, statuses = 1, []
    try:
        print(f"folder {soak.cluster.folder}", flush=True)
        statuses = soak.run()
        status = conclude(soak, statuses)
    except Exception:
        soak.record.complain("the soak came to no end:\n" + traceback.format_exc(limit=-3))
        conclude(soak, statuses)
    finally:
        soak.faults.stop()
        if status != 0 or options.keep:
            soak.cluster.end_all()
            soak.cluster.remove_cgroups()
            print(f"kept: {soak.cluster.folder}")
        else:
            soak.cluster.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
