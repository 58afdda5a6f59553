/*
 * said.h - one line that an operator wrote to descriptor 3, read by the contract of
 * docs/operators.md. Pure.
 */
#ifndef WORKER_IO_SAID_H
#define WORKER_IO_SAID_H

#include "common/arena.h"
#include "common/error.h"

#include <jansson.h>
#include <stdint.h>

enum said_kind { SAID_NOTE, SAID_OUTPUT, SAID_PROGRESS, SAID_ERROR };

struct said {
    enum said_kind kind;
    uint32_t id;       /* NOTE */
    struct slice text; /* NOTE: a JSON object; PROGRESS; ERROR: one line, cut to its bound */
    json_t *outputs;   /* OUTPUT: an object, the caller's reference */
    int64_t done, total;
    bool no_retry;
};

/*
 * A line without its end; texts lie in the arena. ERR_INVALID: it breaks the contract, and how.
 * ERR_TOO_BIG: a note over its bound, which is refused (`id` is set) and breaks nothing.
 */
int said_parse(struct slice line, struct arena *arena, struct said *ret_said, struct error *error);

#endif
