/*
 * run_params.h - a run's parameters and its context: what -p k=v gives, met with the plan's
 * declarations. No I/O.
 */
#ifndef MASTER_IO_RUN_PARAMS_H
#define MASTER_IO_RUN_PARAMS_H

#include "common/arena.h"
#include "common/dag/plan.h"
#include "proto/proto.h"

#include <jansson.h>

/* A run's context may be so long; more is refused, since every task carries it. */
enum { CONTEXT_MAX_BYTES = 1024 * 1024 };

/*
 * The params of a run: `given` ("name=value" as typed) over those of `before` (a run's own params;
 * NULL: none) over the declared defaults. *ret_params is a new reference. ERR_USAGE lists every
 * mistake, a line each.
 */
int run_params_resolve(const struct plan *plan, const struct texts *given, const json_t *before,
    json_t **ret_params, struct error *error);

/* {"values": …, "params": …} as compact JSON in the arena. ERR_TOO_BIG. */
int run_context_write(const json_t *values, const json_t *params, struct arena *arena,
    struct slice *ret_context, struct error *error);

/* The context of a run that is tried again with other params. */
int run_context_change(const struct plan *plan, struct slice context, const struct texts *given,
    struct arena *arena, struct slice *ret_context, struct error *error);

/* The params of a context as compact JSON in the arena; "{}" when it has none. */
struct slice run_context_params(struct slice context, struct arena *arena);

#endif
