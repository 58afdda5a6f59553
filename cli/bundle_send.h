/*
 * bundle_send.h - a DAG's folder, sent to a master on another host.
 */
#ifndef CLI_BUNDLE_SEND_H
#define CLI_BUNDLE_SEND_H

#include "cli/client.h"
#include "cli/dag_file.h"
#include "common/hash.h"

struct bundle_sent {
    struct hash manifest;
    char file[PATH_MAX]; /* the DAG's file in it */
};

/*
 * Makes the bundle of the DAG file at `path` (absolute, compiled into `file`), checks that it has
 * what its tasks name, and sends what the master lacks. Refusals are bundle_make's and the
 * master's; else as upload_run.
 */
int bundle_send(struct client *client, const char *path, const struct dag_file *file,
    struct bundle_sent *ret_sent, struct error *error);

#endif
