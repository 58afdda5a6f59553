/*
 * bulk.h - the bulk port: logs and blobs, from workers and to clients, on a thread of its own with
 * its own loop, so that they never hold up heartbeats. Disk syncs are done by threads behind it,
 * several at a time.
 */
#ifndef MASTER_IO_BULK_H
#define MASTER_IO_BULK_H

#include "common/error.h"
#include "master/io/admission.h"
#include "master/io/claims.h"
#include "master/io/masks.h"
#include "master/store/blob.h"

#include <stdbool.h>

struct bulk;

struct bulk_config {
    const char *endpoint; /* of this host */
    /* By TCP, with these keys; NULL: not. The rest of this paragraph is needed for it alone. */
    const char *remote;
    const struct key_pair *keys;
    struct admission *admission;
    struct claims *claims;
    struct refusals *refusals; /* always */
    struct blob_store *blobs;
    struct masks *masks;    /* NULL: nothing is a secret */
    uint64_t epoch, leader; /* of the frames' header */
    bool trace;
    /* A write or sync failed in a way that only a restart can mend. Called once, from any thread.
     */
    void (*failed)(void *context, const struct error *error);
    void *context;
};

/* Binds and starts; the texts are borrowed for the call, the rest for the port's life. */
int bulk_start(const struct bulk_config *config, struct bulk **ret_bulk, struct error *error);
/* Waits for the syncs in progress. NULL is fine. */
void bulk_stop(struct bulk *bulk);

#endif
