/*
 * artifacts.h - the files that a task leaves for others, found by the names and globs of its DAG.
 * Blocks: for a thread.
 */
#ifndef WORKER_IO_ARTIFACTS_H
#define WORKER_IO_ARTIFACTS_H

#include "common/manifest.h"
#include "proto/proto.h"

struct artifacts {
    struct manifest manifest; /* its files lie in the arena */
    struct buffer text;       /* the manifest's, owned */
    struct hash hash;         /* of the text */
    /* Where the file of manifest.files[i] lies. */
    struct slice *paths;
};

/*
 * A folder that matches counts for all files below it. Files are hashed. ERR_INVALID names the
 * pattern that matches nothing, or the file that is none: a link out of the folder, a FIFO, a
 * device, an absolute path, one with "..".
 */
int artifacts_find(const char *folder, const struct texts *patterns, struct arena *arena,
    struct artifacts *ret_artifacts, struct error *error);
void artifacts_fini(struct artifacts *artifacts);

#endif
