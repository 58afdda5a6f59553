#!/bin/sh
# fetch.sh ROWS: made-up orders as CSV, the same ones each time; every 97th is broken.
set -eu
awk -v rows="$1" 'BEGIN {
    split("hr,it,ops,sales", department, ",")
    print "id,department,product,amount"
    for (i = 1; i <= rows; i++) {
        amount = i % 97 ? sprintf("%.2f", 1 + (i * 7919) % 10000 / 100) : (i % 2 ? "n/a" : "")
        printf "%d,%s,\"product %d, new\",%s\n", i, department[1 + i % 4], i % 7, amount
    }
}'
