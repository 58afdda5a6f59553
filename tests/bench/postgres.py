#!/usr/bin/env python3
"""What the postgres operator costs beside psql, on a real server that this starts: postgres.py [MEGABYTES]

Prints rows of docs/benchmarks.md; ends 1 when a goal is missed.
"""

import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import op  # noqa: E402 (the harness lies beside the system tests)
import pg  # noqa: E402
import reeve  # noqa: E402
from turns import turn  # noqa: E402

STARTS, COPIES = 101, 3


def peak_of(pid, done):
    """A thread that keeps the process's highest resident size, as the kernel counts it, in bytes."""
    seen = [0]

    def watch():
        while not done.is_set():
            try:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
            except OSError:
                return
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    seen[0] = int(line.split()[1]) * 1024
            done.wait(0.02)

    threading.Thread(target=watch).start()
    return seen


def operator(server, options, folder="/"):
    """Peak memory of one attempt."""
    done = threading.Event()
    own = op.Attempt("postgres", options, [server.connection()], folder=folder)
    peak = peak_of(own.process.pid, done) if folder != "/" else [0]
    ended = own.end(3600)
    done.set()
    assert ended.status == 0, ended.log
    return peak[0]


def psql(server, command):
    """As the operator is started: by bash, over TCP, with a password."""
    uri = ["-h", "127.0.0.1", "-p", str(server.port), "-U", pg.LOGIN, "-d", pg.DATABASE]
    subprocess.run(["bash", "-c", 'exec "$0" "$@"', server.bin / "psql", "-X", "-q", "-o", "/dev/null", *uri, "-c",
                    command], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   env=reeve.clean_environment(PGPASSWORD=pg.PASSWORD))


def bench_start(server):
    """Both in turn; wall time of a busy machine says little, so that the CPU time stands beside it."""
    turns = [(turn(lambda: operator(server, {"sql": "SELECT 1"})), turn(lambda: psql(server, "SELECT 1")))
             for _ in range(STARTS)]
    more = statistics.median(ours.wall - theirs.wall for ours, theirs in turns) * 1000
    cpu = [statistics.median(one[side].cpu for one in turns) * 1000 for side in (0, 1)]
    theirs = statistics.median(theirs.wall for _, theirs in turns) * 1000
    print(f"| postgres: start to end of `SELECT 1`, more than psql's {theirs:.1f} ms | {more:+.1f} ms; CPU {cpu[0]:.1f} ms, "
          f"psql's {cpu[1]:.1f} | < +3 ms |")
    return more < 3


def bench_copy(server, folder, megabytes):
    line = f"2026-11-21,{'x' * 40},3.14159,{'y' * 40}\n"
    rows = megabytes * 1_000_000 // (len(line) + 9)
    with open(folder / "big.csv", "w", encoding="utf-8") as file:
        file.writelines(f"{number:08},{line}" for number in range(rows))
    size = (folder / "big.csv").stat().st_size
    make = "SET client_min_messages = warning; DROP TABLE IF EXISTS big; CREATE UNLOGGED TABLE big (id int, day date, a text, b float8, c text); "
    options = {"copy_from": {"file": "big.csv", "table": "big", "header": False}}
    ours, theirs, peaks = [], [], []
    for _ in range(COPIES):
        psql(server, make)
        ours.append(turn(lambda: peaks.append(operator(server, options, folder))))
        psql(server, make)
        theirs.append(turn(lambda: psql(server, f"\\copy big FROM '{folder}/big.csv' WITH (FORMAT csv)")))
    ratio = statistics.median(peer.wall / own.wall for own, peer in zip(ours, theirs))
    cpu = [statistics.median(one.cpu for one in side) for side in (ours, theirs)]
    rate = size / 1e6 / statistics.median(one.wall for one in ours)
    print(f"| postgres: copy_from of {size / 1e6:,.0f} MB beside psql's \\copy, in turn | {ratio:.2f} of its speed, {rate:,.0f} MB/s; "
          f"CPU {cpu[0]:.2f} s, psql's {cpu[1]:.2f} | > 0.9 |")
    print(f"| postgres: its memory meanwhile | {max(peaks) / 1e6:.1f} MB | < 30 MB |")
    return ratio > 0.9 and max(peaks) < 30e6


def main():
    if pg.programs() is None:
        print("not measured: PostgreSQL's server is not installed (package postgresql)")
        return 0
    server = pg.Server()
    try:
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder).chmod(0o755)
            fast = bench_start(server)
            copied = bench_copy(server, pathlib.Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    finally:
        server.close()
    return 0 if fast and copied else 1


if __name__ == "__main__":
    sys.exit(main())
