#!/usr/bin/env bash
# Which lines the unit tests, the simulator's seeds and the fuzzers' committed corpora reach: tests/coverage.sh [system]
#
# With `system` the short system tests too; programs that they kill leave no counts, so that ports and mains are
# covered better than it says.
#
# Builds the preset `coverage` (clang counts in the source), runs ctest and every fuzzer once over its corpus, and
# prints lines by room. Lines by file are in build/coverage/files.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=build/coverage
cmake --preset coverage >/dev/null
cmake --build --preset coverage -j "${JOBS:-$(nproc)}" -- --quiet
rm -rf "$build/profiles"
mkdir -p "$build/profiles"
export LLVM_PROFILE_FILE=$PWD/$build/profiles/%4m.profraw

# A failing test has reached lines too, and tests/run.sh is what judges it.
# The lint of the cores' symbols is left out: counting needs some that no core may have.
ctest --test-dir "$build" -E lint_pure -j "${JOBS:-$(nproc)}" >"$build/ctest.txt" 2>&1 || grep -E '\*\*\*|tests passed' "$build/ctest.txt"
for fuzzer in "$build"/bin/fuzz_*; do
    "$fuzzer" -runs=0 "tests/fuzz/corpus/${fuzzer##*/fuzz_}" >>"$build/fuzzers.txt" 2>&1
done

if [ "${1:-}" = system ]; then
    REEVE_BIN=$PWD/$build/bin timeout -k 30 1800 python3 -m pytest tests/system -q -p no:cacheprovider -m "not slow" >"$build/system.txt" 2>&1 ||
        tail -n 5 "$build/system.txt"
fi

llvm-profdata merge -sparse "$build"/profiles/*.profraw -o "$build/all.profdata"
objects=()
for program in "$build"/bin/* $(find "$build/tests" -type f -name 'test_*' -perm -u+x); do
    # Programs alone: some are scripts.
    [ "$(head -c 4 "$program" | tr -d '\0')" = $'\x7fELF' ] && objects+=(-object "$program")
done
llvm-cov export -summary-only -instr-profile "$build/all.profdata" "${objects[@]}" 2>/dev/null |
    python3 tests/coverage.py "$build/files.txt"
