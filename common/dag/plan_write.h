/*
 * plan_write.h - a DAG without mistakes -> the bytes of its plan. Internal to common/dag.
 */
#ifndef COMMON_DAG_PLAN_WRITE_H
#define COMMON_DAG_PLAN_WRITE_H

#include "common/buffer.h"
#include "common/dag/graph.h"

/* Appends the plan to an empty buffer. ERR_TOO_BIG, and nothing appended, beyond PLAN_MAX_BYTES.
 * `source` is the file. */
#define PLAN_MAX_BYTES (1024u * 1024 * 1024)
int plan_write(
    const struct dag *dag, const struct graph *graph, struct slice source, struct buffer *out);

#endif
