#!/usr/bin/env python3
"""Who may include whom: rooms.py FILE… prints each #include that goes against the arrows, and fails then.

The link lists of CMake and tests/lint/purity.sh guard what is called; this guards what is seen.
"""

import re
import sys

# A room and the rooms whose headers it may include, besides its own. The longest matching prefix is a file's room.
LANGUAGE = ["common/", "common/connection/", "common/dag/", "proto/"]
ROOMS = {
    "common/": [],
    "common/connection/": ["common/"],
    "common/dag/": ["common/", "common/connection/"],
    "common/transport/": ["common/"],
    "proto/": ["common/"],
    "master/core/": LANGUAGE,
    "master/store/": ["common/", "common/dag/", "proto/", "master/core/"],
    "master/io/": [*LANGUAGE, "common/transport/", "master/core/", "master/store/"],
    "master/": ["common/", "master/io/"],
    "worker/core/": ["common/", "common/dag/", "proto/", "worker/runner/"],
    "worker/runner/": ["common/", "proto/"],
    "worker/runner_client": ["common/", "proto/", "worker/runner/"],
    "worker/io/": [*LANGUAGE, "common/transport/", "worker/core/", "worker/runner/", "worker/runner_client"],
    "worker/": ["common/", "worker/io/"],
    "cli/": [*LANGUAGE, "common/transport/"],
    "operators/common/": ["common/"],
    "operators/postgres/": ["common/", "operators/common/"],
    "operators/spark/": ["common/", "operators/common/"],
    "operators/probe/": ["common/", "common/connection/", "operators/common/"],
}

# Headers of what reads a clock, a file, a socket or the environment: a core never sees them.
IMPURE = re.compile(r"common/(beside|boot|clock|copy|environment|file|flags|hash_file|jobs|key_pair|log|loop|materialize"
                    r"|random|seal|state_file)\.h")
PURE_FILES = re.compile(r"(proto/|master/core/|worker/core/|worker/runner/(attempt|core|effects|end)\.|common/connection/"
                        r"|common/(arena|buffer|duration|endpoint|error|hex|label|limits|memory|size|slice"
                        r"|sql\w*|suggest|table|tag|wheel)\."
                        r"|common/dag/(civil|json_text|params|plan|schema|template|template_parse)\.)")
PURE_EXCEPT = re.compile(r"proto/(json|protocol_page)\.")

# A library's header and the only files that may know it.
LIBRARIES = {
    r"czmq|zmq": r"common/transport/",
    r"curl/": r"operators/common/http\.c|operators/spark/",
    r"libpq": r"operators/postgres/",
    r"msgpack": r"proto/",
    r"sodium": r"common/",
    r"sqlite3": r"master/store/",
    r"unicode/": r"common/dag/",
    r"yaml": r"common/dag/",
    r"cmocka": r"tests/",
}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def room_of(path):
    rooms = [room for room in ROOMS if path.startswith(room)]
    return max(rooms, key=len) if rooms else None


def complaint(path, quote, header):
    """Why this file may not include this header, or None."""
    if quote == "<":
        for library, owners in LIBRARIES.items():
            if re.match(library, header) and not re.match(f"{owners}|tests/", path):
                return f"<{header}> is known to {owners} alone"
        return None
    mine, other = room_of(path), room_of(header)
    if mine is None or other is None:
        return None
    if PURE_FILES.match(path) and not PURE_EXCEPT.match(path) and IMPURE.match(header):
        return f"{path} is pure and may not see {header}"
    if other != mine and other not in ROOMS[mine]:
        return f"{mine} may not include from {other}: arrows run main -> io -> core -> common/dag, proto -> common"
    return None


def complaints(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        why = found and complaint(path, found.group(1), found.group(2))
        if why:
            yield f"{path}:{number}: {why}"


def self_test():
    """The check must be able to fail."""
    bad = [("common/arena.c", '#include "proto/proto.h"'), ("cli/main.c", '#include "master/core/core.h"'),
           ("worker/io/spool.c", '#include "master/store/blob.h"'), ("master/core/step.c", '#include "common/clock.h"'),
           ("proto/encode.c", '#include "common/dag/plan.h"'), ("master/io/clients.c", "#include <czmq.h>"),
           ("worker/core/agent.c", '#include "worker/io/link.h"'), ("cli/submit.c", "#include <sqlite3.h>"),
           ("worker/runner/end.c", '#include "common/log.h"'), ("common/sql_check.c", '#include "common/file.h"'),
           ("common/connection/mask.c", '#include "common/dag/plan.h"'), ("operators/spark/job.c", "#include <libpq-fe.h>"),
           ("operators/spark/job.c", '#include "operators/postgres/rows.h"'), ("cli/main.c", "#include <curl/curl.h>")]
    for path, text in bad:
        assert list(complaints(path, text)), (path, text)
    for path, text in [("master/io/clients.c", '#include "master/core/core.h"'), ("common/transport/peers.c", "#include <czmq.h>"),
                       ("proto/json.c", '#include "common/log.h"'), ("tests/sim/world.c", '#include "master/core/core.h"')]:
        assert not list(complaints(path, text)), (path, text)


def main(paths):
    self_test()
    bad = 0
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in complaints(path, file.read()):
                print(line)
                bad += 1
    print(f"{len(paths)} files, {bad} includes against the arrows")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
