#!/bin/sh
# check.sh FILE ROWS: the file has so many rows, and each has four fields and an amount.
set -eu
awk -F , -v rows="$2" '
    NF != 4 || $4 <= 0 { print "row " NR " is no order: " $0; bad = 1 }
    END {
        if (NR != rows) { print NR " rows, not " rows; bad = 1 }
        exit bad
    }
' "$1"
echo "$2 rows are well"
