#!/usr/bin/env bash
# A pure library calls nothing that reads a clock, a file, a socket or randomness:
#     purity.sh LIBRARY.a LINKS.txt [PURE.a…]
# LINKS.txt names what CMake links with it (targets, one a line); PURE.a… are the pure libraries that it stands on.
# Prints each symbol and link that is not in the lists, and fails then.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Targets that a pure library may link; system libraries among them keep values in memory only.
links_allowed='reeve_(flags|base|connection|proto|dag_run|facts|master_core|agent_core|runner_core)|PkgConfig::(MSGPACK|JANSSON|SODIUM)|m'

symbols() { # KIND LIBRARY…: names of symbols, undefined (U) or defined
    local kind=$1
    shift
    if [ "$kind" = U ]; then
        nm -u -f posix "$@" | awk 'NF > 1 && $2 == "U" { sub(/@.*/, "", $1); print $1 }' | sort -u
    else
        nm -g --defined-only -f posix "$@" | awk 'NF > 2 { print $1 }' | sort -u
    fi
}

check() { # LIBRARY LINKS PURE…
    local library=$1 links=$2 bad=0
    shift 2
    local foreign
    foreign=$(comm -23 <(symbols U "$library") <(symbols D "$library" "$@") |
        grep -vxE -f <(grep -vE '^(#|$)' "$here/pure_symbols.txt") || true)
    for symbol in $foreign; do
        echo "${library##*/} calls $symbol: $(nm -A -u "$library" 2>/dev/null |
            awk -v s="$symbol" '$NF == s { print $1 }' | sort -u | tr '\n' ' ')"
        bad=1
    done
    while read -r link; do
        if ! [[ $link =~ ^($links_allowed)$ ]]; then
            echo "${library##*/} links $link"
            bad=1
        fi
    done <"$links"
    return $bad
}

# The check must be able to fail: a library with a clock in it, and a link to a socket library.
self_test() {
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    echo '#include <time.h>
    long bad(void); long bad(void) { struct timespec t; clock_gettime(CLOCK_BOOTTIME, &t); return t.tv_sec; }' \
        >"$scratch/bad.c"
    "${CC:-cc}" -D_GNU_SOURCE -c -o "$scratch/bad.o" "$scratch/bad.c"
    ar rc "$scratch/libbad.a" "$scratch/bad.o"
    echo 'int good(int); int good(int a) { return a; }' >"$scratch/good.c"
    "${CC:-cc}" -c -o "$scratch/good.o" "$scratch/good.c"
    ar rc "$scratch/libgood.a" "$scratch/good.o"
    echo reeve_base >"$scratch/pure.txt"
    echo PkgConfig::CZMQ >"$scratch/zmq.txt"
    [ "$(check "$scratch/libbad.a" "$scratch/pure.txt")" = "libbad.a calls clock_gettime: $scratch/libbad.a:bad.o: " ] &&
        [ "$(check "$scratch/libgood.a" "$scratch/zmq.txt")" = "libgood.a links PkgConfig::CZMQ" ] &&
        check "$scratch/libgood.a" "$scratch/pure.txt"
}

if [ "${1:-}" = --self-test ]; then
    if self_test; then
        echo "purity.sh sees a clock and a link"
    else
        echo "purity.sh does not see what it must see"
        exit 1
    fi
else
    check "$@"
    echo "${1##*/} is pure"
fi
