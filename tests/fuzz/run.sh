#!/usr/bin/env bash
# Runs one fuzzer for some seconds over its committed corpus: run.sh SECONDS build/fuzz/bin/fuzz_NAME
# What it finds new stays in build/fuzz/corpus/NAME for the next time; an input that breaks it is kept beside that.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
seconds=$1
fuzzer=$2
name=${fuzzer##*/fuzz_}
found=build/fuzz/corpus/$name
given=tests/fuzz/corpus/$name
if [ ! -d "$given" ] || [ -z "$(ls -A "$given")" ]; then
    echo "fuzz_$name has no committed corpus in $given"
    exit 1
fi
mkdir -p "$found"
log=build/logs/fuzz_$name.log
mkdir -p build/logs
# An input must be done within a second; sanitizers and a shared machine make that ten here.
if "$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/$name-" "$found" "$given" >"$log" 2>&1; then
    echo "fuzz_$name: $(grep -a 'number_of_executed_units' "$log" | tr -s ' ')"
else
    echo "fuzz_$name failed:"
    tail -n 40 "$log"
    exit 1
fi
