#!/bin/sh
# same_trace.sh REEVE_SIM: the same seeds play the same stories, to the word; other seeds play others.
set -eu
sim=$1
stories() {
    "$sim" --first "$1" --seeds 30 --story
}
one=$(stories 1 | sha256sum)
two=$(stories 1 | sha256sum)
other=$(stories 2 | sha256sum)
[ "$one" = "$two" ] || { echo "seeds 1 to 30 played two different stories" && exit 1; }
[ "$one" != "$other" ] || { echo "seeds 1 to 30 and 2 to 31 played the same story" && exit 1; }
echo "30 seeds, twice: $one"
