#!/bin/bash
# clean.sh ORDERS: three fields, a known form of amount; the rest is put aside. Leaves clean.csv and rejected.csv.
set -euo pipefail
awk -F, 'NR == 1 { print >"clean.csv"; print >"rejected.csv"; next }
    NF == 3 && $3 ~ /^[0-9]+\.[0-9][0-9]$/ { print >"clean.csv"; kept++; next }
    { print >"rejected.csv"; rejected++ }
    END { printf "{\"kept\": %d, \"rejected\": %d}\n", kept, rejected }' "$1" >"$REEVE_OUTPUT"
cat "$REEVE_OUTPUT"
