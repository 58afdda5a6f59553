#!/usr/bin/env bash
# From a fresh clone on Debian 12 to a DAG that has run over two workers: deploy/quickstart.sh
#
# Installs what the build needs (deploy/packages.txt), builds into build/release, starts a master and two workers in a
# temporary folder, runs dags/packages and shows its report, ends what it started and removes the folder. Everything
# talks over sockets in that folder; no port is opened. A second run takes seconds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset CC CFLAGS LDFLAGS "${!REEVE_@}"

say() {
    printf '\n== %s\n' "$*"
}

programs=(reeve reeve-master reeve-worker reeve-runner reeve-op-postgres reeve-op-probe reeve-op-spark)
bin=$PWD/build/release/bin
log=$PWD/build/quickstart.log
mkdir -p build

say "packages and build"
deploy/packages.sh build
# A build that is up to date is left alone, and says nothing.
if ! { cmake --preset release && cmake --build --preset release --target "${programs[@]}"; } >"$log" 2>&1; then
    tail -n 40 "$log"
    echo "the build failed; all of its output is in $log" >&2
    exit 1
fi
export PATH=$bin:$PATH

# Short on purpose: the path of a local socket has at most 107 bytes.
folder=$(mktemp -d /tmp/reeve.XXXXXX)
export REEVE_DATA=$folder/master
declare -A pids=()

finish() {
    local status=$? name
    trap - EXIT INT TERM HUP
    # An agent that is only ended leaves its runner, and the runner its tasks: hence `stop --now`.
    for n in 1 2; do
        [ -z "${pids[worker-$n]:-}" ] || reeve-worker stop --now --data "$folder/w$n" >/dev/null 2>&1 || true
    done
    for name in worker-1 worker-2 master; do
        if [ -n "${pids[$name]:-}" ]; then
            kill -TERM "${pids[$name]}" 2>/dev/null || true
            wait "${pids[$name]}" 2>/dev/null || true
        fi
    done
    if [ $status -ne 0 ]; then
        for name in "${!pids[@]}"; do
            echo "---- $name" >&2
            tail -n 20 "$folder/$name.log" >&2
        done
    fi
    rm -rf "$folder"
    exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

start() { # NAME COMMAND…
    local name=$1
    shift
    "$@" >"$folder/$name.log" 2>&1 </dev/null &
    pids[$name]=$!
}

# until_true SECONDS COMMAND…: asks a condition until it holds; our programs must live meanwhile.
until_true() {
    local deadline=$((SECONDS + $1)) name
    shift
    until "$@" >/dev/null 2>&1; do
        for name in "${!pids[@]}"; do
            kill -0 "${pids[$name]}" 2>/dev/null || { echo "$name ended" >&2 && return 1; }
        done
        [ $SECONDS -lt $deadline ] || { echo "no success in time: $*" >&2 && return 1; }
        sleep 0.05
    done
}

two_workers_up() {
    [ "$(reeve workers -o json | grep -o '"state": *"up"' | wc -l)" -eq 2 ]
}

say "a master and two workers, in $folder"
start master reeve-master --data "$REEVE_DATA"
until_true 20 reeve ping
for n in 1 2; do
    start "worker-$n" reeve-worker --data "$folder/w$n" --join "$REEVE_DATA" --name "w$n" --slots 2
done
until_true 20 two_workers_up
reeve workers

say "reeve submit dags/packages/packages.yaml --wait"
reeve submit dags/packages/packages.yaml --wait

say "reeve status last"
reeve status last

say "reeve artifacts last"
reeve artifacts last

say "reeve logs packages/1/report"
reeve logs packages/1/report

say "done; try it yourself"
cat <<END
    export PATH=$bin:\$PATH
    reeve run dags/hello/hello.yaml           # one run, here, no server
    reeve standalone                          # a master and workers in the foreground; then, in another terminal:
    reeve submit dags/flaky/flaky.yaml --wait
    reeve logs last --failed
END
