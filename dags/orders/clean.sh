#!/bin/sh
# clean.sh FILE KEPT REJECTED: lines whose amount is no number go to REJECTED.
set -eu
awk -v kept="$2" -v rejected="$3" '
    NR == 1 { print > kept; print > rejected; next }
    /,[0-9]+\.[0-9][0-9]$/ { print > kept; good++; next }
    { print > rejected; bad++ }
    END { printf "kept=%d\nrejected=%d\n", good, bad }' "$1" >>"$REEVE_OUTPUT"
cat "$REEVE_OUTPUT"
