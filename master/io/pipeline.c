#include "master/io/pipeline.h"

#include "common/clock.h"
#include "common/memory.h"
#include "common/stop_point.h"

#include <assert.h>
#include <stdlib.h>

/* Batches that wait, durable or not, to be let out: those without facts are not bounded by the
 * store. */
enum { BATCHES_WAITING_MAX = 64 };

/* From so many facts on, a batch is worth handing over while another commits. */
enum { BATCH_LARGE_FACTS = 256 };

static struct batch *batch_take(struct pipeline *pipeline)
{
    struct batch *batch = pipeline->spare;
    if (batch != NULL) {
        pipeline->spare = batch->next;
        batch->next = NULL;
        return batch;
    }
    batch = xcalloc(1, sizeof *batch);
    batch->effects = effects_create();
    return batch;
}

static void batch_reset(struct batch *batch)
{
    effects_reset(batch->effects);
    batch->parcel_count = 0;
    batch->durable = false;
}

/* Effects that are on their way belong to the store. */
static void batch_free(struct batch *batch, bool with_effects)
{
    if (with_effects)
        effects_destroy(batch->effects);
    free(batch->parcels);
    free(batch);
}

void pipeline_init(struct pipeline *pipeline, struct core *core, struct store *store,
    const struct pipeline_exits *exits)
{
    *pipeline = (struct pipeline){.core = core, .store = store, .exits = *exits};
    pipeline->current = batch_take(pipeline);
}

void pipeline_fini(struct pipeline *pipeline)
{
    for (struct batch *batch = pipeline->oldest, *next; batch != NULL; batch = next) {
        next = batch->next;
        batch_free(batch, batch->durable);
    }
    for (struct batch *batch = pipeline->spare, *next; batch != NULL; batch = next) {
        next = batch->next;
        batch_free(batch, true);
    }
    if (pipeline->current != NULL)
        batch_free(pipeline->current, true);
    *pipeline = (struct pipeline){0};
}

static void send_at_once(struct pipeline *pipeline)
{
    struct effects *effects = pipeline->current->effects;
    for (; pipeline->sends_seen < effects->send_count; pipeline->sends_seen++) {
        const struct send_effect *send = &effects->sends[pipeline->sends_seen];
        if (send->at_once)
            pipeline->exits.send(pipeline->exits.context, send->peer, send->frame);
    }
}

void pipeline_step(struct pipeline *pipeline, struct event *event)
{
    event->now_ms = clock_boot_ms();
    event->now_wall = clock_wall_ms();
    core_step(pipeline->core, event, pipeline->current->effects);
    pipeline->stepped = true;
    send_at_once(pipeline);
}

/* Nothing is left to let out. */
static bool is_spent(const struct batch *batch)
{
    const struct effects *effects = batch->effects;
    for (size_t i = 0; i < effects->send_count; i++) {
        if (!effects->sends[i].at_once)
            return false;
    }
    return effects->fact_count == 0 && effects->answer_count == 0 && effects->change_count == 0 &&
           effects->access_count == 0 && effects->forgotten_count == 0 && batch->parcel_count == 0;
}

static void append(struct pipeline *pipeline, struct batch *batch)
{
    if (pipeline->newest != NULL)
        pipeline->newest->next = batch;
    else
        pipeline->oldest = batch;
    pipeline->newest = batch;
    pipeline->waiting++;
}

void pipeline_flush(struct pipeline *pipeline)
{
    if (!pipeline->stepped)
        return;
    assert(pipeline_is_open(pipeline));
    pipeline_step(pipeline, &(struct event){.kind = EVENT_FLUSH});
    struct batch *batch = pipeline->current;
    pipeline->exits.flushed(pipeline->exits.context, batch);
    pipeline->stepped = false;
    pipeline->sends_seen = 0;
    if (is_spent(batch)) {
        batch_reset(batch);
        return;
    }
    pipeline->current = batch_take(pipeline);
    append(pipeline, batch);
    stop_here(STOP_BATCH_MADE);
    if (batch->effects->fact_count > 0)
        store_commit(pipeline->store, batch->effects);
    else
        batch->durable = true;
    pipeline_release(pipeline);
}

/* The store gives batches back in their order: each is the oldest that was not durable. */
static void take_committed(struct pipeline *pipeline)
{
    struct effects *effects;
    while ((effects = store_take_committed(pipeline->store)) != NULL) {
        struct batch *batch = pipeline->oldest;
        while (batch != NULL && batch->durable)
            batch = batch->next;
        assert(batch != NULL && batch->effects == effects);
        batch->durable = true;
    }
}

static void let_out(struct pipeline *pipeline, struct batch *batch)
{
    const struct pipeline_exits *exits = &pipeline->exits;
    const struct effects *effects = batch->effects;
    exits->durable(exits->context, effects);
    /* Who is told that it may come, may come. */
    for (size_t i = 0; i < effects->access_count; i++)
        exits->access(exits->context, &effects->accesses[i]);
    for (size_t i = 0; i < effects->send_count; i++) {
        if (!effects->sends[i].at_once)
            exits->send(exits->context, effects->sends[i].peer, effects->sends[i].frame);
    }
    for (size_t i = 0; i < effects->answer_count; i++)
        exits->answer(exits->context, &effects->answers[i]);
    for (size_t i = 0; i < effects->change_count; i++)
        exits->changed(exits->context, &effects->changes[i]);
    for (size_t i = 0; i < batch->parcel_count; i++)
        exits->parcel(exits->context, &batch->parcels[i]);
    for (size_t i = 0; i < effects->forgotten_count; i++)
        exits->forgotten(exits->context, effects->forgotten[i]);
}

void pipeline_release(struct pipeline *pipeline)
{
    take_committed(pipeline);
    while (pipeline->oldest != NULL && pipeline->oldest->durable) {
        struct batch *batch = pipeline->oldest;
        pipeline->oldest = batch->next;
        if (pipeline->oldest == NULL)
            pipeline->newest = NULL;
        pipeline->waiting--;
        stop_here(STOP_BATCH_TAKEN);
        let_out(pipeline, batch);
        stop_here(STOP_BATCH_OUT);
        batch_reset(batch);
        batch->next = pipeline->spare;
        pipeline->spare = batch;
    }
}

bool pipeline_is_open(const struct pipeline *pipeline)
{
    return store_in_flight(pipeline->store) < STORE_BATCHES_IN_FLIGHT &&
           pipeline->waiting < BATCHES_WAITING_MAX;
}

bool pipeline_is_due(const struct pipeline *pipeline)
{
    return pipeline->stepped && pipeline_is_open(pipeline) &&
           (store_in_flight(pipeline->store) == 0 ||
               pipeline->current->effects->fact_count >= BATCH_LARGE_FACTS);
}

bool pipeline_is_settled(const struct pipeline *pipeline)
{
    return pipeline->oldest == NULL && !pipeline->stepped;
}
