#!/usr/bin/env python3
"""What a fleet on other hosts costs, over TCP with CURVE on the loopback: fleet.py [NAME…]

A table in Markdown with the goals of the design; ends 1 when a goal is missed. Turns alternate where two are compared.
"""

import contextlib
import os
import pathlib
import select
import statistics
import subprocess
import sys
import threading
import time

import bench
import reeve

PAYLOAD_FILES, PAYLOAD_BYTES = 10, 1024 * 1024


class Fleet(reeve.Cluster):
    """A master that listens on the loopback, and workers that join it there."""

    def start(self, workers=2, slots=4):
        self.start_master("--listen", f"tcp://127.0.0.1:{reeve.free_port()}")
        token = self.folder / "token"
        token.touch(mode=0o600)
        token.write_text(self.ok("token", "create", "--role", "worker", "--uses", "100").strip())
        names = [f"w{n + 1}" for n in range(workers)]
        for name in names:
            self.spawn(name, reeve.program("reeve-worker"), "--data", str(self.folder / name), "--join", f"@{token}",
                       "--name", name, "--slots", str(slots))
        reeve.wait_until(lambda: self.workers_up() >= set(names), what=f"{names} up")


@contextlib.contextmanager
def cluster(kind, workers, slots):
    own = kind()
    try:
        own.start(workers=workers, slots=slots)
        yield own
    finally:
        own.close()


def bench_curve():
    """No-op tasks over CURVE beside the same over ipc; turns alternate."""
    ratios, rates = [], []
    with cluster(reeve.Cluster, 2, 2) as plain, cluster(Fleet, 2, 2) as far:
        graph, count = bench.random_graph(100_000), 100_000
        files = {own: bench.write_dag(own, "noops", graph) for own in (plain, far)}
        for _ in range(3):
            rate = {own: count / bench.seconds_of(bench.run(own, files[own])) for own in (plain, far)}
            ratios.append(rate[far] / rate[plain])
            rates.append(rate[far])
    ratio = statistics.median(ratios)
    text = f"{statistics.median(rates):,.0f} a second, {ratio:.2f} of ipc"
    return "no-op tasks, 100,000, over CURVE", text, "≥ 0.5", ratio >= 0.5


def bench_bundle():
    """From dispatch to the start of a task whose 10 MB bundle the worker does not have."""
    gaps = []
    with cluster(Fleet, 1, 2) as own:
        for turn in range(7):
            folder = own.folder / f"big{turn}"
            folder.mkdir()
            for n in range(PAYLOAD_FILES):
                (folder / f"f{n}").write_bytes(os.urandom(PAYLOAD_BYTES))
            (folder / "big.yaml").write_text('dag: big\ntasks:\n  a:\n    exec: ["true"]\n')
            (task,) = bench.run(own, folder / "big.yaml")["tasks"]
            (attempt,) = task["attempts"]
            gaps.append(bench.milliseconds_between(attempt["assigned_at"], attempt["started_at"]))
    gap = statistics.median(gaps)
    return "first task that needs a 10 MB bundle, from dispatch", f"{gap:.0f} ms", "< 300 ms", gap < 300


def follow_latencies(own, run, seconds):
    """Milliseconds from the writing of a line, which holds its time, to its arrival at `logs -f`."""
    gaps = []
    follower = subprocess.Popen([reeve.program("reeve"), "logs", f"{run}/talk", "-f"], stdout=subprocess.PIPE,
                                env=own.env, cwd=own.folder)
    end = time.monotonic() + seconds
    pending = b""
    while time.monotonic() < end:
        if not select.select([follower.stdout], [], [], 0.5)[0]:
            continue
        pending += os.read(follower.stdout.fileno(), 65536)
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        *lines, pending = pending.split(b"\n")
        gaps.extend((now - float(line.split()[-1])) * 1000 for line in lines if line.strip())
    follower.terminate()
    follower.wait()
    return gaps


TALK = """
import time
while True:
    print(time.clock_gettime(time.CLOCK_BOOTTIME), flush=True)
    time.sleep(0.02)
"""
# 200 MB a second, by the clock: what is behind is caught up.
FLOOD = """
import os, time
block, begin, sent = b"x" * 1023 + b"\\n", time.monotonic(), 0
block *= 200
while True:
    ahead = sent / 200e6 - (time.monotonic() - begin)
    if ahead > 0:
        time.sleep(ahead)
    sent += os.write(1, block)
"""


def bench_follow():
    """A line on its way to `logs -f` while another task of the same worker writes 200 MB a second."""
    with cluster(Fleet, 1, 2) as own:
        talk, flood = own.folder / "talk.py", own.folder / "flood.py"
        talk.write_text(TALK)
        flood.write_text(FLOOD)
        python = sys.executable
        run = own.submit(own.dag("logs", {
            "talk": {"exec": [python, str(talk)]},
            "flood": {"exec": [python, str(flood)], "log_limit": "100 GiB"}}))
        reeve.wait_until(lambda: all(t["state"] == "running" for t in own.tasks(run).values()), what="both running")
        gaps = follow_latencies(own, run, 10)
        gaps = sorted(gaps[len(gaps) // 10:])
        own.ok("cancel", run)
        own.reeve("wait", run)
    p99 = gaps[int(len(gaps) * 0.99)]
    text = f"median {statistics.median(gaps):.0f} ms, p99 {p99:.0f} ms"
    return "a log line to `logs -f`, beside 200 MB/s of another task", text, "p99 < 50 ms", p99 < 50


def bench_slow_log():
    """What 1 GB of log does to dispatch: a chain's link beside it, and without."""
    with cluster(Fleet, 1, 2) as own:
        chain = bench.write_dag(own, "chain", bench.chain(200))
        quiet = bench.link_ms(bench.run(own, chain)["tasks"])
        flood = own.folder / "flood.py"
        flood.write_text(FLOOD)
        run = own.submit(own.dag("flood", {"flood": {"exec": [sys.executable, str(flood)], "log_limit": "100 GiB"}}))
        reeve.wait_until(lambda: own.tasks(run)["flood"]["state"] == "running", what="the flood")
        ages = []
        stop = threading.Event()

        def watch():
            while not stop.wait(0.2):
                ages.extend(w["heartbeat_age_ms"] for w in own.json("workers"))
        watcher = threading.Thread(target=watch)
        watcher.start()
        busy = bench.link_ms(bench.run(own, chain)["tasks"])
        stop.set()
        watcher.join()
        own.ok("cancel", run)
        own.reeve("wait", run)
    text = f"link {quiet:.1f} ms alone, {busy:.1f} ms beside it; oldest heartbeat {max(ages)} ms"
    return "dispatch beside 200 MB/s of log", text, "no silence (2,500 ms)", max(ages) < 2500


BENCHES = {"curve": bench_curve, "bundle": bench_bundle, "follow": bench_follow, "beside": bench_slow_log}

if __name__ == "__main__":
    sys.exit(bench.main(sys.argv[1:], BENCHES))
