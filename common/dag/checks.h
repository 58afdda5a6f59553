/*
 * checks.h - what can be said of a DAG only when all of it was read. Internal to common/dag.
 */
#ifndef COMMON_DAG_CHECKS_H
#define COMMON_DAG_CHECKS_H

#include "common/dag/graph.h"

/*
 * check_templates.c: every template of every task and of the shared env: its grammar, its names,
 * that params are declared, that outputs and artifacts come from above, and that nothing a person
 * or a task supplied enters text that is interpreted.
 */
void check_templates(struct dag *dag, const struct graph *graph, struct report *report);

/* upstream.c: uses of outputs and artifacts whose task must lie above; collected, then checked in
 * batches. */
struct upstream_use {
    uint32_t source, task;   /* ranks */
    const struct node *node; /* the text that uses it */
    struct slice piece;      /* of the node's text */
    bool artifacts;
};

struct upstream_uses {
    struct upstream_use *items;
    size_t count, capacity;
};

void upstream_add(struct upstream_uses *uses, struct upstream_use use);
/* Reports each use whose source is no ancestor of its task. */
void upstream_check(struct upstream_uses *uses, const struct dag *dag, const struct graph *graph,
    struct report *report);
void upstream_fini(struct upstream_uses *uses);

#endif
