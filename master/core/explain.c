/*
 * What a run or a task waits for: a sentence for the run, and lines for what holds it up, the worst
 * first. One walk over the run's tasks, and at most so many lines as a message takes.
 */
#include "master/core/explain.h"

#include "common/memory.h"

#include <stdlib.h>

/* As messages.def has it. */
enum { LINES_MAX = 1000 };
/* Of one lane, whose ready tasks all wait for the same. */
enum { READY_LINES_MAX = 10 };

struct slice wait_name(enum wait wait)
{
    static const char *const names[] = {
        [WAIT_NOTHING] = "nothing",
        [WAIT_DEPENDENCY] = "dependency",
        [WAIT_SLOT] = "slot",
        [WAIT_WORKER] = "worker",
        [WAIT_QUEUE] = "queue",
        [WAIT_RETRY] = "retry",
        [WAIT_CAP] = "cap",
        [WAIT_RUN] = "run",
        [WAIT_LEASE] = "lease",
        [WAIT_CANCEL] = "cancel",
        [WAIT_PERSON] = "person",
    };
    static_assert(sizeof names / sizeof names[0] == WAIT_COUNT, "a word for each");
    return slice_of(names[wait]);
}

/* ---- sentences for a run ---- */

/* "salaries/12, salaries/13 and 4 more" */
static void append_running_runs(const struct core *core, const struct run *run, struct buffer *text)
{
    const struct dag *dag = &core->dags[run->dag];
    uint32_t count = 0;
    for (uint32_t slot = dag->first_run; slot != NONE && count < EXPLAIN_NAMES_MAX;
         slot = core->runs[slot].next_of_dag) {
        if (core->runs[slot].state != RUN_RUNNING)
            continue;
        buffer_printf(text, "%s%.*s/%u", count++ > 0 ? ", " : "", SLICE_PRINT(dag->name),
            core->runs[slot].number);
    }
    if (dag->active > count)
        buffer_printf(text, " and %u more", dag->active - count);
}

enum wait explain_queued(const struct core *core, const struct run *run, struct buffer *text)
{
    const struct dag *dag = &core->dags[run->dag];
    uint32_t before = 0;
    for (uint32_t at = run->previous_queued; at != NONE; at = core->runs[at].previous_queued)
        before++;
    buffer_printf(text, "queued: max_active_runs of %.*s is %u, and ", SLICE_PRINT(dag->name),
        run->plan.header->max_active_runs);
    append_running_runs(core, run, text);
    buffer_printf(text, " %s running", dag->active == 1 ? "is" : "are");
    if (before > 0)
        buffer_printf(text, "; %u run%s before it", before, before == 1 ? " is" : "s are");
    return WAIT_RUN;
}

/* The first lane with ready tasks that nobody can take. */
static void append_stranded(const struct core *core, const struct run *run, struct buffer *text)
{
    for (uint32_t i = 0; i < run->lane_count && !run->parked; i++) {
        const struct lane *lane = &run->lanes[i];
        if (lane->count == 0 || !explain_is_stranded(core, &core->classes[lane->class]))
            continue;
        buffer_printf(text, "%u ready task%s: ", lane->count, lane->count == 1 ? "" : "s");
        (void)explain_class(core, &core->classes[lane->class], text);
        return;
    }
}

void core_explain_run(const struct core *core, uint64_t key, struct buffer *text)
{
    const struct run *run = run_by_key(core, key);
    if (run == NULL)
        return;
    if (run->state == RUN_QUEUED)
        (void)explain_queued(core, run, text);
    else if (run->state == RUN_RUNNING && core->fenced)
        buffer_append_slice(text, core->fenced_text);
    else if (run->state == RUN_RUNNING)
        append_stranded(core, run, text);
}

/* "2 running, 1 retrying, 40 waiting" */
static void append_counts(const struct run *run, struct buffer *text)
{
    const char *separator = "";
    static const uint32_t states[] = {
        TASK_RUNNING, TASK_ASSIGNED, TASK_READY, TASK_RETRYING, TASK_HELD, TASK_WAITING};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        if (run->counts[states[i]] == 0)
            continue;
        buffer_printf(
            text, "%s%u %s", separator, run->counts[states[i]], task_state_name(states[i]));
        separator = ", ";
    }
}

static void explain_ended(const struct core *core, const struct run *run, struct buffer *text)
{
    uint32_t bad = run->counts[TASK_FAILED] + run->counts[TASK_UPSTREAM_FAILED];
    buffer_append_text(text, run->state == RUN_SUCCESS ? "succeeded" : "ended");
    explain_span(core, " ", run->ended_at, text);
    if (run->ended_at != 0)
        buffer_append_text(text, " ago");
    if (bad == 0)
        return;
    buffer_printf(text, ": %u of its %u tasks failed", run->counts[TASK_FAILED], run->task_count);
    if (run->counts[TASK_UPSTREAM_FAILED] > 0)
        buffer_printf(text, ", and so %u below them never ran", run->counts[TASK_UPSTREAM_FAILED]);
}

static void explain_run(const struct core *core, const struct run *run, struct buffer *text)
{
    if (run->state == RUN_QUEUED) {
        (void)explain_queued(core, run, text);
        return;
    }
    if (run->state != RUN_RUNNING) {
        explain_ended(core, run, text);
        return;
    }
    if (run->cancelled)
        buffer_append_text(text, "being cancelled: ");
    append_counts(run, text);
    if (core->fenced)
        buffer_printf(text, "; %.*s", SLICE_PRINT(core->fenced_text));
    if (run->parked && !run->cancelled)
        buffer_printf(text, "; max_active_tasks is %u", run->plan.header->max_active_tasks);
}

/* ---- lines ---- */

/* What is listed, the worst first. */
enum rank {
    RANK_STRANDED, /* ready, and nobody can take it */
    RANK_UNREACHABLE,
    RANK_FAILED, /* of a run that is over */
    RANK_CANCELLING,
    RANK_RETRYING,
    RANK_READY,
    RANK_ACTIVE,
    RANK_COUNT,
    RANK_NONE = RANK_COUNT
};

/* Where lines go. */
struct telling {
    const struct core *core;
    const struct run *run;
    struct arena *arena;
    struct msg_explained *explained;
};

/* Up to so many tasks of each rank, by their index. */
struct listing {
    struct telling telling;
    uint32_t *tasks[RANK_COUNT];
    uint32_t counts[RANK_COUNT];
    uint64_t open; /* tasks that have not ended */
};

static enum rank rank_of(const struct telling *telling, uint32_t task)
{
    const struct run *run = telling->run;
    bool over = run->state != RUN_RUNNING && run->state != RUN_QUEUED;
    switch (task_shown_state(telling->core, run, task)) {
    case TASK_UNREACHABLE:
        return RANK_UNREACHABLE;
    case TASK_CANCELLING:
        return RANK_CANCELLING;
    case TASK_RETRYING:
        return RANK_RETRYING;
    case TASK_ASSIGNED:
    case TASK_RUNNING:
        return RANK_ACTIVE;
    case TASK_FAILED:
        return over ? RANK_FAILED : RANK_NONE;
    default:
        return RANK_NONE;
    }
}

static void note(struct listing *listing, enum rank rank, uint32_t task)
{
    if (rank != RANK_NONE && listing->counts[rank] < LINES_MAX)
        listing->tasks[rank][listing->counts[rank]++] = task;
}

/* The first of a lane, in the order in which they go. */
static void collect_lane(struct listing *listing, const struct lane *lane)
{
    const struct core *core = listing->telling.core;
    const struct run *run = listing->telling.run;
    bool stranded =
        lane->count > 0 && !run->parked && explain_is_stranded(core, &core->classes[lane->class]);
    uint32_t at = lane->head;
    for (uint32_t i = 0; i < READY_LINES_MAX && at != NONE; i++) {
        note(listing, stranded ? RANK_STRANDED : RANK_READY, at);
        at = run->tasks[at].next;
    }
}

static void collect(struct listing *listing)
{
    const struct run *run = listing->telling.run;
    for (uint32_t i = 0; i < run->task_count; i++) {
        note(listing, rank_of(&listing->telling, i), i);
        listing->open += !task_state_is_end(run->tasks[i].state);
    }
    for (uint32_t i = 0; i < run->lane_count; i++)
        collect_lane(listing, &run->lanes[i]);
}

static void add_line(const struct telling *telling, uint32_t task)
{
    const struct run *run = telling->run;
    struct msg_explained *explained = telling->explained;
    struct buffer text = {0};
    int64_t since = 0;
    enum wait wait = explain_task(telling->core, run, task, &text, &since);
    explained->lines.items[explained->lines.count++] = (struct explain_line){
        .task = arena_copy(telling->arena, plan_string(&run->plan, run_plan_task(run, task)->name)),
        .state = task_shown_state(telling->core, run, task),
        .since = since,
        .waits_for = wait_name(wait),
        .text = arena_copy(telling->arena, buffer_slice(&text)),
    };
    buffer_fini(&text);
}

static void add_lines(struct listing *listing)
{
    struct msg_explained *explained = listing->telling.explained;
    uint64_t told = 0;
    collect(listing);
    for (uint32_t rank = 0; rank < RANK_COUNT; rank++) {
        for (uint32_t i = 0; i < listing->counts[rank] && explained->lines.count < LINES_MAX; i++) {
            add_line(&listing->telling, listing->tasks[rank][i]);
            told += rank != RANK_FAILED;
        }
    }
    explained->more = (uint32_t)(listing->open - told);
}

static void explain_all(const struct telling *telling)
{
    struct listing listing = {.telling = *telling};
    for (size_t i = 0; i < RANK_COUNT; i++)
        listing.tasks[i] = xcalloc(LINES_MAX, sizeof *listing.tasks[i]);
    add_lines(&listing);
    for (size_t i = 0; i < RANK_COUNT; i++)
        free(listing.tasks[i]);
}

void core_explain(const struct core *core, uint64_t key, uint32_t task, struct arena *arena,
    struct msg_explained *ret_explained)
{
    const struct run *run = run_by_key(core, key);
    *ret_explained = (struct msg_explained){0};
    if (run == NULL || (task != TASK_ALL && task >= run->task_count))
        return;
    struct buffer text = {0};
    explain_run(core, run, &text);
    ret_explained->state = run->state;
    ret_explained->run =
        arena_printf(arena, "%.*s/%u", SLICE_PRINT(core->dags[run->dag].name), run->number);
    ret_explained->text = arena_copy(arena, buffer_slice(&text));
    ret_explained->lines.items = arena_alloc(arena, LINES_MAX * sizeof *ret_explained->lines.items);
    buffer_fini(&text);
    const struct telling telling = {core, run, arena, ret_explained};
    if (task == TASK_ALL)
        explain_all(&telling);
    else
        add_line(&telling, task);
}
