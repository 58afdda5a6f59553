#include "common/clock.h"
#include "common/log.h"
#include "master/io/gate.h"
#include "master/io/requests.h"

enum {
    /* A timer that is served so much too late was held up by a pause of the whole process: what
       workers sent meanwhile is taken in for so long before the core may call anyone silent. */
    PAUSE_MS = 500,
    PAUSE_GRACE_MS = 200,
};

static void check_store(struct master *master)
{
    struct error error = {0};
    enum store_state state = store_state(master->store, &error);
    if (state == STORE_FAILED)
        master_fail(master, &error);
    if (state == STORE_FULL && !master->full)
        log_error("the disk is full: nothing is recorded until there is space in %s (%s)",
            master->folder.path, error.text);
    if (state == STORE_OK && master->full)
        log_info("there is space on the disk again");
    master->full = state == STORE_FULL;
}

/* What a thread of the bulk port reported. */
static void check_bulk(struct master *master)
{
    struct error error;
    (void)pthread_mutex_lock(&master->bulk_mutex);
    error = master->bulk_error;
    (void)pthread_mutex_unlock(&master->bulk_mutex);
    if (error.code != 0)
        master_fail(master, &error);
}

static void check_fence(struct master *master)
{
    struct slice text;
    if (master->fenced || !core_is_fenced(master->core, &text))
        return;
    master->fenced = true;
    log_error("nothing is dispatched any more: %.*s", SLICE_PRINT(text));
}

/* After a pause of our own the core hears first what came meanwhile. */
static bool timer_is_due(struct master *master, uint64_t now_ms)
{
    uint64_t due_ms = core_next_ms(master->core);
    if (now_ms < master->timer_held_ms)
        return false;
    if (now_ms < due_ms)
        return core_has_work(master->core);
    bool late = now_ms - due_ms > PAUSE_MS && master->timer_held_ms < due_ms;
    if (late)
        master->timer_held_ms = now_ms + PAUSE_GRACE_MS;
    return !late;
}

static void set_timer(struct master *master)
{
    uint64_t due_ms = core_next_ms(master->core);
    if (due_ms < master->timer_held_ms)
        due_ms = master->timer_held_ms;
    uint64_t refusals_ms = refusals_next_ms(master->refusals);
    if (refusals_ms < due_ms)
        due_ms = refusals_ms;
    /* Otherwise the store's thread wakes us. */
    bool free_to_step = pipeline_is_open(&master->pipeline) && !requests_wait(master);
    loop_set_timer(master->loop, free_to_step ? due_ms : UINT64_MAX);
}

static void step_batch(struct master *master, uint64_t now_ms)
{
    requests_take_compiled(master);
    worker_port_step(&master->workers);
    gate_step(master);
    if (timer_is_due(master, now_ms))
        pipeline_step(&master->pipeline, &(struct event){.kind = EVENT_TIMER});
}

/*
 * Questions that wait until core and rows agree come before a new batch; after a while of answering
 * a batch has its turn all the same. On a full disk they are answered by what is known, since
 * nothing is committed.
 */
static void step_all(struct master *master, uint64_t now_ms)
{
    struct pipeline *pipeline = &master->pipeline;
    bool waiting = requests_wait(master);
    if (waiting && pipeline->stepped && pipeline_is_open(pipeline))
        pipeline_flush(pipeline);
    bool serve = waiting && (pipeline_is_settled(pipeline) || master->full);
    if (serve)
        requests_serve(master);
    if ((!waiting || serve) && pipeline_is_open(pipeline))
        step_batch(master, now_ms);
    if (pipeline_is_due(pipeline))
        pipeline_flush(pipeline);
    master->workers.held = requests_wait(master);
}

static bool has_more(const struct master *master, uint64_t now_ms)
{
    const struct pipeline *pipeline = &master->pipeline;
    if (requests_wait(master) && (pipeline_is_settled(pipeline) || master->full))
        return true;
    return pipeline_is_open(pipeline) && !requests_wait(master) &&
           ((core_has_work(master->core) && store_in_flight(master->store) == 0 &&
                now_ms >= master->timer_held_ms) ||
               worker_port_has_work(&master->workers));
}

/* Nothing new is begun; the loop ends when all is on disk, or cannot get there. */
static bool finish(struct master *master)
{
    if (pipeline_is_open(&master->pipeline))
        pipeline_flush(&master->pipeline);
    if (store_in_flight(master->store) == 0 || master->full)
        loop_stop(master->loop);
    return false;
}

bool master_on_round(void *context)
{
    struct master *master = context;
    uint64_t now_ms = clock_boot_ms();
    pipeline_release(&master->pipeline);
    check_store(master);
    check_bulk(master);
    if (master->error.code != 0)
        return false;
    if (master->stopping)
        return finish(master);
    gate_answer(master);
    step_all(master, now_ms);
    check_fence(master);
    worker_port_log_changes(&master->workers, master->core, now_ms);
    watch_sweep(&master->watches, now_ms);
    set_timer(master);
    return has_more(master, now_ms);
}
