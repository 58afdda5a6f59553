#include "worker/io/bulk.h"

#include "common/limits.h"
#include "common/log.h"
#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>

struct bulk {
    bulk_connect_fn connect;
    void *context;
    struct transport *transport; /* NULL: closed */
    uint64_t session;
    uint64_t credit;
    bool has_credit_line;
    struct bulk_user users[BULK_USERS_MAX];
    size_t user_count;
    struct buffer frame;
    struct arena arena;
};

struct bulk *bulk_create(bulk_connect_fn connect, void *context)
{
    struct bulk *bulk = xcalloc(1, sizeof *bulk);
    bulk->connect = connect;
    bulk->context = context;
    return bulk;
}

/* Ends the connection until the next bulk_renew. */
static void disconnect(struct bulk *bulk)
{
    transport_destroy(bulk->transport);
    bulk->transport = NULL;
    bulk->credit = 0;
    bulk->has_credit_line = false;
    buffer_clear(&bulk->frame);
}

void bulk_destroy(struct bulk *bulk)
{
    if (bulk == NULL)
        return;
    disconnect(bulk);
    buffer_fini(&bulk->frame);
    arena_fini(&bulk->arena);
    free(bulk);
}

void bulk_add_user(struct bulk *bulk, const struct bulk_user *user)
{
    assert(bulk->user_count < BULK_USERS_MAX);
    bulk->users[bulk->user_count++] = *user;
}

static void take_message(struct bulk *bulk, const struct message *message)
{
    if (message->number == MESSAGE_credit) {
        bulk->credit += ((const struct msg_credit *)message->body)->bytes;
        bulk->has_credit_line = true;
    }
    for (size_t i = 0; message->body != NULL && i < bulk->user_count; i++)
        bulk->users[i].message(bulk->users[i].context, message);
}

static void on_frame(void *context, transport_peer peer, struct slice frame)
{
    struct bulk *bulk = context;
    struct error error = {0};
    struct frame_reader reader;
    struct message message;
    (void)peer;
    arena_reset(&bulk->arena);
    int rc = frame_open(frame, &bulk->arena, &reader, &error);
    while (rc == 0 && (rc = frame_next(&reader, &message, &error)) == 1) {
        take_message(bulk, &message);
        rc = 0;
    }
    if (rc < 0)
        log_warn("a frame of the master's bulk port was refused: %s", error.text);
}

int bulk_renew(struct bulk *bulk, uint64_t session, struct error *error)
{
    disconnect(bulk);
    int rc = bulk->connect(bulk->context, on_frame, bulk, &bulk->transport, error);
    if (rc != 0)
        return rc;
    bulk->session = session;
    for (size_t i = 0; i < bulk->user_count; i++)
        bulk->users[i].renewed(bulk->users[i].context);
    return 0;
}

bool bulk_is_open(const struct bulk *bulk)
{
    return bulk->transport != NULL;
}

uint64_t bulk_credit(const struct bulk *bulk)
{
    return bulk->credit;
}

bool bulk_has_credit_line(const struct bulk *bulk)
{
    return bulk->has_credit_line;
}

void bulk_spend(struct bulk *bulk, uint64_t bytes)
{
    assert(bytes <= bulk->credit);
    bulk->credit -= bytes;
}

void bulk_send(struct bulk *bulk, enum message_id number, const void *body)
{
    if (bulk->transport == NULL)
        return;
    if (bulk->frame.length == 0) {
        struct frame_header header = {.version = PROTOCOL_VERSION, .session = bulk->session};
        frame_begin(&bulk->frame, &header);
    }
    message_encode(&bulk->frame, number, body);
    if (bulk->frame.length >= FRAME_TARGET_BYTES)
        bulk_flush(bulk);
}

void bulk_flush(struct bulk *bulk)
{
    if (bulk->transport == NULL || bulk->frame.length == 0)
        return;
    /* The transport takes the bytes: large frames are not copied again. */
    transport_send_owned(bulk->transport, 0, bulk->frame.data, bulk->frame.length);
    bulk->frame = (struct buffer){0};
}
