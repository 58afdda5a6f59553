/*
 * state.h - what the parts of the loop share. Internal to master/io; all of it belongs to the
 * loop's thread.
 */
#ifndef MASTER_IO_STATE_H
#define MASTER_IO_STATE_H

#include "common/loop.h"
#include "common/transport/transport.h"
#include "master/io/admission.h"
#include "master/io/bulk.h"
#include "master/io/compiler.h"
#include "master/io/data_folder.h"
#include "master/io/options.h"
#include "master/io/pipeline.h"
#include "master/io/plans.h"
#include "master/io/retention.h"
#include "master/io/vault.h"
#include "master/io/versions.h"
#include "master/io/watch.h"
#include "master/io/worker_port.h"

#include <pthread.h>

/* Clients' questions that are not answered yet. */
struct asks {
    uint64_t last_ticket;
    struct table by_ticket; /* -> struct ask */
    struct table changing; /* request -> struct ask: asked again, it is only told where to answer */
    struct ask *first, *last; /* that wait until core and rows agree */
    bool paused;
};

/* Moments at which something was said too late of attempts' ends, until it is reported
 * (late_report.h); what comes beside so many is shown by `status` alone. */
enum { LATES_MAX = 64 };
struct lates {
    int64_t told_at[LATES_MAX];
    uint32_t count;
};

struct master {
    const struct options *options;
    struct data_folder folder;
    struct loop *loop;
    struct store *store;
    struct store_identity identity;
    struct blob_store *blobs;
    struct core *core;
    struct transport *clients; /* of this host */
    struct transport *remote;  /* workers and clients by TCP; NULL: nobody listens there */
    struct key_pair server_keys;
    struct texts addresses; /* what tokens say; in the arena */
    struct arena address_arena;
    struct refusals *refusals;
    struct admission *admission;
    struct versions versions;
    struct claims *claims;
    struct vault vault;
    struct arena scratch; /* of the frame that is being looked at */
    struct pipeline pipeline;
    struct plans plans;
    struct asks asks;
    struct lates lates;
    struct watches watches;
    struct worker_port workers;
    struct compiler *compiler;
    struct bulk *bulk;
    struct retention *retention;
    struct table running; /* keys of the runs that run */
    int64_t started_at;
    uint64_t timer_held_ms; /* the core's timer is not served before */
    bool stopping;
    bool full;          /* the store was out of space when last asked */
    bool fenced;        /* said so */
    struct error error; /* why it must end; code 0: it need not */
    pthread_mutex_t bulk_mutex;
    struct error bulk_error; /* set by a thread of the bulk port */
};

/* What batches let out (exits.c); `context` is to be filled in. */
extern const struct pipeline_exits master_exits;
/* One round of the loop (round.c). */
bool master_on_round(void *context);

/* The header of frames to clients. */
struct frame_header master_header(const struct master *master);
/* Ends the loop as soon as it may; the first reason counts. */
void master_fail(struct master *master, const struct error *error);

/*
 * Brings a run into the core's memory if it is not there (load.c). Refused while facts are on their
 * way, since its rows may then be old. ERR_NOT_FOUND.
 */
int master_load_run(struct master *master, uint64_t run, struct error *error);
/* The loader for the store's rows, at the start and for one run. */
struct store_loader master_loader(struct master *master);

#endif
