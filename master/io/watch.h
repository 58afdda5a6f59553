/*
 * watch.h - who follows which run: the changes of a batch become run_changed frames that leave with
 * it. Costs nothing while nobody watches. Belongs to the loop's thread.
 */
#ifndef MASTER_IO_WATCH_H
#define MASTER_IO_WATCH_H

#include "common/table.h"
#include "master/io/pipeline.h"

/* A watch that is not asked for again ends after so long; so many may be at a time, more are
 * refused. */
enum { WATCH_LIFE_MS = 30000, WATCHES_MAX = 10000, WATCH_CHANGES_MAX = 1000 };

struct watches {
    struct core *core;
    struct frame_header header; /* of the frames */
    struct table by_run;        /* run key -> struct watched_run */
    struct names by_name;       /* peer and request -> struct subscription */
    uint64_t swept_ms;
    struct watched_run *touched; /* by the batch that is being looked at */
    /* The name of a worker's number; empty when it is not known. */
    struct slice (*worker_name)(void *context, uint32_t number);
    void *context;
};

struct watch_key {
    uint64_t peer;
    uint64_t request;
};

struct watch_wish {
    struct watch_key key;
    uint64_t run;
    bool tasks; /* their changes too */
};

void watches_fini(struct watches *watches);

/* True when it is there: its life is prolonged. */
bool watch_renew(struct watches *watches, struct watch_key key, uint64_t now_ms);
/* Begins one, and appends its first run_changed frame. False when there are too many. */
bool watch_begin(struct watches *watches, const struct watch_wish *wish, uint64_t now_ms,
    struct buffer *first_frame);
void watch_end(struct watches *watches, struct watch_key key);
/* All of a peer's. */
void watch_end_peer(struct watches *watches, uint64_t peer);

/* Makes the batch's parcels from its changes; the core's state is the one after the batch. */
void watch_batch(struct watches *watches, struct batch *batch);
/* Ends what was not renewed. Call now and then. */
void watch_sweep(struct watches *watches, uint64_t now_ms);
size_t watch_count(const struct watches *watches);

#endif
