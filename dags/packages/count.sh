#!/bin/sh
# count.sh LETTERS: of the packages whose names begin so, writes sections.tsv: section, packages, KiB.
set -eu
export LC_ALL=C
awk -F '\t' -v OFS='\t' -v letters="^$1" '
    $1 ~ letters { count[$2]++; size[$2] += $3; all++ }
    END {
        for (section in count)
            print section, count[section], size[section] > "sections.tsv"
        printf "%d packages begin with %s\n", all, substr(letters, 2)
    }
' "$REEVE_ARTIFACTS/list/packages.tsv"
# A machine may have none: an empty part is a part.
[ -e sections.tsv ] || : >sections.tsv
