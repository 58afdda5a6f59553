/*
 * bundle_seen.h - what earlier snapshots learned about files, so that an unchanged one is not read
 * again. A file is known by device and inode, and unchanged when its size and both its times are.
 * One that changed less than SEEN_AGE_SECONDS before it was looked at is not remembered: it could
 * change once more within the same tick of the file system's clock. Any thread.
 */
#ifndef COMMON_DAG_BUNDLE_SEEN_H
#define COMMON_DAG_BUNDLE_SEEN_H

#include "common/hash.h"

#include <stdbool.h>
#include <sys/stat.h>

struct seen_files;

enum {
    SEEN_AGE_SECONDS = 2,
    /* At the bound all are forgotten, and read once more. */
    SEEN_FILES_MAX = 100000,
};

struct seen_fact {
    bool hashed;  /* hash is its content's */
    bool sniffed; /* is_dag is known */
    bool is_dag;
    struct hash hash;
};

struct seen_files *seen_files_create(void);
void seen_files_destroy(struct seen_files *seen);

/* What is known of the file with this status; all false when nothing is. */
struct seen_fact seen_files_get(struct seen_files *seen, const struct stat *status);
/* Adds to what is known. `now` is the wall time, in seconds, before the file was opened. */
void seen_files_add(
    struct seen_files *seen, const struct stat *status, time_t now, const struct seen_fact *fact);

#endif
