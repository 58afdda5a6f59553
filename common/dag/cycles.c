/*
 * cycles.c - tasks that wait for each other. Strongly connected components by Tarjan, with a stack
 * of its own instead of recursion (a chain has as many tasks as a DAG may have), then the shortest
 * way round from the component's first task in the file.
 */
#include "common/buffer.h"
#include "common/dag/graph.h"
#include "common/memory.h"

#include <stdlib.h>

/* How many names of a cycle are shown; the middle of a longer one is left out. */
enum { NAMES_SHOWN = 12 };

#define UNSEEN UINT32_MAX

struct search {
    const struct graph *graph;
    uint32_t *number;    /* the order of discovery, or UNSEEN */
    uint32_t *low;       /* the least number that is reached from here */
    uint32_t *component; /* UNSEEN while on the stack or unseen */
    uint32_t *edge;      /* the next successor to look at */
    uint32_t *path;      /* from the root to where the search stands */
    uint32_t *stack;     /* tasks without a component yet */
    uint32_t path_length, stack_length, numbered, components;
};

static void enter(struct search *search, uint32_t task)
{
    search->number[task] = search->low[task] = search->numbered++;
    search->edge[task] = search->graph->successor_starts[task];
    search->path[search->path_length++] = task;
    search->stack[search->stack_length++] = task;
}

static void leave(struct search *search, uint32_t task)
{
    search->path_length--;
    if (search->path_length > 0) {
        uint32_t parent = search->path[search->path_length - 1];
        if (search->low[task] < search->low[parent])
            search->low[parent] = search->low[task];
    }
    if (search->low[task] != search->number[task])
        return;
    uint32_t member;
    do {
        member = search->stack[--search->stack_length];
        search->component[member] = search->components;
    } while (member != task);
    search->components++;
}

static void search_from(struct search *search, uint32_t root)
{
    enter(search, root);
    while (search->path_length > 0) {
        uint32_t task = search->path[search->path_length - 1];
        if (search->edge[task] == search->graph->successor_starts[task + 1]) {
            leave(search, task);
            continue;
        }
        uint32_t to = search->graph->successors[search->edge[task]++];
        if (search->number[to] == UNSEEN)
            enter(search, to);
        else if (search->component[to] == UNSEEN && search->number[to] < search->low[task])
            search->low[task] = search->number[to];
    }
}

/* Breadth first, inside the component, from `start` back to it. Fills parent; returns the last task
 * before `start`. */
static uint32_t shortest_way_round(
    const struct search *search, uint32_t start, uint32_t *parent, uint32_t *queue)
{
    const struct graph *graph = search->graph;
    uint32_t queued = 0;
    queue[queued++] = start;
    for (uint32_t taken = 0; taken < queued; taken++) {
        uint32_t from = queue[taken];
        for (uint32_t i = graph->successor_starts[from]; i < graph->successor_starts[from + 1];
             i++) {
            uint32_t to = graph->successors[i];
            if (to == start)
                return from;
            if (search->component[to] != search->component[start] || parent[to] != UNSEEN)
                continue;
            parent[to] = from;
            queue[queued++] = to;
        }
    }
    return UNSEEN;
}

/* Where the task of rank `to` says that it needs `from`. */
static struct place need_place(
    const struct graph *graph, const struct dag *dag, uint32_t from, uint32_t to)
{
    const struct task *task = &dag->tasks[graph->by_rank[to]];
    for (uint32_t j = 0; j < task->need_count; j++) {
        const struct need *need = &dag->needs[task->first_need + j];
        if (need->task == graph->by_rank[from])
            return need->node->place;
    }
    return task->key->place;
}

static void report_cycle(const struct graph *graph, const struct dag *dag, struct report *report,
    const uint32_t *cycle, uint32_t length)
{
    struct buffer text = {0};
    for (uint32_t i = 0; i <= length; i++) {
        if (length > NAMES_SHOWN && i == NAMES_SHOWN - 1) {
            buffer_printf(&text, "… (%u more) -> ", length - i - 1);
            i = length - 1;
        }
        buffer_printf(&text, "%.*s%s",
            SLICE_PRINT(dag->tasks[graph->by_rank[cycle[i % length]]].name),
            i < length ? " -> " : "");
    }
    report_error(report, need_place(graph, dag, cycle[length - 1], cycle[0]),
        "these tasks wait for each other: %s", buffer_text(&text));
    buffer_fini(&text);
}

static void report_component(const struct search *search, const struct dag *dag,
    struct report *report, uint32_t start, uint32_t *scratch)
{
    const uint32_t count = search->graph->task_count;
    uint32_t *parent = scratch;
    uint32_t *cycle = scratch + count;
    uint32_t last = shortest_way_round(search, start, parent, cycle);
    if (last == UNSEEN)
        return;
    uint32_t length = 1;
    for (uint32_t task = last; task != start; task = parent[task])
        length++;
    uint32_t at = length;
    for (uint32_t task = last; task != start; task = parent[task])
        cycle[--at] = task;
    cycle[0] = start;
    report_cycle(search->graph, dag, report, cycle, length);
}

void graph_report_cycles(const struct graph *graph, const struct dag *dag, struct report *report)
{
    const size_t count = graph->task_count;
    uint32_t *memory = xcalloc(count * 9, sizeof *memory);
    struct search search = {.graph = graph,
        .number = memory,
        .low = memory + count,
        .component = memory + count * 2,
        .edge = memory + count * 3,
        .path = memory + count * 4,
        .stack = memory + count * 5};
    uint32_t *scratch = memory + count * 6;  /* parents and a queue */
    uint32_t *reported = memory + count * 8; /* by component */
    memset(search.number, 0xff, count * sizeof *memory);
    memset(search.component, 0xff, count * sizeof *memory);
    memset(scratch, 0xff, count * sizeof *memory);
    for (uint32_t i = 0; i < count; i++) {
        if (search.number[i] == UNSEEN)
            search_from(&search, i);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t start = dag->tasks[i].rank;
        if (reported[search.component[start]]++ == 0)
            report_component(&search, dag, report, start, scratch);
    }
    free(memory);
}
