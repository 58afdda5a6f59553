#!/usr/bin/env bash
# Builds release and prints the table of docs/benchmarks.md: tests/bench/run.sh [NAME…]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
unset CC CFLAGS LDFLAGS "${!REEVE_@}"
deploy/packages.sh build
mkdir -p build/logs
if ! { cmake --preset release && cmake --build --preset release; } >build/logs/bench_build.log 2>&1; then
    tail -n 40 build/logs/bench_build.log
    exit 1
fi
export REEVE_BIN=$PWD/build/release/bin PYTHONDONTWRITEBYTECODE=1
[ $# -eq 0 ] || exec python3 tests/bench/bench.py "$@"
missed=0
python3 tests/bench/bench.py || missed=1
python3 tests/bench/fleet.py || missed=1
python3 tests/bench/postgres.py || missed=1
python3 tests/bench/spark.py || missed=1
exit $missed
