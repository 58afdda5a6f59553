#include "common/stop_point.h"
#include "master/io/gate.h"
#include "master/io/late_report.h"
#include "master/io/requests.h"

static void exit_send(void *context, uint64_t peer, struct slice frame)
{
    struct master *master = context;
    worker_port_send(&master->workers, peer, frame);
}

static void exit_answer(void *context, const struct answer_effect *answer)
{
    stop_here(STOP_ANSWERING);
    requests_answered(context, answer);
}

/* What is followed ends with the right to follow it. */
static void exit_parcel(void *context, const struct parcel *parcel)
{
    struct master *master = context;
    if (gate_may(master, parcel->peer, MESSAGE_watch))
        client_send(master, parcel->peer, parcel->frame);
    else
        watch_end_peer(&master->watches, parcel->peer);
}

static void exit_access(void *context, const struct access_effect *access)
{
    struct master *master = context;
    admission_set(master->admission, access);
}

static void exit_forgotten(void *context, uint64_t run)
{
    struct master *master = context;
    plans_forget(&master->plans, run);
}

static void exit_changed(void *context, const struct change_effect *change)
{
    struct master *master = context;
    if (change->task != CHANGE_RUN)
        return;
    if (change->state == RUN_RUNNING)
        table_set(&master->running, change->run, 1);
    else
        (void)table_remove(&master->running, change->run);
}

static void exit_flushed(void *context, struct batch *batch)
{
    struct master *master = context;
    const struct effects *effects = batch->effects;
    for (size_t i = 0; i < effects->fact_count; i++) {
        if (effects->facts[i].kind == FACT_WORKER)
            worker_port_know(&master->workers, &effects->facts[i].worker);
    }
    for (size_t i = 0; i < effects->handed_count; i++)
        masks_hand(master->vault.masks, &effects->handed[i].id, &effects->handed[i].connections);
    watch_batch(&master->watches, batch);
}

static void exit_durable(void *context, const struct effects *effects)
{
    late_report_batch(context, effects);
}

const struct pipeline_exits master_exits = {
    .durable = exit_durable,
    .send = exit_send,
    .answer = exit_answer,
    .parcel = exit_parcel,
    .access = exit_access,
    .forgotten = exit_forgotten,
    .changed = exit_changed,
    .flushed = exit_flushed,
};
