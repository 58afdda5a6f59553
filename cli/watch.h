/*
 * watch.h - a subscription to a run's changes that knows when it has missed some: a gap in their
 * numbers, another leadership of the master. Then the whole state is to be read again.
 */
#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include "cli/client.h"

/* watch_init makes it ready: stale. `run` is borrowed. */
struct watch {
    struct client *client;
    const char *run;
    uint64_t id;
    uint64_t number;   /* of the last run_changed, 0: none came */
    uint64_t sent_ms;  /* when the master was asked last */
    uint64_t restarts; /* of the master, when it was begun */
    bool stale;
    struct error refusal; /* code 0: none */
};

void watch_init(struct watch *watch, struct client *client, const char *run);
/* Begins anew, under a new id: what is still on its way from an older one is not taken for it. Read
 * the state after. */
int watch_begin(struct watch *watch, struct error *error);
/* True when changes were missed. */
bool watch_is_stale(const struct watch *watch);
/* The change in the message when it is one of this watch, else NULL. */
const struct msg_run_changed *watch_take(struct watch *watch, const struct message *message);
/* Asks again when it is time. The master's refusal is the error. */
int watch_renew(struct watch *watch, struct error *error);
/* BOOT: when watch_renew has work. */
uint64_t watch_due(const struct watch *watch);
/* Tells the master that it is over. */
void watch_end(struct watch *watch);

#endif
