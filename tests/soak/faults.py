"""What dies: kill -9 of the master, of agents and now and then of a runner, at random times and for random times."""

import collections
import os
import pathlib
import random
import signal
import threading
import time

import reeve

PAUSES_S = (0, 0, 0.05, 0.3, 1, 3)  # how long a victim is away
LONG_S = 35                         # longer than the short lease and its margin
EXIT_RUNNER_DIED = 75


def runner_of(cluster, name):
    """The pids of the live runners of a worker."""
    wanted = f"{cluster.folder / name}/private".encode()
    found = []
    for pid in cluster.runners():
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if wanted in words:
            found.append(pid)
    return found


class Faults(threading.Thread):
    """The only thread that starts and ends programs. Also their supervisor: what ended is started again, and an end
    that nobody caused is complained about."""

    def __init__(self, soak, seed):
        super().__init__(name="faults", daemon=True)
        self.soak, self.cluster = soak, soak.cluster
        self.dice = random.Random(f"{seed}.faults")
        self.kills = collections.Counter()
        self.stopping = threading.Event()
        self.names = ["master", *soak.workers]
        self.said_before = {}  # {name: starts_said at its last start}

    def run(self):
        try:
            while not self.stopping.is_set():
                self.look_after(self.dice.expovariate(1 / 3))
                self.strike()
            self.start_what_is_away()
        except Exception as error:  # a soak without faults, or without a master, proves nothing
            self.soak.record.complain(f"the faults failed: {type(error).__name__}: {error}")

    def stop(self):
        """Ends with every program at work."""
        self.stopping.set()

    def starts_said(self, name):
        """How often a program has said that it is at work."""
        return self.cluster.log_of(name).count("leads with epoch" if name == "master" else "slots, runner")

    def start(self, name=None):
        if name is None:
            super().start()
            return
        self.said_before[name] = self.starts_said(name)
        if name == "master":
            self.cluster.start_master(wait=False)
        else:
            self.cluster.start_worker(name)

    def start_what_is_away(self):
        """Starts what ended by itself, which only an agent may whose runner was killed."""
        for name in self.names:
            status = self.cluster.processes[name].poll()
            if status is None:
                continue
            if status != EXIT_RUNNER_DIED or name == "master" or not self.kills["runner"]:
                self.soak.record.complain(f"{name} ended by itself with {status}:\n{self.cluster.log_of(name, 5)}")
            self.start(name)

    def look_after(self, seconds):
        deadline = time.monotonic() + seconds
        while True:
            self.start_what_is_away()
            if self.stopping.wait(min(0.1, max(0, deadline - time.monotonic()))) or time.monotonic() >= deadline:
                return

    def strike(self):
        if self.stopping.is_set():
            return
        if self.dice.random() < 0.12:
            self.kill_runner()
            return
        victims = self.dice.sample(self.names, self.dice.choice([1, 1, 1, 1, 2, len(self.names)]))
        gentle = self.dice.random() < 0.15
        for name in victims:
            number = signal.SIGTERM if gentle else signal.SIGKILL
            allowed = (0, EXIT_RUNNER_DIED) if gentle else (-signal.SIGKILL, EXIT_RUNNER_DIED)
            # One that is starting may not know SIGTERM yet.
            if self.starts_said(name) == self.said_before.get(name):
                allowed += (-number,)
            status = self.cluster.kill(name, number)
            if status not in allowed:
                self.soak.record.complain(f"{name} was to end and gave {status}:\n{self.cluster.log_of(name, 5)}")
            self.kills["stop" if gentle else "master" if name == "master" else "agent"] += 1
        if victims[0] != "master" and self.dice.random() < 0.04:
            self.kills["long"] += 1
            self.stopping.wait(LONG_S)
        else:
            self.stopping.wait(self.dice.choice(PAUSES_S))
        for name in victims:
            self.start(name)

    def kill_runner(self):
        """Sometimes with its agent: then the next agent ends what the runner left."""
        name = self.dice.choice(self.soak.workers)
        if self.dice.random() < 0.4:
            self.cluster.kill(name)
            self.kills["agent"] += 1
        for pid in runner_of(self.cluster, name):
            os.kill(pid, signal.SIGKILL)
        self.kills["runner"] += 1
        if self.cluster.processes[name].poll() is not None:
            self.start(name)
        else:
            process = self.cluster.processes[name]
            reeve.wait_until(lambda: process.poll() is not None, what=f"the end of {name}, whose runner died")
