/*
 * host_state.h - what host.c, effects.c and runner_link.c share. Internal.
 */
#ifndef WORKER_IO_HOST_STATE_H
#define WORKER_IO_HOST_STATE_H

#include "common/transport.h"
#include "worker/core/agent.h"
#include "worker/io/attempts.h"
#include "worker/io/host.h"
#include "worker/io/identity.h"
#include "worker/io/results.h"
#include "worker/runner_client.h"

/* The connection to the runner. */
struct runner_link {
    struct runner_client *client;
    uint64_t instance;
    struct buffer frame;     /* messages that gather */
    int fds[RUNNER_FDS_MAX]; /* theirs */
    uint32_t fd_count;
    bool wants_write;
    struct arena arena; /* of the frame that is being taken */
};

struct host {
    const struct options *options;
    const struct folder *folder;
    struct identity identity;
    struct loop *loop;
    struct transport *control;
    struct bulk *bulk;
    struct ship *ship;
    struct blob_client *blobs;
    struct trees *trees;
    struct attempts *attempts;
    struct results *results;
    struct jobs *slow, *syncs;
    struct runner_link runner;
    struct agent *agent;
    struct agent_effects effects;
    struct arena arena; /* for the life of the host: the tasks' first environment */
    char name[256];     /* of the machine */
    bool stepped;       /* since the last FLUSH */
    bool listed;        /* the runner's first list is complete */
    bool stop_wanted;   /* `stop --now`: once it is */
    bool results_full;  /* as was said to the core */
    bool blobs_first;   /* of what goes over bulk, in this round */
    bool stopped;       /* nothing runs any more, and the runner was told to end */
    bool ending;
    int status;
};

/* Steps the core by an event, whose kind and body are set. */
void host_step(struct host *host, struct agent_event event);
/* Ends the loop with this status. */
void host_end(struct host *host, int status);

/* ---- effects.c ---- */

/* FLUSH, and carries out all effects since the last batch, also those that come of doing so. */
void host_batch(struct host *host);

/* ---- runner_link.c ---- */

int runner_link_open(struct host *host, struct error *error);
void runner_link_fini(struct runner_link *link);
/* Queues a message of the core; a runner_start is completed. */
void runner_link_say(struct host *host, const struct message *message);
void runner_link_flush(struct host *host);

#endif
