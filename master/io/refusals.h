/*
 * refusals.h - what was refused, counted until the loop's thread makes audit rows of it. Any thread
 * may add. Alike ones are one with a count; so many kinds are remembered, what comes besides counts
 * as one of its own, and rows are given out at a bounded rate: a flood costs neither memory nor
 * disk.
 */
#ifndef MASTER_IO_REFUSALS_H
#define MASTER_IO_REFUSALS_H

#include "common/key_pair.h"
#include "common/limits.h"
#include "common/transport/transport.h"
#include "master/core/core.h"

enum {
    REFUSALS_MAX = 64, /* kinds that wait */
    REFUSAL_ACTION_MAX = 64,
    REFUSAL_TEXT_MAX = 300,
};

/* Texts are cut. Two are alike when all but text and count are the same. */
struct refusal {
    unsigned char key[KEY_BYTES];
    bool keyed; /* false: of no key (this host, or many) */
    uint32_t role;
    char name[NAME_MAX_BYTES + 1];
    char address[TRANSPORT_ADDRESS_MAX];
    char action[REFUSAL_ACTION_MAX];
    char target[NAME_MAX_BYTES + 1];
    char text[REFUSAL_TEXT_MAX];
    uint32_t count;
};

struct refusals;

/* `wake` is called, from any thread, when there is something to take. */
struct refusals *refusals_create(void (*wake)(void *context), void *context);
void refusals_destroy(struct refusals *refusals);

/* One more of its kind; `action` is the request's name, or "handshake". */
void refusals_add(struct refusals *refusals, const struct actor *actor, const char *action,
    struct slice target, const char *text);
/* The oldest that may become a row now. False: none. */
bool refusals_take(struct refusals *refusals, uint64_t now_ms, struct refusal *ret_refusal);
/* When to ask again; UINT64_MAX: when woken. */
uint64_t refusals_next_ms(struct refusals *refusals);

#endif
