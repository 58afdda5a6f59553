#!/usr/bin/env bash
# Every header compiles alone, with gcc and with clang: headers.sh FILE.h…
set -u
flags=(-std=c17 -D_GNU_SOURCE -I. -fsyntax-only -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wno-sign-conversion
    -Wno-unused-function -Werror -x c)
read -ra libraries < <(pkg-config --cflags libczmq libzmq sqlite3 yaml-0.1 jansson libsodium icu-i18n msgpack libpq cmocka)
status=0
for header in "$@"; do
    for compiler in gcc clang; do
        # The typedef: a unit with nothing in it is an error of its own.
        if ! printf '#include "%s"\ntypedef int not_empty;\n' "$header" |
            "$compiler" "${flags[@]}" "${libraries[@]}" -; then
            echo "$header does not compile alone with $compiler"
            status=1
        fi
    done
done
exit $status
