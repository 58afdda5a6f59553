#!/usr/bin/env bash
# Builds reeve and tests it: tests/run.sh [quick|full|all]
#
#   quick   layout checks, a gcc build, unit tests and the simulator's seeds, the short system tests: under 2 minutes
#   full    (default) also: clang, clang-tidy, every header alone, address, undefined and thread sanitizers, fuzzers for
#           20 s each, all system tests, the quickstart: under 30 minutes on 2 cores
#   all     also: fuzzers for 5 minutes each, a soak of 5 minutes
#
# Installs what is missing (deploy/packages.txt) and asks the network for nothing else. Goes on after a failure; each
# stage's output is in build/logs, and the end of a failing one is shown. Ends 0 only when everything passed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

level=${1:-full}
case $level in
quick | full | all) ;;
*)
    sed -n '2,9s/^# \{0,1\}//p' tests/run.sh >&2
    exit 2
    ;;
esac

unset CC CFLAGS LDFLAGS CPPFLAGS MAKEFLAGS "${!REEVE_@}"
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
jobs=$(nproc)
logs=build/logs
mkdir -p "$logs"

# One at a time in one tree; whatever a stage starts does not inherit the lock.
exec 8>build/.run.lock
flock -n 8 || { echo "another tests/run.sh is at work here; waiting for it" >&2 && flock 8; }
rm -f "$logs"/*

started=$SECONDS
declare -A result=()
passed=() failed=() unrun=()

# what_failed LOG: the lines that name failed tests; a long log's end need not have them.
what_failed() {
    grep -aE '^(FAILED|ERROR) |\*\*\*(Failed|Timeout|Exception)|ERROR: (Address|Leak|Thread)Sanitizer|: runtime error: ' "$1" | cut -c 1-300
}

# stage NAME COMMAND…: runs it with its output in build/logs/NAME.log.
stage() {
    local name=$1 begin=$SECONDS status
    shift
    "$@" >"$logs/$name.log" 2>&1 </dev/null 8>&-
    status=$?
    result[$name]=$status
    if [ $status -eq 0 ]; then
        passed+=("$name")
        printf 'ok      %-16s %4d s\n' "$name" $((SECONDS - begin))
    else
        failed+=("$name")
        printf 'FAILED  %-16s %4d s, status %d; the end of %s:\n' "$name" $((SECONDS - begin)) $status "$logs/$name.log"
        { what_failed "$logs/$name.log" | head -n 12; tail -n 30 "$logs/$name.log"; } | sed 's/^/        | /'
    fi
    return $status
}

# not_run NAME REASON: what this run leaves out, for the summary.
not_run() {
    unrun+=("$1: $2")
}

# after BUILD NAME COMMAND…: a stage that needs a build.
after() {
    local build=$1
    shift
    if [ "${result[$build]:-1}" -eq 0 ]; then
        stage "$@"
    else
        failed+=("$1")
        printf 'FAILED  %-16s not run: %s failed\n' "$1" "$build"
    fi
}

tracked() { # PATTERN…: tracked files that exist
    git -c safe.directory='*' ls-files -z -- "$@" | while IFS= read -r -d '' file; do
        [ -f "$file" ] && printf '%s\0' "$file"
    done
}

# ---- what it needs ----

install_packages() {
    deploy/packages.sh build test || return
    python=
    for candidate in python3 /usr/bin/python3; do
        if "$candidate" -c 'import pytest, zmq, msgpack' 2>/dev/null; then
            python=$candidate
            return 0
        fi
    done
    deploy/packages.sh pytest && python=/usr/bin/python3 && "$python" -c 'import pytest, zmq, msgpack'
}

# A whole Spark, 450 MB, in the build folder; where it can't be had its tests are skipped by name.
install_spark() {
    build/pyspark/bin/python -c 'import pyspark' 2>/dev/null && return
    "$python" -m venv build/pyspark && build/pyspark/bin/python -m pip install -q 'pyspark>=4,<5'
}

# A virtual machine's programs, and in the build folder a kernel and busybox for it, unpacked and not installed; where
# they can't be had its tests are skipped by name.
install_vm() {
    local folder=build/vm.new names package
    deploy/packages.sh vm || return
    [ ! -d build/vm ] || return 0
    rm -rf "$folder" && mkdir "$folder" || return
    # What a package stands for is the kernel that it depends on.
    names=$(sed -n 's/^guest //p' deploy/packages.txt)
    # shellcheck disable=SC2086 # a list of names
    names=$(apt-cache depends $names | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p; /^busybox/p' | sort -u)
    # shellcheck disable=SC2086
    (cd "$folder" && apt-get download $names) || return
    for package in "$folder"/*.deb; do
        dpkg -x "$package" "$folder" && rm "$package" || return
    done
    mv "$folder" build/vm
}

# ---- layout ----

check_format() {
    local bad
    bad=$(tracked '*.c' '*.h' | xargs -0r -n 32 -P "$jobs" clang-format --dry-run -Werror 2>&1 |
        sed -n 's/^\([^: ]*\):[0-9]*:[0-9]*: error: .*/clang-format -i \1/p' | sort -u)
    [ -z "$bad" ] || { echo "$bad" && return 1; }
}

check_sizes() {
    # The protocol's page is made, and as long as the protocol.
    tracked '*.c' '*.h' '*.def' '*.py' '*.sh' '*.cmake' '*.sql' '*.md' ':!docs/protocol.md' | xargs -0r "$python" tests/lint/size.py
}

check_rooms() {
    tracked '*.c' '*.h' | xargs -0r "$python" tests/lint/rooms.py
}

check_words() {
    tracked . ':!LICENSE' ':!tests/fuzz/corpus' | xargs -0r tests/lint/words.sh
}

check_scripts() {
    local script status=0
    while IFS= read -r -d '' script; do
        case $(head -n 1 "$script") in
        *bash*) bash -n "$script" || status=1 ;;
        *sh*) sh -n "$script" || status=1 ;;
        esac
    done < <(tracked '*.sh' .ci/run)
    tracked '*.py' | xargs -0r "$python" -c 'import sys
for path in sys.argv[1:]:
    compile(open(path, encoding="utf-8").read(), path, "exec")' || status=1
    return $status
}

check_headers() {
    tracked '*.h' | xargs -0r -n 8 -P "$jobs" tests/lint/headers.sh
}

# ---- builds ----

build_preset() {
    local launcher=()
    command -v ccache >/dev/null && launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
    cmake --preset "$1" "${launcher[@]}" && cmake --build --preset "$1" -j "$jobs" -- -k 0 --quiet
}

# A source that no target compiles is a test that nobody runs.
check_compiled() { # PRESET PATTERN…
    local preset=$1
    shift
    tracked "$@" | xargs -0r "$python" -c 'import json, os, sys
known = {os.path.realpath(entry["file"]) for entry in json.load(open(sys.argv[1]))}
left = [path for path in sys.argv[2:] if os.path.realpath(path) not in known]
print("compiled by no target:", *left) if left else None
sys.exit(bool(left))' "build/$preset/compile_commands.json"
}

check_tidy() {
    tracked 'common/*.c' 'proto/*.c' 'master/*.c' 'worker/*.c' 'cli/*.c' 'operators/*.c' |
        xargs -0r -n 1 -P "$jobs" tests/lint/tidy.sh build/clang
}

# ---- tests ----

run_ctest() { # PRESET ARGUMENT…
    local preset=$1
    shift
    local alone=()
    # The thread sanitizer wants the address space where it expects it.
    setarch -R true 2>/dev/null && alone=(setarch -R)
    # One more than processors: some tests wait for seconds, and use none.
    ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1 \
        TSAN_OPTIONS=suppressions=$PWD/tests/tsan.supp \
        "${alone[@]}" ctest --test-dir "build/$preset" --output-on-failure -j "$((jobs + 1))" --no-tests=error "$@"
}

run_pytest() { # PRESET SECONDS ARGUMENT…
    local preset=$1 seconds=$2 patience=1
    shift 2
    local alone=()
    case $preset in
    asan) patience=3 ;;
    tsan) patience=5 && setarch -R true 2>/dev/null && alone=(setarch -R) ;;
    esac
    REEVE_BIN=$PWD/build/$preset/bin RV_PATIENCE=$patience TSAN_OPTIONS=suppressions=$PWD/tests/tsan.supp \
        "${alone[@]}" timeout -k 30 "$seconds" "$python" -m pytest tests/system -p no:cacheprovider \
        -ra --durations=10 -o faulthandler_timeout=600 "$@"
}

# Several at once: most of a system test's time is waiting.
run_pytest_parts() { # PRESET SECONDS ARGUMENT…
    local preset=$1 seconds=$2 parts=$((jobs * 2)) part status=0 running=() red=()
    shift 2
    for ((part = 1; part <= parts; part++)); do
        run_pytest "$preset" "$seconds" --part "$part/$parts" "$@" >"$logs/.part$part" 2>&1 &
        running+=($!)
    done
    for ((part = 1; part <= parts; part++)); do
        wait "${running[part - 1]}" || { status=1 && red+=("$logs/.part$part") && continue; }
        cat "$logs/.part$part"
    done
    [ $status -eq 0 ] || cat "${red[@]}"
    return $status
}

leave() { # NAME…: pytest's words for leaving out the files of these
    printf -- '--ignore-glob=*/test_%s* ' "$@"
}

run_soak() { # PRESET MINUTES
    REEVE_BIN=$PWD/build/$1/bin timeout -k 30 $(($2 * 60 + 900)) "$python" tests/soak/soak.py --minutes "$2"
}

run_fuzzers() { # SECONDS
    local fuzzer
    for fuzzer in build/fuzz/bin/fuzz_*; do
        [ -x "$fuzzer" ] || { echo "there is no fuzzer in build/fuzz/bin" && return 1; }
        printf '%s\0' "$fuzzer"
    done | xargs -0r -n 1 -P "$jobs" tests/fuzz/run.sh "$1"
}

# ---- the run ----

python=python3
install_log=$logs/packages.log
if ! install_packages >"$install_log" 2>&1 8>&-; then
    cat "$install_log"
    echo "FAILED  what is missing could not be installed"
    exit 1
fi

[ "$level" = quick ] || install_spark >"$logs/pyspark.log" 2>&1 8>&- || not_run pyspark "it could not be installed"
[ "$level" = quick ] || install_vm >"$logs/vm.log" 2>&1 8>&- || not_run vm "it could not be installed"

stage format check_format
stage sizes check_sizes
stage rooms check_rooms
stage words check_words
stage scripts check_scripts
stage build_dev build_preset dev
after build_dev compiled_dev check_compiled dev '*.c' ':!tests/fuzz'
if [ "$level" = quick ]; then
    after build_dev ctest_dev run_ctest dev -LE long
else
    after build_dev ctest_dev run_ctest dev
fi

if [ "$level" = quick ]; then
    after build_dev system run_pytest_parts dev 300 -m "not slow" \
        $(leave connection corruption faults lost operators postgres python spark sql_oracle template_oracle)
    not_run "headers, build_clang, tidy, asan, tsan, fuzzers, the simulator's mutants, soak, system tests: slow ones, operators, \
connections, faults, corruption, lost workers, oracles" "quick leaves them to full"
else
    stage headers check_headers
    stage build_clang build_preset clang
    after build_clang tidy check_tidy
    stage build_asan build_preset asan
    after build_asan ctest_asan run_ctest asan
    stage build_tsan build_preset tsan
    after build_tsan ctest_tsan run_ctest tsan -LE 'sim|threadless'
    stage build_fuzz build_preset fuzz
    after build_fuzz compiled_fuzz check_compiled fuzz '*.c'
    [ "$level" = all ] || after build_fuzz fuzzers run_fuzzers 20
    after build_dev system run_pytest_parts dev 1800
    after build_asan system_asan run_pytest_parts asan 1800 -m "not slow"
    after build_tsan system_tsan run_pytest_parts tsan 1800 -m "not slow"
    if [ "$level" = all ]; then
        after build_dev soak run_soak dev 5
        after build_fuzz fuzzers run_fuzzers 300
    else
        not_run "soak, fuzzers for 5 minutes" "full leaves them to all"
    fi
    not_run "the simulator under the thread sanitizer" "it has one thread"
fi
command -v ccache >/dev/null || not_run ccache "not installed; builds take longer"

# ---- what happened ----

echo
for log in "$logs"/ctest_*.log "$logs"/system*.log; do
    [ -f "$log" ] || continue
    name=$(basename "$log" .log)
    while IFS= read -r line; do
        not_run "$name" "$line"
    done < <(grep -E '^(SKIPPED|XFAIL) |\*\*\*(Skipped|Not Run)' "$log")
    echo "$name:"
    grep -E '^[0-9]+% tests passed|^Total Test time|^No tests were found|^=+ .*(passed|failed|error|no tests ran).* =+$' "$log"
done
[ -f "$logs/soak.log" ] && echo "soak:" && tail -n 1 "$logs/soak.log"
echo
if [ ${#unrun[@]} -gt 0 ]; then
    echo "not run:"
    printf '    %s\n' "${unrun[@]}"
fi
for name in "${failed[@]}"; do
    echo "failed: $name"
    [ -f "$logs/$name.log" ] && what_failed "$logs/$name.log" | sed 's/^/    /'
done
echo "tests/run.sh $level: ${#passed[@]} stages passed, ${#failed[@]} failed, $((SECONDS - started)) s"
[ ${#failed[@]} -eq 0 ]
