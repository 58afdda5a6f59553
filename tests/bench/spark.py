#!/usr/bin/env python3
"""What the spark operator adds to spark-submit, beside a spark-submit that ends at once: spark.py

A real one takes seconds that vary by more than what is looked for; what the operator does before and after is the same.
Prints rows of docs/benchmarks.md; ends 1 when a goal is missed.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import op  # noqa: E402 (the harness lies beside the system tests)
import reeve  # noqa: E402
from turns import turn  # noqa: E402

TURNS = 101
SCRIPT = """#!/bin/bash
echo "INFO StandaloneSchedulerBackend: Connected to Spark cluster with app ID app-20261121030002-0003"
"""


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "job.py").write_text("")
        (folder / "spark-submit").write_text(SCRIPT)
        (folder / "spark-submit").chmod(0o755)
        environment = {"PATH": f"{folder}:{os.environ['PATH']}", "SPARK_HOME": ""}
        connection = {"id": "s", "type": "spark", "host": "spark://127.0.0.1", "port": 7077}

        def operator():
            ended = op.Attempt("spark", {"application": "job.py"}, [connection], folder=name, **environment).end()
            assert ended.status == 0, ended.log

        def alone():
            subprocess.run(["bash", "-c", 'exec spark-submit "$@"', "-", "job.py"], check=True, cwd=name,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=reeve.clean_environment(**environment))

        turns = [(turn(operator), turn(alone)) for _ in range(TURNS)]
    more = statistics.median(ours.wall - theirs.wall for ours, theirs in turns) * 1000
    cpu = statistics.median(ours.cpu - theirs.cpu for ours, theirs in turns) * 1000
    print(f"| spark: what the operator adds to spark-submit | {more:.1f} ms, of them {cpu:.1f} ms CPU | < 50 ms |")
    return 0 if more < 50 else 1


if __name__ == "__main__":
    sys.exit(main())
