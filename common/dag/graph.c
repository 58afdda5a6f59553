#include "common/dag/graph.h"

#include "common/limits.h"
#include "common/memory.h"

#include <stdlib.h>

struct ranked {
    struct slice name;
    uint32_t task;
};

static int compare_names(const void *a, const void *b)
{
    const struct ranked *x = a;
    const struct ranked *y = b;
    return slice_compare(x->name, y->name);
}

static void rank_tasks(struct graph *graph, struct dag *dag)
{
    struct ranked *ranked = xcalloc(dag->task_count, sizeof *ranked);
    graph->by_rank = xcalloc(dag->task_count, sizeof *graph->by_rank);
    for (uint32_t i = 0; i < dag->task_count; i++) {
        ranked[i] = (struct ranked){dag->tasks[i].name, i};
        names_set(&graph->names, dag->tasks[i].name, i);
    }
    qsort(ranked, dag->task_count, sizeof *ranked, compare_names);
    for (uint32_t rank = 0; rank < dag->task_count; rank++) {
        graph->by_rank[rank] = ranked[rank].task;
        dag->tasks[ranked[rank].task].rank = rank;
    }
    free(ranked);
}

uint32_t graph_find(const struct graph *graph, struct slice name)
{
    uint64_t task;
    return names_get(&graph->names, name, &task) ? (uint32_t)task : NEED_BROKEN;
}

const char *graph_suggestion(
    const struct dag *dag, struct report *report, struct slice name, char text[SUGGESTION_MAX])
{
    /* An edit more is a byte longer: only names of about the same length can be near. */
    text[0] = '\0';
    if (!report_suggests(report, dag->task_count))
        return text;
    const size_t apart = name.length / 3 > 0 ? name.length / 3 : 1;
    const char **names = xcalloc((size_t)dag->task_count + 1, sizeof *names);
    size_t count = 0;
    for (uint32_t i = 0; i < dag->task_count; i++) {
        size_t length = dag->tasks[i].name.length;
        if (length + apart >= name.length && length <= name.length + apart)
            names[count++] = dag->tasks[i].name.ptr;
    }
    (void)report_suggestion(report, name, names, count, text);
    free(names);
    return text;
}

static void resolve_need(const struct graph *graph, const struct dag *dag, struct report *report,
    const struct task *task, struct need *need)
{
    uint32_t found = graph_find(graph, need->node->text);
    char near[SUGGESTION_MAX];
    if (found == NEED_BROKEN)
        report_error(report, need->node->place, "task \"%.*s\" needs \"%.*s\", which is no task%s",
            SLICE_PRINT(task->name), SLICE_PRINT(need->node->text),
            graph_suggestion(dag, report, need->node->text, near));
    else if (&dag->tasks[found] == task)
        report_error(
            report, need->node->place, "task \"%.*s\" needs itself", SLICE_PRINT(task->name));
    else
        need->task = found;
}

/* Resolves all needs. `last` marks, by task, who named it last: so that a doubled need is found at
 * once. */
static void resolve_needs(struct graph *graph, struct dag *dag, struct report *report)
{
    uint32_t *last = xcalloc(dag->task_count, sizeof *last);
    for (uint32_t i = 0; i < dag->task_count; i++) {
        const struct task *task = &dag->tasks[i];
        for (uint32_t j = 0; j < task->need_count; j++) {
            struct need *need = &dag->needs[task->first_need + j];
            resolve_need(graph, dag, report, task, need);
            if (need->task == NEED_BROKEN)
                continue;
            if (last[need->task] == i + 1) {
                report_error(report, need->node->place, "task \"%.*s\" needs \"%.*s\" twice",
                    SLICE_PRINT(task->name), SLICE_PRINT(need->node->text));
                need->task = NEED_BROKEN;
                continue;
            }
            last[need->task] = i + 1;
            graph->edge_count++;
        }
    }
    free(last);
}

/* Turns counts in starts[i + 1] into the places where the lists begin. */
static void sum_up(uint32_t *starts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        starts[i + 1] += starts[i];
}

/* Successors first, filled by ascending rank of the needing task, so that they ascend; then they
 * are turned round. */
static void link_edges(struct graph *graph, const struct dag *dag)
{
    uint32_t count = graph->task_count;
    graph->successor_starts = xcalloc((size_t)count + 2, sizeof(uint32_t));
    graph->predecessor_starts = xcalloc((size_t)count + 2, sizeof(uint32_t));
    graph->successors = xcalloc(graph->edge_count, sizeof(uint32_t));
    graph->predecessors = xcalloc(graph->edge_count, sizeof(uint32_t));
    for (size_t i = 0; i < dag->need_count; i++) {
        if (dag->needs[i].task != NEED_BROKEN)
            graph->successor_starts[dag->tasks[dag->needs[i].task].rank + 1]++;
    }
    sum_up(graph->successor_starts, count);
    uint32_t *next = xcalloc((size_t)count + 1, sizeof *next);
    memcpy(next, graph->successor_starts, ((size_t)count + 1) * sizeof *next);
    for (uint32_t rank = 0; rank < count; rank++) {
        const struct task *task = &dag->tasks[graph->by_rank[rank]];
        for (uint32_t j = 0; j < task->need_count; j++) {
            uint32_t need = dag->needs[task->first_need + j].task;
            if (need == NEED_BROKEN)
                continue;
            graph->successors[next[dag->tasks[need].rank]++] = rank;
            graph->predecessor_starts[rank + 1]++;
        }
    }
    sum_up(graph->predecessor_starts, count);
    memcpy(next, graph->predecessor_starts, ((size_t)count + 1) * sizeof *next);
    for (uint32_t from = 0; from < count; from++) {
        for (uint32_t i = graph->successor_starts[from]; i < graph->successor_starts[from + 1]; i++)
            graph->predecessors[next[graph->successors[i]]++] = from;
    }
    free(next);
}

/* Kahn: takes what waits for nothing. False when a cycle is left over. */
static bool order_tasks(const struct graph *graph, uint32_t *order)
{
    uint32_t count = graph->task_count;
    uint32_t *waits = xcalloc(count, sizeof *waits);
    uint32_t queued = 0;
    for (uint32_t i = 0; i < count; i++) {
        waits[i] = graph->predecessor_starts[i + 1] - graph->predecessor_starts[i];
        if (waits[i] == 0)
            order[queued++] = i;
    }
    for (uint32_t taken = 0; taken < queued; taken++) {
        uint32_t from = order[taken];
        for (uint32_t i = graph->successor_starts[from]; i < graph->successor_starts[from + 1];
             i++) {
            if (--waits[graph->successors[i]] == 0)
                order[queued++] = graph->successors[i];
        }
    }
    free(waits);
    return queued == count;
}

void graph_build(struct graph *graph, struct dag *dag, struct report *report)
{
    *graph = (struct graph){.task_count = dag->task_count};
    if (dag->need_count > DAG_EDGES_MAX) {
        report_error(report, (struct place){0}, "the DAG is too big: it has more than %d needs",
            DAG_EDGES_MAX);
        dag->need_count = 0;
        for (uint32_t i = 0; i < dag->task_count; i++)
            dag->tasks[i].need_count = 0;
    }
    rank_tasks(graph, dag);
    resolve_needs(graph, dag, report);
    link_edges(graph, dag);
    graph->order = xcalloc(dag->task_count, sizeof *graph->order);
    if (order_tasks(graph, graph->order))
        return;
    free(graph->order);
    graph->order = NULL;
    graph_report_cycles(graph, dag, report);
}

bool graph_has_edge(const struct graph *graph, uint32_t from, uint32_t to)
{
    uint32_t low = graph->predecessor_starts[to];
    uint32_t high = graph->predecessor_starts[to + 1];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (graph->predecessors[middle] == from)
            return true;
        if (graph->predecessors[middle] < from)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

void graph_fini(struct graph *graph)
{
    free(graph->by_rank);
    free(graph->successor_starts);
    free(graph->successors);
    free(graph->predecessor_starts);
    free(graph->predecessors);
    free(graph->order);
    names_fini(&graph->names);
    *graph = (struct graph){0};
}
