/*
 * bulk.h - the agent's connection to the master's bulk port: one for logs and files, apart from
 * heartbeats. Frames gather while the loop's round goes on and leave with bulk_flush. Chunks go
 * under credit. One thread.
 *
 * A connection lasts as long as a session: bulk_renew begins a new one, with no credit; whoever
 * uses it begins anew then.
 */
#ifndef WORKER_IO_BULK_H
#define WORKER_IO_BULK_H

#include "common/transport/transport.h"
#include "proto/proto.h"

struct bulk;

struct bulk_user {
    /* A message that came; borrowed for the call. */
    void (*message)(void *context, const struct message *message);
    /* A new connection: nothing that was said on the last one is known to have arrived. */
    void (*renewed)(void *context);
    void *context;
};

/* Connects to the bulk port of the master that is spoken to now, as transport_connect. */
typedef int (*bulk_connect_fn)(void *context, transport_frame_fn frame, void *frame_context,
    struct transport **ret_transport, struct error *error);

struct bulk *bulk_create(bulk_connect_fn connect, void *context);
void bulk_destroy(struct bulk *bulk);
/* Every user hears every message. At most BULK_USERS_MAX. */
enum { BULK_USERS_MAX = 3 };
void bulk_add_user(struct bulk *bulk, const struct bulk_user *user);

/* Connects (anew) for this session. */
int bulk_renew(struct bulk *bulk, uint64_t session, struct error *error);
bool bulk_is_open(const struct bulk *bulk);

/* Queues a message; nothing while it is closed. */
void bulk_send(struct bulk *bulk, enum message_id number, const void *body);
/* Bytes of chunks that may be sent now. */
uint64_t bulk_credit(const struct bulk *bulk);
/* Whether the master has given any on this connection. */
bool bulk_has_credit_line(const struct bulk *bulk);
/* So many bytes of a chunk are being sent. */
void bulk_spend(struct bulk *bulk, uint64_t bytes);
void bulk_flush(struct bulk *bulk);

#endif
