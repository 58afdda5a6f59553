/*
 * folder.h - the worker's folder: where everything lies, and that it is ours.
 *
 *     DIR/            0711
 *       lock          who has it
 *       work/ID/      0700, an attempt's own: files/ is its working directory
 *       private/      0700: keys, what it joined, results, spool/, said/, cache/, the runner's
 * socket and the agent's, agent.sock
 */
#ifndef WORKER_IO_FOLDER_H
#define WORKER_IO_FOLDER_H

#include "common/error.h"

struct folder {
    char *path;
    char *lock;
    char *work;
    char *secret; /* private/ */
    char *key, *join, *leader, *dead, *runner, *results, *spool, *said, *cache, *agent;
    int lock_fd; /* -1: not locked */
};

/* Only names; looks at nothing but the length of the runner's socket path (ERR_USAGE). */
int folder_init(struct folder *folder, const char *path, struct error *error);
/*
 * Makes what is missing and takes the lock. Refused by name before anything is made: what is no
 * folder of a worker, a folder on a network file system, one that cannot be written, one that is in
 * use.
 */
int folder_open(struct folder *folder, struct error *error);
/* Unlocks. */
void folder_fini(struct folder *folder);

#endif
