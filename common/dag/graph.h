/*
 * graph.h - the edges of a DAG as it is compiled: names resolved, cycles found, order known.
 * Internal to common/dag. Tasks go by rank here, which is their index in the plan: the byte order
 * of their names.
 */
#ifndef COMMON_DAG_GRAPH_H
#define COMMON_DAG_GRAPH_H

#include "common/dag/model.h"
#include "common/dag/report.h"
#include "common/table.h"

struct graph {
    uint32_t task_count, edge_count;
    uint32_t *by_rank;          /* rank -> index in dag->tasks */
    uint32_t *successor_starts; /* CSR, task_count + 1; each task's successors ascend */
    uint32_t *successors;
    uint32_t *predecessor_starts;
    uint32_t *predecessors;
    uint32_t *order;    /* ranks, each after its predecessors; NULL when there is a cycle */
    struct names names; /* task's name -> index in dag->tasks */
};

/* Resolves dag->needs, reports missing, doubled and own ones and cycles. Always leaves a graph of
 * what is sound. */
void graph_build(struct graph *graph, struct dag *dag, struct report *report);
void graph_fini(struct graph *graph);

/* The task of that name as an index in dag->tasks, or NEED_BROKEN. */
uint32_t graph_find(const struct graph *graph, struct slice name);
/* `; did you mean "x"?` for a task that is not there. */
const char *graph_suggestion(
    const struct dag *dag, struct report *report, struct slice name, char text[SUGGESTION_MAX]);
/* Whether `from` is a direct predecessor of `to`, by binary search. */
bool graph_has_edge(const struct graph *graph, uint32_t from, uint32_t to);

/* cycles.c: reports the shortest cycle of each knot of tasks that wait for each other, at one of
 * its needs. */
void graph_report_cycles(const struct graph *graph, const struct dag *dag, struct report *report);

/*
 * reach.c: which of some tasks lie above which. Calls visit once a batch of REACH_BATCH sources:
 * bit i of masks[rank] is set when sources[first + i] is a true ancestor of that rank. Needs
 * graph->order.
 */
enum { REACH_BATCH = 64 };
void graph_reach(const struct graph *graph, const uint32_t *sources, uint32_t count,
    void (*visit)(void *context, uint32_t first, const uint64_t *masks), void *context);

#endif
