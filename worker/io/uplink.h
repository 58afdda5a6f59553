/*
 * uplink.h - the agent's way to its master: a socket in the master's folder on this host, or TCP
 * with CURVE to one of its addresses. ZeroMQ reconnects to an address by itself; from one that
 * stays silent this goes on to the next, with growing patience. One thread.
 *
 * A silence is told at once and then rarely, and so is its end.
 */
#ifndef WORKER_IO_UPLINK_H
#define WORKER_IO_UPLINK_H

#include "common/transport/transport.h"
#include "worker/io/options.h"

struct uplink;

struct uplink_config {
    struct loop *loop;
    const struct options *options; /* master or joined; borrowed, as keys */
    const struct key_pair *keys;
    transport_frame_fn frame;
    /* The master answers on another connection than before. */
    void (*moved)(void *context);
    void *context;
};

/* Does not wait for the master. */
int uplink_open(
    const struct uplink_config *config, struct uplink **ret_uplink, struct error *error);
void uplink_close(struct uplink *uplink);

void uplink_send(struct uplink *uplink, struct slice frame);
/* Goes on to the next address when it is time; call at uplink_due_ms or at any time. */
void uplink_tick(struct uplink *uplink, uint64_t now_ms);
/* UINT64_MAX: never. */
uint64_t uplink_due_ms(const struct uplink *uplink);

/* The master has refused the handshake: it does not know our key. */
bool uplink_is_denied(const struct uplink *uplink);
/* The master, for people: its address, or its folder. */
const char *uplink_name(const struct uplink *uplink);
/* Which of options->joined.addresses it is, where it is one. */
uint32_t uplink_address(const struct uplink *uplink);
/* On the master's own host, by its folder. */
bool uplink_is_local(const struct uplink *uplink);

/* The bulk port of the same master, as a bulk_connect_fn; `context` is the uplink. */
int uplink_connect_bulk(void *context, transport_frame_fn frame, void *frame_context,
    struct transport **ret_transport, struct error *error);

#endif
