/*
 * trees.h - the files that an attempt finds when it starts: its bundle's copy and the artifacts of
 * the tasks above. Where the master's blobs lie on this host they are read there (bundles only);
 * else they are fetched over bulk into private/cache, by content. Copies are made on a thread. One
 * thread but for that.
 */
#ifndef WORKER_IO_TREES_H
#define WORKER_IO_TREES_H

#include "common/hash.h"
#include "worker/io/blob_client.h"

struct trees;
struct tree_job;

/* All are borrowed and outlive it. Empties the cache. */
struct trees *trees_create(const char *cache, struct blob_client *blobs, struct jobs *jobs);
/* After the threads have ended; what is at work is not answered. */
void trees_destroy(struct trees *trees);
/* The master's folder of blobs on this host; empty: it has none. */
void trees_set_bundles(struct trees *trees, struct slice folder);

/* One manifest, to be laid out in a folder (copied). */
struct tree {
    struct hash manifest;
    const char *folder; /* made when it is missing */
    bool is_bundle;
    bool read_only;
};

/* `error` is NULL when all is there. */
typedef void (*trees_fn)(void *context, const struct error *error);

/* Lays them out, in order; `done` is called later, once. */
struct tree_job *trees_lay(
    struct trees *trees, const struct tree *list, size_t count, trees_fn done, void *context);
/* Its answer is `gone` instead of `done`, once nothing of it touches the folders any more. */
void trees_cancel(struct tree_job *job, trees_fn gone);

#endif
