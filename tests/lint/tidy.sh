#!/usr/bin/env bash
# clang-tidy over one file as BUILD compiles it: tidy.sh BUILD FILE.c
# A file that passed is not looked at again until it, a header of it or .clang-tidy changes.
set -u
build=$1
file=$2
passed=build/tidy
mkdir -p "$passed"
command=$("${PYTHON:-python3}" -c 'import json, os, shlex, sys
for entry in json.load(open(sys.argv[1] + "/compile_commands.json")):
    if os.path.realpath(entry["file"]) == os.path.realpath(sys.argv[2]):
        words = shlex.split(entry["command"])
        words = words[1:] if os.path.basename(words[0]) == "ccache" else words
        output = words.index("-o")
        print(shlex.join(w for w in words[:output] + words[output + 2:] if w != "-c"))
        break' "$build" "$file")
if [ -z "$command" ]; then
    echo "$file is compiled by no target of $build"
    exit 1
fi
# error.c defines what analyzer.h wraps.
first=(-include tests/lint/analyzer.h)
[ "$file" = common/error.c ] && first=()
key=$({ cat .clang-tidy tests/lint/analyzer.h && clang-tidy --version && (cd "$build" && eval "$command -E -P"); } | sha256sum | cut -d ' ' -f 1)
[ -e "$passed/$key" ] && exit 0
# shellcheck disable=SC2086 # the words of a command
eval "set -- $command"
if clang-tidy -quiet "$file" -- "${first[@]}" "${@:2}" 2>"$passed/$$.err"; then
    touch "$passed/$key"
    rm -f "$passed/$$.err"
else
    cat "$passed/$$.err"
    rm -f "$passed/$$.err"
    exit 1
fi
