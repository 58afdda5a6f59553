#!/bin/sh
# list.sh STATUS: writes packages.tsv, a line for each installed package: name, section, size in KiB.
set -eu
export LC_ALL=C
awk -v OFS='\t' '
    function flush() {
        if (name != "" && installed)
            print name, section, size
        name = ""; section = "unknown"; size = 0; installed = 0
    }
    BEGIN { flush() }
    /^Package: / { name = $2 }
    /^Status: .* installed$/ { installed = 1 }
    /^Section: / { section = $2; sub(/.*\//, "", section) }
    /^Installed-Size: / { size = $2 }
    /^$/ { flush() }
    END { flush() }
' "$1" >packages.tsv

count=$(wc -l <packages.tsv)
echo "$count packages are installed, by $1"
echo "packages=$count" >>"$REEVE_OUTPUT"
