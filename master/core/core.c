/*
 * One step: an event goes to whom it concerns; then whatever follows from it, as far as a step's
 * bound allows.
 */
#include "master/core/core.h"

#include "common/memory.h"
#include "common/probe.h"
#include "master/core/state.h"

#include <stdlib.h>

struct core *core_create(const struct core_config *config)
{
    struct core *core = xcalloc(1, sizeof *core);
    core->epoch = config->epoch;
    core->leader = config->leader;
    memcpy(core->boot, config->boot, sizeof core->boot);
    core->cluster = slice_keep(config->cluster);
    core->bundles = slice_keep(config->bundles);
    core->now_ms = config->now_ms;
    core->next_order = config->last_order + 1;
    core->free_runs = NONE;
    core->free_attempts = NONE;
    core->free_classes = NONE;
    core->ended_head = NONE;
    core->ended_tail = NONE;
    core->rebalance.timer_kind = TIMER_REBALANCE;
    core->restore.timer_kind = TIMER_RESTORE;
    core->restoring = config->restoring;
    core->restored_order = config->restored_order;
    core->attempts_from = config->attempts_from;
    audit_init(core, config->last_audit);
    wheel_init(&core->wheel, config->now_ms);
    return core;
}

static void destroy_runs(struct core *core)
{
    for (size_t i = 0; i < core->run_count; i++) {
        if (core->runs[i].key != 0)
            run_destroy(core, &core->runs[i]);
    }
    free(core->runs);
    table_fini(&core->runs_by_key);
    for (size_t i = 0; i < core->dag_count; i++)
        slice_free(&core->dags[i].name);
    free(core->dags);
    names_fini(&core->dags_by_name);
}

static void destroy_workers(struct core *core)
{
    for (size_t i = 0; i < core->attempt_count; i++) {
        slice_free(&core->attempts[i]->progress.text);
        free(core->attempts[i]);
    }
    free(core->attempts);
    for (size_t i = 0; i < core->worker_count; i++)
        worker_destroy(core->workers[i]);
    free(core->workers);
    names_fini(&core->workers_by_key);
    table_fini(&core->sessions);
    table_fini(&core->session_instances);
    table_fini(&core->session_boots);
    table_fini(&core->session_stamps);
}

void core_destroy(struct core *core)
{
    if (core == NULL)
        return;
    destroy_runs(core);
    destroy_workers(core);
    classes_fini(core);
    requests_fini(core);
    access_fini(&core->access);
    audit_fini(&core->audit);
    connections_fini(&core->connections);
    free(core->dirty);
    free(core->work);
    slice_free(&core->cluster);
    slice_free(&core->bundles);
    slice_free(&core->fenced_text);
    arena_fini(&core->scratch);
    buffer_fini(&core->frame);
    free(core);
}

/* ---- timers ---- */

static void retry_due(struct core *core, struct retry_wait *wait)
{
    struct run *run = &core->runs[wait->run];
    uint32_t task = wait->task;
    task_move(core, run, task, TASK_EVENT_DUE, run->tasks[task].reason);
    task_show(core, run, task, (struct slice){0});
}

static void run_timers(struct core *core)
{
    struct wheel_timer *timer;
    while ((timer = wheel_pop(&core->wheel, core->now_ms)) != NULL) {
        switch ((enum timer_kind)((struct any_timer *)timer)->timer_kind) {
        case TIMER_ATTEMPT:
            attempt_expire(core, (struct attempt *)timer);
            break;
        case TIMER_WORKER:
            worker_timer(core, (struct worker *)timer);
            break;
        case TIMER_RETRY:
            retry_due(core, (struct retry_wait *)timer);
            break;
        case TIMER_REBALANCE:
            break; /* the flush of this batch asks */
        case TIMER_RESTORE:
            core->restoring = false;
            (void)effects_add_fact(core->effects, FACT_RESTORED);
            break;
        case TIMER_AUDIT:
            audit_timer(core);
            break;
        }
    }
}

/* ---- the end of a batch ---- */

static void make_frames(struct core *core)
{
    struct frame_header header = {
        .version = PROTOCOL_VERSION, .epoch = core->epoch, .leader = core->leader};
    for (size_t i = 0; i < core->dirty_count; i++) {
        struct worker *worker = core->workers[core->dirty[i]];
        worker->dirty = false;
        if (!worker->open)
            continue;
        buffer_clear(&core->frame);
        while (channel_frame(&worker->channel, &header, core->now_ms, &core->frame)) {
            effects_add_send(
                core->effects, worker->peer, buffer_slice(&core->frame), MUTANT(SENT_UNCOMMITTED));
            buffer_clear(&core->frame);
        }
    }
    core->dirty_count = 0;
}

static void flush(struct core *core)
{
    core->flushes++;
    /* Facts stand in the order of their causes: an end before what is assigned because of it. */
    span_flush(core);
    dispatch(core);
    rebalance(core);
    span_flush(core);
    runs_evict(core);
    make_frames(core);
}

/* ---- loading ---- */

static void load_worker(struct core *core, const struct worker_row *row)
{
    struct worker *worker = worker_by_key(core, row->key);
    if (worker != NULL)
        return;
    worker = worker_create(core, row->key);
    assert(worker->number == row->number && "workers are loaded in the order of their numbers");
    worker->name = slice_keep(row->name);
    worker->host = slice_keep(row->host);
    worker->draining = row->draining;
    worker->removed = row->removed;
}

static void load_session(struct core *core, const struct session_row *row)
{
    assert(row->worker >= 1 && row->worker <= core->worker_count);
    struct worker *worker = core->workers[row->worker - 1];
    table_set(&core->session_instances, row->session, row->instance);
    table_set(
        &core->session_boots, row->session, hash_bytes(slice_make(row->boot, sizeof row->boot)));
    table_set(&core->session_stamps, row->session, row->stamp);
    /* Sessions come in any order: the youngest of the worker tells where it stands. */
    if (row->opened_at < worker->registered_at)
        return;
    bool same_boot = memcmp(worker->boot, row->boot, sizeof worker->boot) == 0;
    if (!same_boot || row->stamp > worker->heartbeat_stamp)
        worker->heartbeat_stamp = row->stamp;
    worker->session_stamp = row->stamp;
    memcpy(worker->boot, row->boot, sizeof worker->boot);
    worker->instance = row->instance;
    worker->registered_at = row->opened_at;
}

typedef void (*request_fn)(struct core *core, const struct event *event);

static const request_fn requests[EVENT_KIND_COUNT] = {
    [EVENT_SUBMIT] = request_submit,
    [EVENT_CANCEL] = request_cancel,
    [EVENT_RETRY] = request_retry,
    [EVENT_MARK] = request_mark,
    [EVENT_JOIN] = join_cluster,
    [EVENT_CREATE_TOKEN] = token_create,
    [EVENT_REVOKE_TOKEN] = token_revoke,
    [EVENT_REMOVE_WORKER] = join_remove_worker,
    [EVENT_DRAIN] = request_drain,
    [EVENT_LOST_WORKER] = request_lost,
    [EVENT_SET_CONNECTION] = connection_set,
    [EVENT_REMOVE_CONNECTION] = connection_remove,
    [EVENT_RESEAL] = connections_reseal,
};

/* A join is repeated by its key, not by its request: who asks again with another one has joined. */
static void change(struct core *core, const struct event *event)
{
    core->outcome = (struct outcome){0};
    if (event->kind != EVENT_JOIN && request_repeat(core, event)) {
        if (event->kind == EVENT_SUBMIT)
            effects_add_forgotten(core->effects, event->submit.key);
        return;
    }
    requests[event->kind](core, event);
    audit_change(core, event);
}

static void take(struct core *core, const struct event *event)
{
    switch (event->kind) {
    case EVENT_TIMER:
    case EVENT_FLUSH:
        break;
    case EVENT_FRAME:
        frame_take(core, event->frame.peer, event->frame.bytes);
        break;
    case EVENT_SUBMIT:
    case EVENT_CANCEL:
    case EVENT_RETRY:
    case EVENT_MARK:
    case EVENT_DRAIN:
    case EVENT_JOIN:
    case EVENT_CREATE_TOKEN:
    case EVENT_REVOKE_TOKEN:
    case EVENT_REMOVE_WORKER:
    case EVENT_LOST_WORKER:
    case EVENT_SET_CONNECTION:
    case EVENT_REMOVE_CONNECTION:
    case EVENT_RESEAL:
        change(core, event);
        break;
    case EVENT_AUDIT:
        audit_reported(core, event);
        break;
    case EVENT_LOAD_DAG:
        dag_get(core, event->dag.dag)->last_number = event->dag.last_number;
        break;
    case EVENT_LOAD_WORKER:
        load_worker(core, &event->worker);
        break;
    case EVENT_LOAD_SESSION:
        load_session(core, &event->session);
        break;
    case EVENT_LOAD_RUN:
        load_run(core, &event->load);
        break;
    case EVENT_LOAD_PEER:
        access_load_peer(core, &event->peer);
        break;
    case EVENT_LOAD_TOKEN:
        access_load_token(core, &event->token);
        break;
    case EVENT_LOAD_CONNECTION:
        connection_load(core, event);
        break;
    case EVENT_FIND_CONNECTION:
        connection_find_event(core, event);
        break;
    case EVENT_LOSE_CONNECTION:
        connection_lose_event(core, event);
        break;
    case EVENT_LOADED:
        connections_forget(core);
        load_done(core);
        access_loaded(core);
        break;
    case EVENT_KIND_COUNT:
        assert(!"an event has a kind");
    }
}

enum { CLOCK_JITTER_MS = 5 };

/* The offset between the clocks stays where it is until somebody set the wall clock: then times of
 * one host are in true order. */
static void take_time(struct core *core, const struct event *event)
{
    if (event->now_ms > core->now_ms)
        core->now_ms = event->now_ms;
    core->now_wall = event->now_wall;
    int64_t offset = event->now_wall - (int64_t)event->now_ms;
    if (llabs(offset - core->clock_offset) > CLOCK_JITTER_MS)
        core->clock_offset = offset;
}

void core_step(struct core *core, const struct event *event, struct effects *effects)
{
    take_time(core, event);
    core->effects = effects;
    core->actor = &event->actor;
    take(core, event);
    if (core->loaded) {
        run_timers(core);
        work_go_on(core);
    }
    if (event->kind == EVENT_FLUSH)
        flush(core);
    span_flush(core);
    core->effects = NULL;
    core->actor = NULL;
    core->steps++;
#ifdef REEVE_CHECKS
    core_check_step(core);
#endif
}

uint64_t core_next_ms(const struct core *core)
{
    return wheel_next_ms(&core->wheel);
}

bool core_has_work(const struct core *core)
{
    return core->loaded && (core->work_count > 0 || core->dispatch_more);
}
