#!/bin/bash
# preprocess.sh DAY: makes the day's raw file (there is no source to fetch it from here), trims blanks and drops what
# has no amount. Leaves clean.csv.
set -euo pipefail
day=$1
{
    echo "day,customer,amount"
    for i in $(seq 1 20); do
        echo "$day,  customer $i ,$((i % 7 == 0 ? 0 : i * 10))"
    done
} >raw.csv
awk -F, 'NR == 1 || $3 > 0 { gsub(/^ +| +$/, "", $2); print $1 "," $2 "," $3 }' raw.csv >clean.csv
echo "$(($(wc -l <raw.csv) - 1)) rows came, $(($(wc -l <clean.csv) - 1)) stay"
