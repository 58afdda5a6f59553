/*
 * fetch.h - files by content from the master, over the bulk connection: many at a time, large ones
 * in several pieces, within a window, so that ten thousand small files cost a few round trips. Each
 * goes on where it was on the next connection. A master that is away is waited for. One thread;
 * writing and checking are done on that of `jobs`.
 */
#ifndef WORKER_IO_FETCH_H
#define WORKER_IO_FETCH_H

#include "common/hash.h"
#include "common/jobs.h"
#include "worker/io/bulk.h"

struct fetcher;

/* `error` is NULL when it worked. */
typedef void (*fetch_done_fn)(void *context, const struct error *error);

/* Both are borrowed and outlive it. `jobs` has one thread. */
struct fetcher *fetcher_create(struct bulk *bulk, struct jobs *jobs);
/* After the thread has ended. What is waited for is never answered. */
void fetcher_destroy(struct fetcher *fetcher);

enum { FETCH_SIZE_UNKNOWN = -1 };

/* Gets the content into a new file at `path` (copied), whole and checked or not at all, 0400.
 * `size` is known from a manifest, or FETCH_SIZE_UNKNOWN. */
struct fetch_wish {
    struct hash hash;
    int64_t size;
    const char *path;
};
void fetcher_get(
    struct fetcher *fetcher, const struct fetch_wish *wish, fetch_done_fn done, void *context);

/* Asks for what the window allows; call in each round, before bulk_flush. */
void fetcher_pump(struct fetcher *fetcher, uint64_t now_ms);
/* The master has not answered for so long that the connection should be renewed. */
bool fetcher_is_stuck(const struct fetcher *fetcher, uint64_t now_ms);

#endif
