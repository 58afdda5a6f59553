/*
 * trees.h - the files that an attempt finds when it starts: its bundle's copy and the artifacts of
 * the tasks above. Where the master's blobs lie on this host they are read there (bundles only);
 * else they are fetched over bulk into private/cache, by content. Copies are made on a thread. One
 * thread but for that.
 */
#ifndef WORKER_IO_TREES_H
#define WORKER_IO_TREES_H

#include "common/boot.h"
#include "common/hash.h"
#include "worker/io/fetch.h"

struct trees;
struct tree_job;

struct trees_config {
    const char *cache;       /* a folder (copied) */
    uint64_t cache_max;      /* bytes; past it goes what was used longest ago */
    struct fetcher *fetcher; /* borrowed, as jobs: both outlive it */
    struct jobs *jobs;
};
/* Takes up what the cache holds since this boot. */
int trees_create(const struct trees_config *config, const unsigned char boot[BOOT_BYTES],
    struct trees **ret_trees, struct error *error);
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
