#!/bin/sh
# shrinks.sh REEVE_SIM: a failing story is cut down, still fails, and can be played again by what was printed.
set -eu
sim=$1
mutant=FENCE_SKIPPED
seed=$("$sim" --mutant $mutant --seeds 1000 2>&1 | sed -n 's/.*replay \([0-9]*\)$/\1/p')
[ "$seed" ] || { echo "$mutant was not found out" && exit 1; }
cut=$("$sim" --shrink "$seed" --mutant $mutant 2>&1) && { echo "the cut story did not fail" && exit 1; }
without=$(echo "$cut" | sed -n 's/.*--without \(.*\)$/\1/p')
echo "$cut" | grep "fails with"
[ "$without" ] || { echo "nothing could be left out of seed $seed" && exit 1; }
if "$sim" --first "$seed" --mutant $mutant --without "$without" 2>/dev/null; then
    echo "seed $seed without $without does not fail"
    exit 1
fi
"$sim" --first "$seed" --without "$without"
