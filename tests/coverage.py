"""Lines by room, of what `llvm-cov export -summary-only` says on stdin: coverage.py FILE, which gets them by file."""

import json
import os
import sys

ROOMS = ("common/dag", "common", "proto", "master/core", "master/store", "master/io", "master", "worker/core",
         "worker/io", "worker/runner", "worker", "cli", "operators")


def room_of(path):
    return next((room for room in ROOMS if path.startswith(room + "/")), None)


def main():
    here = os.path.realpath(".") + "/"
    rooms = {}
    with open(sys.argv[1], "w", encoding="utf-8") as files:
        for item in json.load(sys.stdin)["data"][0]["files"]:
            path = os.path.realpath(item["filename"]).removeprefix(here)
            lines = item["summary"]["lines"]
            room = room_of(path)
            if room is None:
                continue
            print(f"{lines['covered']:6} of {lines['count']:6}  {lines['percent']:5.1f} %  {path}", file=files)
            for name in (room, "all"):
                covered, count = rooms.get(name, (0, 0))
                rooms[name] = (covered + lines["covered"], count + lines["count"])
    for name in (*ROOMS, "all"):
        covered, count = rooms.get(name, (0, 0))
        if count:
            print(f"{name:14} {covered:6} of {count:6} lines  {100 * covered / count:5.1f} %")


main()
