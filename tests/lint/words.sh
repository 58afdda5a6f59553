#!/usr/bin/env bash
# What no tracked file may contain: words.sh FILE… prints each place, and fails then.
set -u

failed=0
forbid() { # WHY REGEX FILE…: the files have no line that matches
    local why=$1 regex=$2
    shift 2
    if grep -IPn -- "$regex" "$@" /dev/null; then
        echo "^^ $why" >&2
        failed=1
    fi
}

check() {
    forbid "do it now, or file an issue" '\b(TO''DO|FIX''ME|XX''X)\b' "$@"
    forbid "a path of one machine" '(?<![\w%}.~*-])/(wo''rk|ro''ot|home/\w+)/\w' "$@"
    forbid "not the project's own voice" '(?i)co-''authored-by|generated[ ]with|as an[ ]assistant' "$@"
    # Hosts that the project may name: what it serves itself, its licence, and the specifications that it cites.
    forbid "an address outside: cite a specification by its name" \
        'https?://(?!(localhost|127\.0\.0\.1|\[::1\]|[\w.]*example\.(com|org)|www\.apache\.org|json-schema\.org|www\.w3\.org|yaml\.org|rfc\.zeromq\.org)\b)(?=[\w\[])' "$@"
    forbid "white space at the end of a line" '[ \t]+$' "$@"
}

# The check must be able to fail.
bad=$(mktemp)
trap 'rm -f "$bad"' EXIT
for line in "// TO""DO: later" "cd /ro""ot/reeve" "see https:/""/somewhere.net/x" "end "; do
    echo "$line" >"$bad"
    if (check "$bad" && exit "$failed") >/dev/null 2>&1; then
        echo "words.sh does not see: $line"
        exit 1
    fi
done

failed=0
check "$@"
echo "$# files, $([ $failed = 0 ] && echo clean || echo 'see above')"
exit $failed
