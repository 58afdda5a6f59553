#!/bin/sh
# report.sh TOP LISTED: joins the parts of the count tasks into report.txt, and prints its TOP largest sections. The
# parts must add up to the LISTED packages.
set -eu
export LC_ALL=C
top=$1
listed=$2

cat "$REEVE_ARTIFACTS"/count_*/sections.tsv | awk -F '\t' -v OFS='\t' '
    { count[$1] += $2; size[$1] += $3 }
    END { for (section in count) print section, count[section], size[section] }
' | sort -t "$(printf '\t')" -k3,3nr -k1,1 >joined.tsv

counted=$(awk -F '\t' '{ n += $2 } END { print n + 0 }' joined.tsv)
if [ "$counted" -ne "$listed" ]; then
    echo "the parts have $counted packages, the list has $listed" >&2
    exit 1
fi

{
    printf '%-20s %9s %12s\n' section packages 'size in MiB'
    awk -F '\t' '{ printf "%-20s %9d %12.1f\n", $1, $2, $3 / 1024 }' joined.tsv
    awk -F '\t' '{ n += $2; s += $3 } END { printf "%-20s %9d %12.1f\n", "all", n, s / 1024 }' joined.tsv
} >report.txt

sections=$(wc -l <joined.tsv)
echo "The $top largest of $sections sections:"
head -n $((top + 1)) report.txt
tail -n 1 report.txt
