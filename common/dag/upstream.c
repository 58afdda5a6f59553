#include "common/dag/checks.h"
#include "common/memory.h"

#include <stdlib.h>

struct batches {
    const struct upstream_uses *uses; /* ordered by source */
    size_t next;                      /* the first use that no batch has covered */
    const uint32_t *sources;
    uint32_t source_count;
    const struct dag *dag;
    const struct graph *graph;
    struct report *report;
};

void upstream_add(struct upstream_uses *uses, struct upstream_use use)
{
    vector_reserve(&uses->items, uses->count, &uses->capacity);
    uses->items[uses->count++] = use;
}

static void report_not_above(const struct batches *batches, const struct upstream_use *use)
{
    const struct graph *graph = batches->graph;
    struct slice source = batches->dag->tasks[graph->by_rank[use->source]].name;
    struct slice task = batches->dag->tasks[graph->by_rank[use->task]].name;
    const char *what = use->artifacts ? "artifacts" : "outputs";
    if (use->source == use->task)
        report_error(batches->report, node_place_of(use->node, use->piece, batches->report),
            "task \"%.*s\" uses its own %s, which come after it", SLICE_PRINT(task), what);
    else
        report_error(batches->report, node_place_of(use->node, use->piece, batches->report),
            "task \"%.*s\" uses %s of \"%.*s\", which does not come before it: add it to needs",
            SLICE_PRINT(task), what, SLICE_PRINT(source));
}

static void check_batch(void *context, uint32_t first, const uint64_t *masks)
{
    struct batches *batches = context;
    uint32_t end =
        first + REACH_BATCH < batches->source_count ? first + REACH_BATCH : batches->source_count;
    uint32_t bit = first;
    for (; batches->next < batches->uses->count; batches->next++) {
        const struct upstream_use *use = &batches->uses->items[batches->next];
        while (bit < end && batches->sources[bit] != use->source)
            bit++;
        if (bit == end)
            return;
        if ((masks[use->task] >> (bit - first) & 1) == 0)
            report_not_above(batches, use);
    }
}

static int compare_sources(const void *a, const void *b)
{
    const struct upstream_use *x = a;
    const struct upstream_use *y = b;
    return (x->source > y->source) - (x->source < y->source);
}

/* Direct needs, the usual case, are settled by a look; what is left is ordered by source. */
static void drop_direct(struct upstream_uses *uses, const struct graph *graph)
{
    size_t kept = 0;
    for (size_t i = 0; i < uses->count; i++) {
        if (!graph_has_edge(graph, uses->items[i].source, uses->items[i].task))
            uses->items[kept++] = uses->items[i];
    }
    uses->count = kept;
    if (kept > 1)
        qsort(uses->items, kept, sizeof *uses->items, compare_sources);
}

void upstream_check(struct upstream_uses *uses, const struct dag *dag, const struct graph *graph,
    struct report *report)
{
    if (graph->order == NULL)
        return;
    drop_direct(uses, graph);
    uint32_t *sources = xcalloc(uses->count, sizeof *sources);
    struct batches batches = {
        .uses = uses, .sources = sources, .dag = dag, .graph = graph, .report = report};
    for (size_t i = 0; i < uses->count; i++) {
        if (i == 0 || uses->items[i].source != uses->items[i - 1].source)
            sources[batches.source_count++] = uses->items[i].source;
    }
    graph_reach(graph, sources, batches.source_count, check_batch, &batches);
    free(sources);
}

void upstream_fini(struct upstream_uses *uses)
{
    free(uses->items);
    *uses = (struct upstream_uses){0};
}
