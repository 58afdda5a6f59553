/*
 * artifact_list.h - the files that the tasks of a run left: read from the manifests of their last
 * successful attempts.
 */
#ifndef CLI_ARTIFACT_LIST_H
#define CLI_ARTIFACT_LIST_H

#include "cli/client.h"
#include "cli/selector.h"
#include "common/manifest.h"

struct artifact {
    char *task;
    char *path;
    uint64_t size;
    uint32_t mode;
    struct hash hash;
};

struct artifact_list {
    struct artifact *items;
    size_t count, capacity;
    char run[SELECTOR_RUN_MAX];
};

int artifact_list_read(struct client *client, const struct selector *selector,
    struct artifact_list *list, struct error *error);
/* By path, or by TASK/PATH. ERR_NOT_FOUND; ERR_USAGE names the tasks when several left it. */
int artifact_list_find(const struct artifact_list *list, const char *name,
    const struct artifact **ret_artifact, struct error *error);
void artifact_list_fini(struct artifact_list *list);

/* A blob's bytes to fd, or appended to `out` (then at most max_bytes), at constant memory. Exactly
 * one of both. */
int artifact_fetch(struct client *client, const struct hash *hash, int fd, struct buffer *out,
    uint64_t max_bytes, struct error *error);

#endif
