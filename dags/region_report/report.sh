#!/bin/sh
# report.sh FILE REGION DAY: adds up the orders by product into report.csv.
set -eu
awk -F , -v region="$2" -v day="$3" -v OFS=, '
    { amount[$3] += $4; orders[$3]++ }
    END { for (p in amount) print day, region, p, orders[p], sprintf("%.2f", amount[p]) }
' "$1" | sort >report.csv
cat report.csv
