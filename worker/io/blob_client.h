/*
 * blob_client.h - files by content to the master, over the bulk connection: one at a time, in
 * order, gone on with on the next connection. A master that is away is waited for. One thread.
 */
#ifndef WORKER_IO_BLOB_CLIENT_H
#define WORKER_IO_BLOB_CLIENT_H

#include "common/hash.h"
#include "worker/io/bulk.h"

struct blob_client;

/* `error` is NULL when it worked. */
typedef void (*blob_done_fn)(void *context, const struct error *error);

/* `bulk` is borrowed and outlives it. */
struct blob_client *blob_client_create(struct bulk *bulk);
/* What is waited for is never answered. */
void blob_client_destroy(struct blob_client *client);

/*
 * Offers the content and sends it when it is wanted; done when the master has kept it. The content
 * is the file at `path`, or, with path NULL, `bytes`; both are copied.
 */
struct blob_source {
    struct hash hash;
    uint64_t size;
    const char *path;
    struct slice bytes;
};
void blob_upload(
    struct blob_client *client, const struct blob_source *source, blob_done_fn done, void *context);

/* Sends what credit allows; call in each round, before bulk_flush. */
void blob_client_pump(struct blob_client *client, uint64_t now_ms);
/* The master has not answered for so long that the connection should be renewed. */
bool blob_client_is_stuck(const struct blob_client *client, uint64_t now_ms);

#endif
