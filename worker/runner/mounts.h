/*
 * mounts.h - does a path lie on a local file system? Answered from the mount table and by reading
 * symbolic links on local file systems only: a dead network mount hangs whoever touches it.
 */
#ifndef WORKER_RUNNER_MOUNTS_H
#define WORKER_RUNNER_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mount {
    char *folder;
    bool local;
};

/* Zero-initialised, then mounts_refresh. */
struct mounts {
    struct mount *items; /* in the kernel's order: a later one covers an earlier one */
    size_t count;
    size_t capacity;
    size_t remote; /* how many are not local; mostly none, and then nothing needs to be looked at */
    uint64_t readings; /* how often the table was read; what was found by an older one is void */
    int fd;            /* of /proc/self/mountinfo, 0 until first opened; -1: cannot be read */
};

/* Reads the table when it is new or has changed. */
void mounts_refresh(struct mounts *mounts);
void mounts_fini(struct mounts *mounts);

/* False when the absolute path, or a link on its way, is on a file system that is not known to be
   local. A path that ends nowhere is as local as what there is of it. */
bool mounts_path_is_local(const struct mounts *mounts, const char *path);

#endif
