#!/usr/bin/env python3
"""Whether the simulator can fail: mutants.py REEVE_SIM [--seeds N] [--only NAME] [--page PAGE]

Breaks one guard of the cores at a time (common/mutants.def) and plays seeds until one is violated. Prints the table of
docs/guarantees.md: mutant, what is broken, seeds needed. Fails when a mutant outlives N seeds, or the page lacks its row.
"""

import argparse
import pathlib
import re
import subprocess
import sys


def mutants(sim):
    text = subprocess.run([sim, "--mutants"], check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in text.splitlines()]


def seeds_needed(sim, name, seeds):
    """(seeds played until one was violated or None, what was said)."""
    done = subprocess.run([sim, "--mutant", name, "--first", "1", "--seeds", str(seeds)],
                          capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None, ""
    seed = re.search(r"replay: tests/sim/replay (\d+)", done.stderr)
    assert seed, f"{name}: ended with {done.returncode} and no seed: {done.stderr[-300:]}"
    said = done.stderr.splitlines()[0]
    return int(seed.group(1)), re.sub(r"^VIOLATION at \d+ ms: ", "", said)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sim")
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--only", action="append")
    parser.add_argument("--page", help="where each mutant has a row")
    parser.add_argument("--say", action="store_true", help="also what was violated")
    options = parser.parse_args()
    alive = 0
    page = pathlib.Path(options.page).read_text(encoding="utf-8") if options.page else None
    print("| mutant | what is broken | seeds |\n|---|---|---|")
    for name, says in mutants(options.sim):
        if options.only and name not in options.only:
            continue
        needed, said = seeds_needed(options.sim, name, options.seeds)
        alive += needed is None
        if page is not None and f"| {name} | {says} |" not in page:
            print(f"{options.page} has no row of {name}, or says something else of it", file=sys.stderr)
            alive += 1
        print(f"| {name} | {says} | {needed or f'over {options.seeds}'} |" + (f" {said}" if options.say else ""), flush=True)
    return alive > 0


if __name__ == "__main__":
    sys.exit(main())
