/*
 * claims.h - a worker on the bulk port claims that an attempt is its own, and the loop's thread
 * alone knows whose it is: questions go there, answers come back. Between these two threads; both
 * ways are bounded.
 */
#ifndef MASTER_IO_CLAIMS_H
#define MASTER_IO_CLAIMS_H

#include "common/transport/transport.h"
#include "proto/proto.h"

struct claim {
    transport_peer peer;
    unsigned char key[KEY_BYTES]; /* of the worker that claims it */
    struct attempt_id id;
    bool granted; /* the answer */
};

/* Wakes the thread that has something to take. */
struct claims_wake {
    void (*wake)(void *context);
    void *context;
};

struct claims;

struct claims *claims_create(struct claims_wake loop);
void claims_destroy(struct claims *claims);
/* Before the first answer. */
void claims_set_asker(struct claims *claims, struct claims_wake asker);

/* The bulk thread's. False: too many wait; the worker says it again. */
bool claims_ask(struct claims *claims, const struct claim *claim);
bool claims_take(struct claims *claims, struct claim *ret_claim);

/* The loop's. False: nothing was asked. Each question is answered. */
bool claims_next(struct claims *claims, struct claim *ret_claim);
void claims_answer(struct claims *claims, const struct claim *claim);

#endif
