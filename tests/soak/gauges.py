"""Memory and descriptors of the programs, and whether they grow. Memory is the resident set: the proportional one falls
and rises with whatever else on the machine maps the same libraries.

Like is compared with like: a process that was killed starts small again, so over the faults the *incarnations* of a
program are compared with each other, and in the calm at the end one incarnation with itself.
"""

import collections
import os
import pathlib
import statistics
import time

# rss_kib: resident memory. fds: open descriptors, by descriptors_of. phase: of the soak.
Sample = collections.namedtuple("Sample", "at phase name pid age rss_kib fds")

PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024
MATURE_S = 3          # before that age a process still starts
RSS_SLACK_KIB = 3072  # noise of allocators; a leak passes any slack in time
RSS_FACTOR = 1.25
FDS_SLACK = 6
KEPT_LOGS_FDS = 128   # the master leaves 64 logs open (OPEN_LOGS_MAX), each with its index or not yet
BUSY_LEAST = 8        # so many values on either side before the most of one says something about work, not chance


def descriptors_of(links):
    """How many of them count. The logs that the master leaves open are a store of a fixed size, which is as full as
    chance has it: only what is beyond that counts."""
    kept = sum("/logs/" in link and link.endswith((".log", ".idx")) for link in links)
    return len(links) - min(kept, KEPT_LOGS_FDS)


def links_of(folder):
    """What the descriptors in that folder of /proc are; one may be closed meanwhile."""
    links = []
    for entry in os.listdir(folder):
        try:
            links.append(os.readlink(folder / entry))
        except FileNotFoundError:
            continue
    return links


def read(name, pid, phase, born):
    """A sample of a live process; None when it is gone."""
    proc = pathlib.Path(f"/proc/{pid}")
    try:
        rss = int((proc / "statm").read_text().split()[1]) * PAGE_KIB
        fds = descriptors_of(links_of(proc / "fd"))
    except OSError:
        return None
    now = time.monotonic()
    return Sample(now, phase, name, pid, now - born, rss, fds)


class Gauges:
    """Collects samples of processes that are named to it."""

    def __init__(self):
        self.samples = []
        self._born = {}

    def take(self, phase, processes):
        """processes: {name: pid}"""
        for name, pid in processes.items():
            born = self._born.setdefault((name, pid), time.monotonic())
            sample = read(name, pid, phase, born)
            if sample is not None:
                self.samples.append(sample)

    def latest(self, name):
        return next((sample for sample in reversed(self.samples) if sample.name == name), None)

    def wrong(self):
        return calm_wrong(self.samples) + incarnations_wrong(self.samples) + idle_wrong(self.samples)


def thirds(items):
    """The first and the last third; None when there are too few."""
    size = len(items) // 3
    return (items[:size], items[-size:]) if size >= 3 else None


def memory_grown(name, what, early, late):
    """A text when memory grew from one list of samples to a later one, by the median."""
    rss = [statistics.median(sample.rss_kib for sample in part) for part in (early, late)]
    if rss[1] > rss[0] * RSS_FACTOR and rss[1] > rss[0] + RSS_SLACK_KIB:
        return [f"memory of {name} grew {what}: from {rss[0]:.0f} to {rss[1]:.0f} KiB"]
    return []


def descriptors_grown(name, what, early, late, least=BUSY_LEAST):
    """The same for descriptors, by the most: there are as many as there is work at the moment. A short soak has too few
    values for that; the idle times before and after need none."""
    fds = [max(sample.fds for sample in part) for part in (early, late)]
    if fds[1] > fds[0] + FDS_SLACK and min(len(early), len(late)) >= least:
        return [f"descriptors of {name} grew {what}: from {fds[0]} to {fds[1]}"]
    return []


def grown(name, what, early, late):
    return memory_grown(name, what, early, late) + descriptors_grown(name, what, early, late)


def named(samples, phase):
    """{name: samples of that phase, in order}"""
    found = collections.defaultdict(list)
    for sample in samples:
        if sample.phase == phase:
            found[sample.name].append(sample)
    return found


def calm_wrong(samples):
    """Under even load and without faults nothing grows."""
    wrong = []
    for name, mine in named(samples, "calm").items():
        parts = thirds(mine)
        if parts and mine[0].pid == mine[-1].pid:
            wrong += grown(name, "in the calm", *parts)
        elif mine[0].pid != mine[-1].pid:
            wrong.append(f"{name} was started again in the calm")
    return wrong


def incarnations_wrong(samples):
    """While faults go on, later incarnations are no larger than earlier ones of the same age."""
    wrong = []
    for name, mine in named(samples, "faults").items():
        most = {}
        for sample in mine:
            if sample.age >= MATURE_S:
                known = most.get(sample.pid, sample)
                most[sample.pid] = sample._replace(rss_kib=max(sample.rss_kib, known.rss_kib), fds=max(sample.fds, known.fds))
        parts = thirds(list(most.values()))
        if parts:
            wrong += grown(name, "from restart to restart", *parts)
    return wrong


def idle_wrong(samples):
    """With nothing to do at the end as many descriptors are open as with nothing to do at the start."""
    wrong, before = [], named(samples, "idle before")
    for name, after in named(samples, "idle after").items():
        if before.get(name):
            wrong += descriptors_grown(name, "from idle to idle", before[name][-3:], after[-3:], least=1)
    return wrong
