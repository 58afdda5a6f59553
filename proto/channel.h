/*
 * channel.h - one side of a session: numbered messages out, kept until acknowledged and sent again
 * when that takes too long; numbered messages in, taken once and in order. Pure; used by the
 * master's core and the agent's core.
 *
 * An acknowledgement says "taken into memory", no more: what must be durable has messages of its
 * own (`settled`). Both sides forget everything of a session when it ends.
 */
#ifndef PROTO_CHANNEL_H
#define PROTO_CHANNEL_H

#include "proto/proto.h"

/* channel_open makes it ready; channel_fini frees. */
struct channel {
    uint64_t session;
    uint64_t next_out;    /* number of the next message that is added; numbers begin at 1 */
    uint64_t acked;       /* the peer has taken all below */
    uint64_t unsent;      /* the first that was not yet put into a frame (or is to be sent again) */
    uint64_t sent;        /* all below were put into a frame once; `unsent` goes back, this never */
    uint64_t next_in;     /* the number that is taken next */
    uint64_t waits_for;   /* what `acked` was at sent_ms; once it has moved, the wait begins anew */
    uint64_t sent_ms;     /* when the first unacknowledged message was last sent */
    struct buffer bytes;  /* encoded messages from `acked` on; bytes.data + dropped is the first */
    size_t dropped;       /* acknowledged bytes at the front, given up in large steps */
    uint64_t *ends;       /* a ring: where message n ends, counted from the channel's first byte */
    size_t ends_capacity; /* a power of two */
    uint64_t base;        /* the channel's byte count at bytes.data */
};

void channel_init(struct channel *channel);
void channel_fini(struct channel *channel);
/* Begins a session: all that was queued is forgotten, numbers begin at 1. */
void channel_open(struct channel *channel, uint64_t session);

/* Queues a NUMBERED message. */
void channel_add(struct channel *channel, enum message_id number, const void *body);
/* Encoded bytes that wait for an acknowledgement: at CHANNEL_UNACKED_MAX_BYTES its owner stops. */
size_t channel_unacked_bytes(const struct channel *channel);

bool channel_has_unsent(const struct channel *channel);

/*
 * Makes the next frame of messages that are to be sent: header (version, ack and number filled in
 * from the channel; epoch and leader from `header`), then messages up to FRAME_TARGET_BYTES. False
 * and nothing appended when none is to be sent. Call until false.
 */
bool channel_frame(struct channel *channel, const struct frame_header *header, uint64_t now_ms,
    struct buffer *frame);
/* Begins a frame for PLAIN messages of this session, which the caller appends; it carries the ack
 * too. */
void channel_plain_frame(
    const struct channel *channel, const struct frame_header *header, struct buffer *frame);

/* Takes the ack of a frame that came; an ack of what was never sent is ERR_MALFORMED. */
int channel_acked(struct channel *channel, uint64_t ack, struct error *error);
/* For the numbered message `number` that came: true = take it now (once), false = seen already, or
 * out of order. */
bool channel_accept(struct channel *channel, uint64_t number);
/* Call now and then (at each heartbeat): what is unacknowledged for CHANNEL_RESEND_MS is to be sent
 * again. */
void channel_resend(struct channel *channel, uint64_t now_ms);

#endif
