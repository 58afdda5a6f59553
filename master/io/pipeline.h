/*
 * pipeline.h - commit, then act: steps the core, commits its batches on the store's thread, and
 * lets each batch's effects out when it is durable, in the order of the batches. Belongs to the
 * loop's thread.
 *
 * A batch without facts waits for those before it and for no commit. Sends with `at_once` leave
 * right after their step. At most STORE_BATCHES_IN_FLIGHT are out; then pipeline_is_open says no,
 * and only what changes no row (heartbeats) may still be stepped.
 */
#ifndef MASTER_IO_PIPELINE_H
#define MASTER_IO_PIPELINE_H

#include "master/core/core.h"
#include "master/store/store.h"

/* A frame to a client that leaves with its batch. */
struct parcel {
    uint64_t peer;
    struct slice frame; /* in the effects' arena */
};

struct batch {
    struct effects *effects;
    struct parcel *parcels;
    size_t parcel_count, parcel_capacity;
    bool durable;
    struct batch *next;
};

/* What the owner does with effects that leave. */
struct pipeline_exits {
    void *context;
    void (*send)(void *context, uint64_t peer, struct slice frame); /* to a worker */
    void (*answer)(void *context, const struct answer_effect *answer);
    void (*parcel)(void *context, const struct parcel *parcel);
    void (*access)(void *context, const struct access_effect *access);
    void (*forgotten)(void *context, uint64_t run);
    void (*changed)(void *context, const struct change_effect *change);
    void (*durable)(void *context, const struct effects *effects); /* before all others */
    /* The batch is whole and not yet committed: the core's state is the one after it. */
    void (*flushed)(void *context, struct batch *batch);
};

struct pipeline {
    struct core *core;
    struct store *store;
    struct pipeline_exits exits;
    struct batch *current;         /* being stepped */
    size_t sends_seen;             /* of the current batch's sends: those at once have left */
    bool stepped;                  /* since the last flush */
    struct batch *oldest, *newest; /* flushed and not yet let out */
    size_t waiting;
    struct batch *spare;
};

void pipeline_init(struct pipeline *pipeline, struct core *core, struct store *store,
    const struct pipeline_exits *exits);
void pipeline_fini(struct pipeline *pipeline);

/* Stamps the event with the clocks and steps it into the current batch. */
void pipeline_step(struct pipeline *pipeline, struct event *event);
/* Ends the current batch and hands it on; no effect when nothing was stepped. Only while the
 * pipeline is open. */
void pipeline_flush(struct pipeline *pipeline);
/* Lets out what has become durable. */
void pipeline_release(struct pipeline *pipeline);

/* More may be stepped, and flushed. */
bool pipeline_is_open(const struct pipeline *pipeline);
/*
 * What was stepped should be flushed now. While a batch commits, a small one waits and grows: it
 * would wait for the store all the same, and then it is one fsync instead of many. A large one is
 * handed over at once, so that the store never waits for the core.
 */
bool pipeline_is_due(const struct pipeline *pipeline);
/* Nothing is in flight and nothing stepped: the core's state and the committed rows agree. */
bool pipeline_is_settled(const struct pipeline *pipeline);

#endif
