/*
 * host_state.h - what host.c, effects.c, leaving.c and runner_link.c share. Internal.
 */
#ifndef WORKER_IO_HOST_STATE_H
#define WORKER_IO_HOST_STATE_H

#include "worker/core/agent.h"
#include "worker/io/attempts.h"
#include "worker/io/host.h"
#include "worker/io/identity.h"
#include "worker/io/load.h"
#include "worker/io/results.h"
#include "worker/io/stop_port.h"
#include "worker/io/uplink.h"
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

/* What `reeve-worker stop` wished. */
struct leaving {
    bool now;  /* kill what runs */
    bool done; /* let it end */
    bool begun;
    uint64_t by_ms; /* boot time: then kill it; UINT64_MAX: never */
    size_t logs;    /* as was said to the core */
    char told[STOP_TEXT_MAX];
};

enum { HOST_RANDOMS = 64 };

struct host {
    const struct options *options;
    const struct folder *folder;
    struct identity identity;
    struct task_users users;
    struct operators operators;
    struct loop *loop;
    struct uplink *uplink;
    struct bulk *bulk;
    struct ship *ship;
    struct blob_client *blobs;
    struct fetcher *fetcher;
    struct trees *trees;
    struct attempts *attempts;
    struct results *results;
    struct jobs *slow, *syncs;
    struct runner_link runner;
    struct agent *agent;
    struct agent_effects effects;
    uint64_t randoms[HOST_RANDOMS]; /* for steps to come */
    size_t random_count;
    struct load_meter load;
    struct stop_port *stop_port;
    struct leaving leaving;
    uint64_t spool_max; /* bytes */
    struct arena arena; /* for the life of the host: the tasks' first environment */
    char name[256];     /* of the machine */
    bool stepped;       /* since the last FLUSH */
    bool listed;        /* the runner's first list is complete */
    bool results_full;  /* as was said to the core */
    bool spools_full;   /* likewise */
    uint32_t bulk_turn; /* of what goes over bulk, in this round */
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

/* ---- leaving.c ---- */

/* A wish of `reeve-worker stop`; the last one counts, and none is taken back. */
void leaving_wish(void *host, const struct stop_wish *wish);
/* The runner has said what it holds: what was wished can begin. */
void leaving_listed(struct host *host);
/* Tells the core what has changed, and those who wait. In each round. */
void leaving_round(struct host *host, uint64_t now_ms);
uint64_t leaving_due_ms(const struct host *host);
/* For people: how many tasks go on without an agent, for how long, and how to come back. */
void leaving_say_goodbye(const struct host *host);

/* ---- runner_link.c ---- */

int runner_link_open(struct host *host, struct error *error);
void runner_link_fini(struct runner_link *link);
/* Queues a message of the core; a runner_start is completed. */
void runner_link_say(struct host *host, const struct message *message);
void runner_link_flush(struct host *host);

#endif
