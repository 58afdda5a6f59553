#include "master/io/ask.h"

#include "common/limits.h"
#include "common/memory.h"
#include "common/stop_point.h"
#include "master/io/trace.h"

#include <stdlib.h>

/* Every request begins with its id: the dispatcher's table asserts it. */
static uint64_t request_of(const struct message *message)
{
    uint64_t request;
    memcpy(&request, message->body, sizeof request);
    return request;
}

struct ask *ask_create(struct master *master, struct ask_frame *frame, transport_peer peer,
    const struct message *message)
{
    struct ask *ask = xcalloc(1, sizeof *ask);
    frame->users++;
    *ask = (struct ask){
        .frame = frame,
        .arena = &frame->arena,
        .peer = peer,
        .actor = &frame->actor,
        .ticket = ++master->asks.last_ticket,
        .request = request_of(message),
        .number = message->number,
        .body = message->body,
    };
    table_set(&master->asks.by_ticket, ask->ticket, (uintptr_t)ask);
    return ask;
}

void ask_end(struct master *master, struct ask *ask)
{
    (void)table_remove(&master->asks.by_ticket, ask->ticket);
    if (ask->changing)
        (void)table_remove(&master->asks.changing, ask->request);
    if (--ask->frame->users == 0) {
        arena_fini(&ask->frame->arena);
        free(ask->frame);
    }
    free(ask);
}

void asks_fini(struct master *master)
{
    struct asks *asks = &master->asks;
    uint64_t address;
    for (uint64_t ticket = 1; ticket <= asks->last_ticket && asks->by_ticket.count > 0; ticket++) {
        if (table_get(&asks->by_ticket, ticket, &address))
            ask_end(master, (struct ask *)(uintptr_t)address);
    }
    table_fini(&asks->by_ticket);
    table_fini(&asks->changing);
}

void client_send(struct master *master, transport_peer peer, struct slice frame)
{
    if (master->options->trace)
        trace_frame("client", peer, ">", frame);
    struct transport *transport = peer_is_remote(peer) ? master->remote : master->clients;
    if (transport != NULL)
        transport_send(transport, peer, frame);
    stop_here(STOP_CLIENT_TOLD);
}

void client_send_refused(
    struct master *master, transport_peer peer, const struct msg_refused *refused)
{
    struct buffer frame = {0};
    struct frame_header header = master_header(master);
    frame_begin(&frame, &header);
    message_encode(&frame, MESSAGE_refused, refused);
    client_send(master, peer, buffer_slice(&frame));
    buffer_fini(&frame);
}

void ask_refuse_text(struct master *master, const struct ask *ask, int code, struct slice text)
{
    client_send_refused(master, ask->peer,
        &(struct msg_refused){.request = ask->request, .code = code, .text = text});
}

void ask_refuse(struct master *master, const struct ask *ask, const struct error *error)
{
    ask_refuse_text(master, ask, error->code, slice_of(error->text));
}

void client_refuse(struct master *master, transport_peer peer, const struct error *error)
{
    client_send_refused(
        master, peer, &(struct msg_refused){.code = error->code, .text = slice_of(error->text)});
}

static void send_frame(struct master *master, const struct ask *ask, const struct buffer *frame)
{
    struct error error = {0};
    if (frame->length <= FRAME_MAX_BYTES) {
        client_send(master, ask->peer, buffer_slice(frame));
        return;
    }
    (void)error_set(&error, ERR_TOO_BIG,
        "the answer is %zu bytes, at most %d can be sent: ask for less of it", frame->length,
        FRAME_MAX_BYTES);
    ask_refuse(master, ask, &error);
}

void ask_answer(
    struct master *master, const struct ask *ask, enum message_id number, const void *body)
{
    struct buffer frame = {0};
    struct frame_header header = master_header(master);
    frame_begin(&frame, &header);
    message_encode(&frame, number, body);
    send_frame(master, ask, &frame);
    buffer_fini(&frame);
}

void ask_answer_encoded(struct master *master, const struct ask *ask, struct slice message)
{
    struct buffer frame = {0};
    struct frame_header header = master_header(master);
    frame_begin(&frame, &header);
    buffer_append_slice(&frame, message);
    send_frame(master, ask, &frame);
    buffer_fini(&frame);
}
