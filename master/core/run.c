/*
 * The life of a run, its DAG's caps, and the cache of runs that ended.
 */
#include "common/memory.h"
#include "common/probe.h"
#include "master/core/state.h"

#include <stdlib.h>

enum {
    /* Ended runs that stay in memory, for status and retry: at most so many runs, and tasks in all.
     */
    ENDED_RUNS_MAX = 64,
    ENDED_TASKS_MAX = 200000,
    /* An ended run stays for as many flushes as can be uncommitted, and one more. */
    ENDED_FLUSHES = 3,
};

/* ---- a DAG ---- */

struct dag *dag_get(struct core *core, struct slice name)
{
    uint64_t index = 0;
    if (!names_get(&core->dags_by_name, name, &index)) {
        index = core->dag_count;
        vector_reserve(&core->dags, core->dag_count, &core->dag_capacity);
        core->dags[core->dag_count++] = (struct dag){.name = slice_keep(name),
            .first_run = NONE,
            .last_run = NONE,
            .queued_head = NONE,
            .queued_tail = NONE};
        names_set(&core->dags_by_name, name, index);
    }
    return &core->dags[index];
}

static void dag_link(struct core *core, struct run *run)
{
    struct dag *dag = &core->dags[run->dag];
    run->next_of_dag = NONE;
    run->previous_of_dag = dag->last_run;
    if (dag->last_run != NONE)
        core->runs[dag->last_run].next_of_dag = run_slot(core, run);
    else
        dag->first_run = run_slot(core, run);
    dag->last_run = run_slot(core, run);
}

static void dag_unlink(struct core *core, struct run *run)
{
    struct dag *dag = &core->dags[run->dag];
    if (run->previous_of_dag != NONE)
        core->runs[run->previous_of_dag].next_of_dag = run->next_of_dag;
    else
        dag->first_run = run->next_of_dag;
    if (run->next_of_dag != NONE)
        core->runs[run->next_of_dag].previous_of_dag = run->previous_of_dag;
    else
        dag->last_run = run->previous_of_dag;
}

static void dag_unqueue(struct core *core, struct run *run)
{
    struct dag *dag = &core->dags[run->dag];
    if (run->previous_queued != NONE)
        core->runs[run->previous_queued].next_queued = run->next_queued;
    else
        dag->queued_head = run->next_queued;
    if (run->next_queued != NONE)
        core->runs[run->next_queued].previous_queued = run->previous_queued;
    else
        dag->queued_tail = run->previous_queued;
}

/* ---- memory ---- */

static struct run *take_slot(struct core *core)
{
    if (core->free_runs == NONE) {
        vector_reserve(&core->runs, core->run_count, &core->run_capacity);
        return &core->runs[core->run_count++];
    }
    struct run *run = &core->runs[core->free_runs];
    core->free_runs = run->next_of_dag;
    return run;
}

static void tasks_create(struct core *core, struct run *run)
{
    run->tasks = xcalloc(run->task_count, sizeof *run->tasks);
    run->moved_ds = xcalloc(run->task_count, sizeof *run->moved_ds);
    for (uint32_t i = 0; i < run->task_count; i++) {
        struct task *task = &run->tasks[i];
        task->state = TASK_WAITING;
        task->live = NONE;
        task->next = NONE;
        task->previous = NONE;
    }
    run->counts[TASK_WAITING] = run->task_count;
    lanes_create(core, run);
}

static json_t *parse_context(struct slice text)
{
    json_t *context = json_loadb(text.ptr, text.length, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (context == NULL)
        context = json_object();
    return context;
}

struct run *run_create(struct core *core, const struct run_row *row, const struct plan *plan)
{
    uint32_t dag = (uint32_t)(dag_get(core, row->dag) - core->dags);
    struct run *run = take_slot(core);
    *run = (struct run){
        .key = row->key,
        .life = ++core->lives,
        .order = row->order,
        .dag = dag,
        .number = row->number,
        .state = row->state,
        .cancelled = row->cancelled,
        .date_given = row->date_given,
        .task_count = plan_task_count(plan),
        .plan = *plan,
        .plan_hash = row->plan,
        .bundle = slice_keep(row->bundle),
        .context_text = slice_keep(row->context),
        .context = parse_context(row->context),
        .key_text = slice_keep(row->key_text),
        .logical_date = row->logical_date,
        .submitted_at = row->submitted_at,
        .started_at = row->started_at,
        .ended_at = row->ended_at,
        .next_ended = NONE,
    };
    tasks_create(core, run);
    table_set(&core->runs_by_key, run->key, run_slot(core, run));
    dag_link(core, run);
    return run;
}

struct leaving *run_leaving(struct run *run, uint32_t task, bool create)
{
    uint64_t value = 0;
    if (table_get(&run->leavings, task, &value))
        return (struct leaving *)(uintptr_t)value;
    if (!create)
        return NULL;
    struct leaving *leaving = xcalloc(1, sizeof *leaving);
    table_set(&run->leavings, task, (uint64_t)(uintptr_t)leaving);
    return leaving;
}

void run_forget_leaving(struct run *run, uint32_t task)
{
    struct leaving *leaving = run_leaving(run, task, false);
    if (leaving == NULL)
        return;
    (void)table_remove(&run->leavings, task);
    json_decref(leaving->outputs);
    free(leaving);
}

static void free_owned(struct run *run)
{
    slice_free(&run->bundle);
    slice_free(&run->context_text);
    slice_free(&run->key_text);
    json_decref(run->context);
    table_fini(&run->leavings);
    table_fini(&run->notes);
    table_fini(&run->waits);
    free(run->tasks);
    free(run->moved_ds);
}

void run_destroy(struct core *core, struct run *run)
{
    for (uint32_t i = 0; i < run->task_count; i++) {
        uint64_t wait = 0;
        if (run->leavings.count > 0)
            run_forget_leaving(run, i);
        if (run->notes.count > 0)
            run_forget_notes(run, i);
        if (run->waits.count > 0 && table_get(&run->waits, i, &wait)) {
            wheel_disarm(&core->wheel, (struct wheel_timer *)(uintptr_t)wait);
            free((void *)(uintptr_t)wait);
        }
    }
    lanes_destroy(core, run);
    dag_unlink(core, run);
    (void)table_remove(&core->runs_by_key, run->key);
    free_owned(run);
    *run = (struct run){.next_of_dag = core->free_runs};
    core->free_runs = run_slot(core, run);
}

struct run *run_by_key(const struct core *core, uint64_t key)
{
    uint64_t slot = 0;
    return table_get(&core->runs_by_key, key, &slot) ? &core->runs[slot] : NULL;
}

/* ---- its row, and how it is shown ---- */

void run_fact(struct core *core, const struct run *run)
{
    struct arena *arena = &core->effects->arena;
    struct run_row *row = &effects_add_fact(core->effects, FACT_RUN)->run;
    *row = (struct run_row){
        .key = run->key,
        .order = run->order,
        .dag = arena_copy(arena, core->dags[run->dag].name),
        .number = run->number,
        .state = run->state,
        .cancelled = run->cancelled,
        .task_count = run->task_count,
        .plan = run->plan_hash,
        .bundle = arena_copy(arena, run->bundle),
        .context = arena_copy(arena, run->context_text),
        .key_text = arena_copy(arena, run->key_text),
        .date_given = run->date_given,
        .logical_date = run->logical_date,
        .submitted_at = run->submitted_at,
        .started_at = run->started_at,
        .ended_at = run->ended_at,
    };
}

void run_show(struct core *core, const struct run *run)
{
    struct change_effect *change = effects_add_change(core->effects);
    change->run = run->key;
    change->task = CHANGE_RUN;
    change->state = run->state;
    change->at = core->now_wall;
}

/* ---- its life: queued -> running -> an end -> (a retry) queued … ---- */

static bool run_state_is_end(uint32_t state)
{
    return state >= RUN_SUCCESS && state <= RUN_CANCELLED;
}

enum {
    QUE = RUN_QUEUED,
    RUN = RUN_RUNNING,
    SUC = RUN_SUCCESS,
    FAI = RUN_FAILED,
    CAN = RUN_CANCELLED,
    ___ = 0 /* illegal */
};

/*
 * state x event -> next state. A mark may turn an end into another; nothing but a cancel of what
 * was open makes a run cancelled.
 */
/* clang-format off */
static const uint8_t transitions[RUN_CANCELLED + 1][RUN_EVENT_COUNT] = {
    /*                 queue start succ fail cancel */
    [RUN_QUEUED]    = {QUE,  RUN,  SUC, FAI, CAN},
    [RUN_RUNNING]   = {___,  ___,  SUC, FAI, CAN},
    [RUN_SUCCESS]   = {QUE,  RUN,  ___, FAI, ___},
    [RUN_FAILED]    = {QUE,  RUN,  SUC, ___, ___},
    [RUN_CANCELLED] = {QUE,  RUN,  SUC, FAI, ___},
};
/* clang-format on */

uint32_t run_next_state(uint32_t state, enum run_event event)
{
    assert(state >= RUN_QUEUED && state <= RUN_CANCELLED && event < RUN_EVENT_COUNT);
    return transitions[state][event];
}

/* The one transition function of a run's state. */
static void run_move(struct run *run, enum run_event event)
{
    uint32_t next = run_next_state(run->state, event);
    assert(next != 0 && "the event is legal in this state");
    REACHED(RUN, run->state, event);
    run->state = next;
}

static void start(struct core *core, struct run *run)
{
    run_move(run, RUN_EVENT_START);
    if (run->started_at == 0)
        run->started_at = core->now_wall;
    core->dags[run->dag].active++;
    run_fact(core, run);
    run_show(core, run);
    work_add(core, WORK_START, run);
    run_check_end(core, run);
}

static bool has_room(const struct core *core, const struct run *run)
{
    uint32_t cap = run->plan.header->max_active_runs;
    return cap == 0 || core->dags[run->dag].active < cap || MUTANT(RUNS_UNCAPPED);
}

static void leave_ended(struct core *core, struct run *run)
{
    uint32_t *link = &core->ended_head, before = NONE;
    while (*link != run_slot(core, run)) {
        before = *link;
        link = &core->runs[*link].next_ended;
    }
    *link = run->next_ended;
    if (core->ended_tail == run_slot(core, run))
        core->ended_tail = before;
    run->next_ended = NONE;
    core->ended_count--;
    core->ended_tasks -= run->task_count;
}

void run_enter_ended(struct core *core, struct run *run)
{
    run->ended_flush = core->flushes;
    if (core->ended_tail == NONE)
        core->ended_head = run_slot(core, run);
    else
        core->runs[core->ended_tail].next_ended = run_slot(core, run);
    core->ended_tail = run_slot(core, run);
    run->next_ended = NONE;
    core->ended_count++;
    core->ended_tasks += run->task_count;
}

void run_enqueue(struct core *core, struct run *run)
{
    if (run_state_is_end(run->state))
        leave_ended(core, run);
    run->ended_at = 0;
    struct dag *dag = &core->dags[run->dag];
    if (dag->queued_head == NONE && has_room(core, run)) {
        start(core, run);
        return;
    }
    run_move(run, RUN_EVENT_QUEUE);
    run_fact(core, run);
    run_show(core, run);
    run_queue(core, run);
}

void run_queue(struct core *core, struct run *run)
{
    struct dag *dag = &core->dags[run->dag];
    run->next_queued = NONE;
    run->previous_queued = dag->queued_tail;
    if (dag->queued_tail == NONE)
        dag->queued_head = run_slot(core, run);
    else
        core->runs[dag->queued_tail].next_queued = run_slot(core, run);
    dag->queued_tail = run_slot(core, run);
}

void dag_start_queued(struct core *core, uint32_t dag)
{
    for (;;) {
        uint32_t slot = core->dags[dag].queued_head;
        if (slot == NONE || !has_room(core, &core->runs[slot]))
            return;
        dag_unqueue(core, &core->runs[slot]);
        start(core, &core->runs[slot]);
    }
}

static bool is_bad(uint32_t state)
{
    return state == TASK_FAILED || state == TASK_CANCELLED || state == TASK_UPSTREAM_FAILED;
}

/*
 * Whether a task is upstream_failed by nothing that is still there: what failed above it was
 * retried or marked since. Where nothing is fatal, any other upstream_failed task is so by allowed
 * failures only.
 */
static bool has_stranded(const struct run *run)
{
    const uint32_t *starts = run->plan.predecessor_starts;
    for (uint32_t i = 0; i < run->task_count && run->counts[TASK_UPSTREAM_FAILED] > 0; i++) {
        if (run->tasks[i].state != TASK_UPSTREAM_FAILED ||
            (run_plan_task(run, i)->flags & PLAN_TASK_ALLOW_FAILURE) != 0)
            continue;
        bool bad = false;
        for (uint32_t e = starts[i]; e < starts[i + 1] && !bad; e++)
            bad = is_bad(run->tasks[run->plan.predecessors[e]].state);
        if (!bad)
            return true;
    }
    return false;
}

/* A cancelled run is one that a person cancelled before everything had ended by itself. */
static enum run_event end_event(const struct run *run)
{
    if (run->cancelled && run->counts[TASK_CANCELLED] > 0)
        return RUN_EVENT_CANCEL;
    return run->fatal > 0 || has_stranded(run) ? RUN_EVENT_FAIL : RUN_EVENT_SUCCEED;
}

static uint32_t ended_count(const struct run *run)
{
    uint32_t count = 0;
    for (uint32_t state = TASK_SUCCESS; state <= TASK_CANCELLED; state++)
        count += run->counts[state];
    return count;
}

void run_check_end(struct core *core, struct run *run)
{
    if (core->loading || ended_count(run) < run->task_count)
        return;
    static const uint32_t ends[RUN_EVENT_COUNT] = {[RUN_EVENT_SUCCEED] = RUN_SUCCESS,
        [RUN_EVENT_FAIL] = RUN_FAILED,
        [RUN_EVENT_CANCEL] = RUN_CANCELLED};
    enum run_event event = end_event(run);
    uint32_t before = run->state;
    if (before == ends[event])
        return;
    span_flush(core);
    run_move(run, event);
    if (!run_state_is_end(before)) {
        run->ended_at = core->now_wall;
        run_enter_ended(core, run);
    }
    run_fact(core, run);
    run_show(core, run);
    if (before == RUN_QUEUED) {
        dag_unqueue(core, run);
    } else if (before == RUN_RUNNING) {
        core->dags[run->dag].active--;
        dag_start_queued(core, run->dag);
    }
}

void runs_evict(struct core *core)
{
    while (core->ended_head != NONE) {
        struct run *run = &core->runs[core->ended_head];
        bool too_many = core->ended_count > ENDED_RUNS_MAX || core->ended_tasks > ENDED_TASKS_MAX;
        if (!too_many || run->ended_flush + ENDED_FLUSHES > core->flushes)
            return;
        leave_ended(core, run);
        effects_add_forgotten(core->effects, run->key);
        run_destroy(core, run);
    }
}
