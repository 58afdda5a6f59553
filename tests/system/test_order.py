"""100,000 no-ops and 2,000 bash tasks in one random graph: each starts only after all that is above it, by reeve's own
times and by the ledger that the bash tasks write."""

import os
import random

import pytest

import ledger

NOOPS, BASHES = 100_000, 2_000


def random_graph(dice):
    """{task: parents}: bash tasks (b…) strewn among no-ops (n…), each below up to three earlier ones, near or far."""
    kinds = ["n"] * NOOPS + ["b"] * BASHES
    dice.shuffle(kinds)
    names, parents = [], {}
    for index, kind in enumerate(kinds):
        name = f"{kind}{index:06}"
        near = [max(0, index - 1 - int(dice.expovariate(1 / 2000))) for _ in range(dice.randrange(4)) if index]
        parents[name] = sorted({names[i] for i in near})
        names.append(name)
    return parents


def write(path, parents, text):
    """The graph as a DAG file; the bash tasks share one script beside it."""
    with open(path, "w", encoding="utf-8") as file:
        file.write("dag: order\ntasks:\n")
        for name, above in parents.items():
            file.write(f"  {name}:\n    needs: [{', '.join(above)}]\n")
            file.write("    noop:\n" if name[0] == "n" else "    bash: {file: line.sh}\n")
    (path.parent / "line.sh").write_text(text)


def is_early(attempt, above):
    """Workers of the master's host have its clock: their times are in true order."""
    return attempt["started_at"] < above["ended_at"]


@pytest.mark.slow
def test_each_task_starts_after_all_above_it(started):
    seed = int(os.environ.get("RV_SEED", random.randrange(10**6)))
    print(f"RV_SEED={seed} repeats this graph")
    parents = random_graph(random.Random(seed))
    path = started.folder / "ledger"
    file = started.dag("order", {})
    write(file, parents, ledger.script(path))
    run = started.submit(file)
    started.finish(run, seconds=300)

    tasks = {task["task"]: task for task in started.json("status", run, seconds=120)["tasks"]}
    assert tasks.keys() == parents.keys()
    assert {task["state"] for task in tasks.values()} == {"success"}
    # What was asked back for an idler worker before it began does not count.
    begun = {name: [one for one in task["attempts"] if one["reason"] != "not_started"] for name, task in tasks.items()}
    only = {name: attempts[0] for name, attempts in begun.items() if len(attempts) == 1}
    assert only.keys() == parents.keys(), "a task has more or less than one attempt"
    early = [(task, above) for task, all_above in parents.items() for above in all_above
             if is_early(only[task], only[above])]
    assert not early, (len(early), early[:10], [(only[t], only[a]) for t, a in early[:3]])

    bashes = [(run, name) for name in parents if name[0] == "b"]
    wrong = ledger.check(ledger.read(path), expected=bashes, parents=parents)
    assert not wrong, wrong[:20]
