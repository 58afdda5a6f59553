/*
 * What may be seen of the core's memory, for status.
 */
#include "master/core/state.h"

uint64_t core_find_run(const struct core *core, struct slice dag, uint32_t number)
{
    uint64_t index = 0;
    if (!names_get(&core->dags_by_name, dag, &index))
        return 0;
    for (uint32_t slot = core->dags[index].first_run; slot != NONE;
         slot = core->runs[slot].next_of_dag) {
        if (core->runs[slot].number == number)
            return core->runs[slot].key;
    }
    return 0;
}

bool core_has_run(const struct core *core, uint64_t run)
{
    return run_by_key(core, run) != NULL;
}

bool core_view_run(const struct core *core, uint64_t key, struct run_view *ret_view)
{
    const struct run *run = run_by_key(core, key);
    if (run == NULL)
        return false;
    *ret_view = (struct run_view){
        .plan = &run->plan,
        .dag = core->dags[run->dag].name,
        .number = run->number,
        .state = run->state,
        .cancelled = run->cancelled,
        .context = run->context_text,
        .logical_date = run->logical_date,
        .submitted_at = run->submitted_at,
        .started_at = run->started_at,
        .ended_at = run->ended_at,
    };
    memcpy(ret_view->counts, run->counts, sizeof ret_view->counts);
    return true;
}

bool core_view_task(
    const struct core *core, uint64_t key, uint32_t index, struct task_view *ret_view)
{
    const struct run *run = run_by_key(core, key);
    if (run == NULL || index >= run->task_count)
        return false;
    const struct task *task = &run->tasks[index];
    *ret_view = (struct task_view){
        .state = task_shown_state(core, run, index),
        .attempt = task->attempt,
        .tries = task->tries,
        .reason = task->reason,
    };
    uint64_t wait = 0;
    if (table_get(&run->waits, index, &wait))
        ret_view->due_at = ((const struct retry_wait *)(uintptr_t)wait)->due_wall;
    if (task->live == NONE)
        return true;
    const struct attempt *attempt = core->attempts[task->live];
    ret_view->live = true;
    ret_view->attempt_state = attempt_shown_state(core, attempt);
    ret_view->worker = core->workers[attempt->worker]->number;
    ret_view->assigned_at = attempt->assigned_at;
    ret_view->started_at = attempt->started_at;
    return true;
}

bool core_view_worker(
    const struct core *core, uint32_t index, uint64_t now_ms, struct worker_view *ret_view)
{
    if (index >= core->worker_count)
        return false;
    const struct worker *worker = core->workers[index];
    *ret_view = (struct worker_view){
        .number = worker->number,
        .name = worker->name,
        .host = worker->host,
        .software = worker->software,
        .key = slice_make(worker->key, WORKER_KEY_BYTES),
        .state = worker->state,
        .slots = worker->slots,
        .running = worker->running,
        .in_hand = worker->in_hand,
        .heartbeat_age_ms = now_ms > worker->heartbeat_ms ? now_ms - worker->heartbeat_ms : 0,
        .registered_at = worker->registered_at,
        .queues = worker->queues.items,
        .queue_count = worker->queues.count,
        .full = worker->full,
        .labels = worker->labels,
        .users = worker->users,
        .load = worker->load,
        .address = worker->address,
    };
    return true;
}

bool core_is_fenced(const struct core *core, struct slice *ret_text)
{
    if (core->fenced)
        *ret_text = core->fenced_text;
    return core->fenced;
}

/* Whether any worker that suits the class is up; *ret_full whether one of them has a full disk. */
static bool is_served(const struct core *core, const struct class *class, bool *ret_full)
{
    bool up = false;
    for (size_t i = 0; i < class->seat_count; i++) {
        const struct worker *worker = core->workers[class->seats[i].worker];
        up = up || worker->state == WORKER_UP;
        *ret_full = *ret_full || worker->full;
    }
    return up;
}

/* The first lane with ready tasks that nobody can take. */
static void explain_lanes(const struct core *core, const struct run *run, struct buffer *text)
{
    for (uint32_t i = 0; i < run->lane_count; i++) {
        const struct lane *lane = &run->lanes[i];
        const struct class *class = &core->classes[lane->class];
        bool full = false;
        if (lane->count == 0)
            continue;
        if (!is_served(core, class, &full)) {
            buffer_printf(text,
                "%u ready task%s: no live worker serves queue \"%.*s\" (reeve workers)",
                lane->count, lane->count == 1 ? "" : "s", SLICE_PRINT(class->queue));
            return;
        }
        if (full) {
            buffer_printf(text, "%u ready task%s: a worker's disk is full (reeve workers)",
                lane->count, lane->count == 1 ? "" : "s");
            return;
        }
    }
}

void core_explain_run(const struct core *core, uint64_t key, struct buffer *text)
{
    const struct run *run = run_by_key(core, key);
    if (run == NULL)
        return;
    if (run->state == RUN_QUEUED) {
        buffer_printf(text, "queued: %u runs of %.*s are running, max_active_runs is %u",
            core->dags[run->dag].active, SLICE_PRINT(core->dags[run->dag].name),
            run->plan.header->max_active_runs);
        return;
    }
    if (run->state != RUN_RUNNING)
        return;
    if (core->fenced)
        buffer_append_slice(text, core->fenced_text);
    else
        explain_lanes(core, run, text);
}
