#include "proto/channel.h"

#include "common/limits.h"
#include "common/memory.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    ENDS_MIN = 64,           /* messages of the first ring */
    KEEP_BYTES = 256 * 1024, /* an empty channel gives back more than this */
    KEEP_ENDS = 4096,        /* and a ring larger than this */
    DROP_MIN_BYTES =
        64 * 1024, /* acknowledged bytes are moved out when they are this many, and half of all */
};

static uint64_t *end_of(const struct channel *channel, uint64_t number)
{
    return &channel->ends[number & (channel->ends_capacity - 1)];
}

/* Where message `number`, not yet acknowledged, begins, counted from the channel's first byte. */
static uint64_t start_of(const struct channel *channel, uint64_t number)
{
    return number == channel->acked ? channel->base + channel->dropped
                                    : *end_of(channel, number - 1);
}

void channel_init(struct channel *channel)
{
    *channel = (struct channel){.next_out = 1, .acked = 1, .unsent = 1, .sent = 1, .next_in = 1};
}

void channel_fini(struct channel *channel)
{
    buffer_fini(&channel->bytes);
    free(channel->ends);
    *channel = (struct channel){0};
}

void channel_open(struct channel *channel, uint64_t session)
{
    channel_fini(channel);
    channel_init(channel);
    channel->session = session;
}

static void ends_grow(struct channel *channel)
{
    struct channel old = *channel;
    channel->ends_capacity = old.ends_capacity > 0 ? old.ends_capacity * 2 : ENDS_MIN;
    channel->ends = xreallocarray(NULL, channel->ends_capacity, sizeof *channel->ends);
    for (uint64_t number = old.acked; number < old.next_out; number++)
        *end_of(channel, number) = *end_of(&old, number);
    free(old.ends);
}

void channel_add(struct channel *channel, enum message_id number, const void *body)
{
    assert(message_shape(number) != NULL && message_shape(number)->numbered);
    if (channel->next_out - channel->acked == channel->ends_capacity)
        ends_grow(channel);
    message_encode(&channel->bytes, number, body);
    *end_of(channel, channel->next_out) = channel->base + channel->bytes.length;
    channel->next_out++;
}

size_t channel_unacked_bytes(const struct channel *channel)
{
    return channel->bytes.length - channel->dropped;
}

static void frame_start(const struct channel *channel, const struct frame_header *header,
    uint64_t number, struct buffer *frame)
{
    struct frame_header whole = *header;
    whole.version = PROTOCOL_VERSION;
    whole.session = channel->session;
    whole.number = number;
    whole.ack = channel->next_in;
    frame_begin(frame, &whole);
}

bool channel_has_unsent(const struct channel *channel)
{
    return channel->unsent != channel->next_out;
}

bool channel_frame(struct channel *channel, const struct frame_header *header, uint64_t now_ms,
    struct buffer *frame)
{
    if (!channel_has_unsent(channel))
        return false;
    uint64_t first = channel->unsent;
    uint64_t start = start_of(channel, first);
    uint64_t next = first + 1;
    while (next < channel->next_out && *end_of(channel, next) - start <= FRAME_TARGET_BYTES)
        next++;
    frame_start(channel, header, first, frame);
    buffer_append(
        frame, channel->bytes.data + (start - channel->base), *end_of(channel, next - 1) - start);
    if (first == channel->acked) {
        channel->sent_ms = now_ms;
        channel->waits_for = first;
    }
    channel->unsent = next;
    if (channel->sent < next)
        channel->sent = next;
    return true;
}

void channel_plain_frame(
    const struct channel *channel, const struct frame_header *header, struct buffer *frame)
{
    frame_start(channel, header, 0, frame);
}

/* Moving what is left costs at most as much as was acknowledged, so that an ack is cheap on
 * average. */
static void give_back(struct channel *channel)
{
    if (channel->dropped == channel->bytes.length) {
        channel->base += channel->dropped;
        channel->dropped = 0;
        buffer_clear(&channel->bytes);
        if (channel->bytes.capacity > KEEP_BYTES)
            buffer_fini(&channel->bytes);
        if (channel->ends_capacity > KEEP_ENDS) {
            free(channel->ends);
            channel->ends = NULL;
            channel->ends_capacity = 0;
        }
    } else if (channel->dropped >= DROP_MIN_BYTES &&
               channel->dropped >= channel->bytes.length / 2) {
        buffer_consume(&channel->bytes, channel->dropped);
        channel->base += channel->dropped;
        channel->dropped = 0;
    }
}

int channel_acked(struct channel *channel, uint64_t ack, struct error *error)
{
    if (ack > channel->sent)
        return error_set(error, ERR_MALFORMED,
            "messages below %" PRIu64 " are acknowledged, but only those below %" PRIu64
            " were sent",
            ack, channel->sent);
    if (ack <= channel->acked)
        return 0;
    channel->dropped = *end_of(channel, ack - 1) - channel->base;
    channel->acked = ack;
    if (channel->unsent < ack)
        channel->unsent = ack;
    give_back(channel);
    return 0;
}

bool channel_accept(struct channel *channel, uint64_t number)
{
    if (number != channel->next_in)
        return false;
    channel->next_in++;
    return true;
}

void channel_resend(struct channel *channel, uint64_t now_ms)
{
    if (channel->unsent == channel->acked)
        return;
    if (channel->waits_for != channel->acked) {
        channel->waits_for = channel->acked;
        channel->sent_ms = now_ms;
    } else if (now_ms >= channel->sent_ms + CHANNEL_RESEND_MS) {
        channel->unsent = channel->acked;
    }
}
