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
    const struct task_notes *notes = run_notes(run, index);
    if (notes != NULL) {
        ret_view->notes = notes->items;
        ret_view->note_count = notes->count;
    }
    ret_view->progress_done = -1;
    ret_view->progress_total = -1;
    if (task->live == NONE)
        return true;
    const struct attempt *attempt = core->attempts[task->live];
    ret_view->live = true;
    ret_view->progress = attempt->progress.text;
    ret_view->progress_done = attempt->progress.done;
    ret_view->progress_total = attempt->progress.total;
    ret_view->attempt_state = attempt_shown_state(core, attempt);
    ret_view->worker = core->workers[attempt->worker]->number;
    ret_view->assigned_at = attempt->assigned_at;
    ret_view->started_at = attempt->started_at;
    if (attempt->elder != NONE) {
        ret_view->elder = core->attempts[attempt->elder]->number;
        ret_view->elder_state = attempt_shown_state(core, core->attempts[attempt->elder]);
    }
    return true;
}

uint32_t core_attempt_worker(const struct core *core, const struct attempt_id *id)
{
    const struct attempt *attempt = attempt_lookup(core, id);
    return attempt != NULL ? core->workers[attempt->worker]->number : 0;
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
        .operators = worker->operators,
        .operator_count = worker->operator_count,
        .load = worker->load,
        .address = worker->address,
        .memory_limit_by = worker->memory_limit_by,
        .cpu_limit_by = worker->cpu_limit_by,
        .removed = worker->removed && worker->running + worker->in_hand + worker->noops == 0,
    };
    return true;
}

bool core_is_fenced(const struct core *core, struct slice *ret_text)
{
    if (core->fenced)
        *ret_text = core->fenced_text;
    return core->fenced;
}
