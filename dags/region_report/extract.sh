#!/bin/sh
# extract.sh REGION ROWS FILE: writes made-up orders of a region, the same ones each time.
set -eu
awk -v region="$1" -v rows="$2" 'BEGIN {
    for (i = 1; i <= rows; i++)
        printf "%d,%s,product-%d,%.2f\n", i, region, i % 7, 1 + (i * 7919) % 10000 / 100
}' >"$3"
echo "rows=$(wc -l <"$3")" >>"$REEVE_OUTPUT"
echo "file=$3" >>"$REEVE_OUTPUT"
echo "$2 orders of $1 are in $3"
