/*
 * bundle_walk.h - which files of a DAG's folder travel with a run. Walks by descriptors and never
 * through a link.
 */
#ifndef COMMON_DAG_BUNDLE_WALK_H
#define COMMON_DAG_BUNDLE_WALK_H

#include "common/arena.h"
#include "common/dag/bundle_seen.h"
#include "common/dag/ignore.h"
#include "common/error.h"

struct bundle_entry {
    struct slice path; /* relative; NUL-terminated */
    struct stat status;
};

struct bundle_walk {
    const char *folder;       /* absolute */
    struct slice own;         /* name of the DAG's file in it */
    const struct slice *only; /* `files:` */
    uint32_t only_count;      /* 0: the whole folder */
    struct seen_files *seen;
    int fd; /* of the folder */
    struct arena arena;
    struct ignore_list ignored;
    struct bundle_entry *entries; /* the DAG's own file is the first */
    size_t count, capacity;
    uint64_t bytes;
    uint32_t met; /* names that were looked at */
};

/* Fills entries; everything else is the caller's to set. bundle_walk_fini, also after an error. */
int bundle_walk_run(struct bundle_walk *walk, struct error *error);
/* What errno says of a path of the folder. */
int bundle_walk_fail(const struct bundle_walk *walk, const char *path, struct error *error);
void bundle_walk_fini(struct bundle_walk *walk);

#endif
