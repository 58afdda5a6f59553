/*
 * order.h - a runner_start message as execve wants it.
 */
#ifndef WORKER_RUNNER_ORDER_H
#define WORKER_RUNNER_ORDER_H

#include "common/arena.h"
#include "worker/runner/mounts.h"
#include "worker/runner/spawn.h"

/*
 * Fills arguments, env (with the scope in place of any that is there) and folder; all in the arena.
 * False and *ret_failure when an argument holds a NUL, or the user's groups are malformed.
 */
bool order_make(const struct msg_runner_start *start, const char *scope, struct arena *arena,
    struct spawn_order *ret_order, struct spawn_failure *ret_failure);
enum { SEARCHES_KEPT = 32, SEARCH_VALID_MS = 1000 };

/*
 * What searching PATH for a program found: one search is a hundred calls of the kernel on a machine
 * with a long PATH, and they would stand between the end of each task and the next one's start.
 * Zero-initialised. A link that begins to lead to a dead mount is noticed SEARCH_VALID_MS later.
 */
struct searches {
    struct search {
        uint64_t key; /* of PATH and the program; 0: none */
        uint64_t readings;
        uint64_t until_ms;
        bool local;
    } items[SEARCHES_KEPT];
};

/* The order's may_hang: whether to start what was made touches files that are not local. */
bool order_may_hang(const struct spawn_order *order, const struct mounts *mounts,
    struct searches *searches, uint64_t now_ms);

#endif
