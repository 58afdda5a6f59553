/*
 * reach.c - ancestors, 64 sources at a time: one pass over the edges in order carries a bit for
 * each of them down.
 */
#include "common/dag/graph.h"

#include "common/memory.h"

#include <stdlib.h>

static void carry_down(const struct graph *graph, uint64_t *masks, const uint64_t *own)
{
    for (uint32_t i = 0; i < graph->task_count; i++) {
        uint32_t to = graph->order[i];
        uint64_t mask = 0;
        for (uint32_t j = graph->predecessor_starts[to]; j < graph->predecessor_starts[to + 1];
             j++) {
            uint32_t from = graph->predecessors[j];
            mask |= masks[from] | own[from];
        }
        masks[to] = mask;
    }
}

void graph_reach(const struct graph *graph, const uint32_t *sources, uint32_t count,
    void (*visit)(void *context, uint32_t first, const uint64_t *masks), void *context)
{
    uint64_t *masks = xcalloc(graph->task_count, sizeof *masks);
    uint64_t *own = xcalloc(graph->task_count, sizeof *own);
    for (uint32_t first = 0; first < count; first += REACH_BATCH) {
        uint32_t batch = count - first < REACH_BATCH ? count - first : REACH_BATCH;
        for (uint32_t i = 0; i < batch; i++)
            own[sources[first + i]] |= (uint64_t)1 << i;
        carry_down(graph, masks, own);
        visit(context, first, masks);
        for (uint32_t i = 0; i < batch; i++)
            own[sources[first + i]] = 0;
    }
    free(masks);
    free(own);
}
