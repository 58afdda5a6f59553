#!/usr/bin/env python3
"""What reeve costs, beside what the same work costs without it, measured in one run: bench.py [NAME…]

Each figure comes from real processes, real sockets and the durable store. Prints a table in Markdown, with the goal
that the design sets; ends 1 when a goal is missed.
"""

import contextlib
import datetime
import pathlib
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import op  # noqa: E402 (the harness lies beside the system tests)
import reeve  # noqa: E402

SECONDS = 600


@contextlib.contextmanager
def cluster(workers, slots):
    own = reeve.Cluster()
    try:
        own.start(workers=workers, slots=slots)
        yield own
    finally:
        own.close()


def write_dag(own, name, tasks):
    """A DAG file in block style; tasks: {name: (operator's line, parents)}"""
    path = own.dag(name, {})
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"dag: {name}\ntasks:\n")
        for task, (operator, needs) in tasks.items():
            file.write(f"  {task}:\n    {operator}\n    needs: [{', '.join(needs)}]\n")
    return path


def milliseconds_between(begin, end):
    parse = datetime.datetime.fromisoformat
    return (parse(end) - parse(begin)).total_seconds() * 1000


def seconds_of(document):
    return milliseconds_between(document["started_at"], document["ended_at"]) / 1000


def run(own, file):
    """The run's document when it has succeeded."""
    name = own.submit(file)
    own.finish(name, seconds=SECONDS)
    return own.json("status", name, seconds=SECONDS)


def run_unwatched(own, file, seconds):
    """The same without a client that is told of each task: looked at after so many seconds, then now and then."""
    name = own.submit(file)
    time.sleep(seconds)
    while (document := own.json("status", name, seconds=SECONDS))["ended_at"] is None:
        time.sleep(0.5)
    assert document["state"] == "success", document["state"]
    return document


def random_graph(count):
    dice = random.Random(1)
    return {f"n{i}": ("noop:", sorted({f"n{dice.randrange(i)}" for _ in range(2)}) if i else []) for i in range(count)}


def bench_noops():
    """No-op tasks of a 100,000-task random graph, a second."""
    count = 100_000
    with cluster(workers=2, slots=2) as own:
        file = write_dag(own, "noops", random_graph(count))
        rates = [count / seconds_of(run(own, file)) for _ in range(3)]
    rate = statistics.median(rates)
    return "no-op tasks, 100,000 in a random graph", f"{rate:,.0f} a second", "> 50,000", rate > 50_000


def chain(count):
    return {f"c{i:03}": ('exec: ["true"]', [f"c{i - 1:03}"] if i else []) for i in range(count)}


def link_ms(tasks):
    """The median of a chain's links: from a task's end to the start of the next."""
    when = {t["task"]: t["attempts"][0] for t in tasks}
    return statistics.median(milliseconds_between(when[f"c{i - 1:03}"]["ended_at"], when[f"c{i:03}"]["started_at"])
                             for i in range(1, len(tasks)))


def bench_link():
    """A chain's link."""
    with cluster(workers=1, slots=2) as own:
        gap = link_ms(run(own, write_dag(own, "chain", chain(300)))["tasks"])
    return "a chain's link, median", f"{gap:.1f} ms", "< 2 ms", gap < 2


def bench_bash():
    """bash tasks on one worker with two slots, beside xargs -P2 with the same command; turns alternate. Nobody watches
    either of them."""
    count, ratios, rates = 4000, [], []
    with cluster(workers=1, slots=2) as own:
        file = write_dag(own, "bashes", {f"b{i}": ('bash: "true"', []) for i in range(count)})
        for _ in range(3):
            begin = time.monotonic()
            subprocess.run(["xargs", "-P2", "-I{}", "bash", "-c", "true {}"], check=True, text=True,
                           input="".join(f"{i}\n" for i in range(count)))
            peer = count / (time.monotonic() - begin)
            mine = count / seconds_of(run_unwatched(own, file, count / peer))
            ratios.append(mine / peer)
            rates.append(mine)
    ratio = statistics.median(ratios)
    text = f"{statistics.median(rates):,.0f} a second, {ratio:.2f} of xargs"
    return "bash tasks, 2 slots, beside `xargs -P2`", text, "≥ 0.85", ratio >= 0.85


def pss_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no Pss of {pid}")


def bench_memory():
    """What an idle worker (agent and runner) and an idle master hold."""
    with cluster(workers=1, slots=2) as own:
        worker = pss_mib(own.processes["w1"].pid) + sum(pss_mib(pid) for pid in own.runners())
        master = pss_mib(own.processes["master"].pid)
    fine = worker < 10 and master < 20
    return "idle: worker with its runner, master", f"{worker:.1f}, {master:.1f} MiB PSS", "< 10, < 20", fine


def cost_ms(work):
    """What it takes of time, and of processors for its children."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (time.perf_counter() - begin) * 1000, used * 1000


def least(costs):
    """The fastest tenth: what else the machine does only adds."""
    return statistics.quantiles(costs, n=10)[0]


def bench_python():
    """A function that the python operator calls, beside `python3 -c pass`, in turn, both started by bash."""
    mine, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "job.py").write_text("def count(n, ds):\n    return {'rows': n}\n", encoding="utf-8")

        def call():
            task = op.Attempt("python", {"call": "job:count", "kwargs": {"n": 3}}, folder=folder, context={"ds": "2026-11-21"})
            assert task.end().outputs == {"rows": 3}

        def peer():
            subprocess.run(["bash", "-c", 'exec "$0" -c pass', "python3"], check=True, cwd=folder,
                           env=reeve.clean_environment())

        for _ in range(101):
            mine.append(cost_ms(call))
            theirs.append(cost_ms(peer))
    wall, used = (least(ours) - least(others) for ours, others in zip(zip(*mine), zip(*theirs)))
    text = f"{wall:.1f} ms more, of them {used:.1f} ms CPU"
    return "python `call`, beside `python3 -c pass`", text, "≤ 10 ms", wall <= 10


BENCHES = {"noops": bench_noops, "link": bench_link, "bash": bench_bash, "python": bench_python,
           "memory": bench_memory}


def main(names, benches):
    unknown = [name for name in names if name not in benches]
    if unknown:
        sys.exit(f"no such bench: {', '.join(unknown)}; there are {', '.join(benches)}")
    print("| what | measured | goal |\n|---|---|---|")
    missed = 0
    for name in names or benches:
        what, measured, goal, fine = benches[name]()
        print(f"| {what} | {measured} | {goal}{'' if fine else ' (missed)'} |", flush=True)
        missed += not fine
    return missed > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], BENCHES))
