#include "worker/io/blob_client.h"

#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    CHUNK_BYTES = 64 * 1024,
    ANSWER_MAX_MS = 30000,
};

enum transfer_state {
    TRANSFER_NEW,     /* nothing was said on this connection */
    TRANSFER_ASKED,   /* offered */
    TRANSFER_SENDING, /* it is wanted */
    TRANSFER_SENT,
};

struct transfer {
    struct transfer *next;
    enum transfer_state state;
    struct hash hash;
    char *path; /* owned, or NULL: the content is in `bytes` */
    char *bytes;
    uint64_t size, offset;
    uint64_t waits_since;
    int fd;
    blob_done_fn done;
    void *context;
};

struct blob_client {
    struct bulk *bulk;
    struct transfer *first, *last; /* in order; only the first is at work */
    struct buffer data;
    uint64_t now_ms; /* of the round */
};

static void transfer_free(struct transfer *transfer)
{
    if (transfer->fd >= 0)
        (void)close(transfer->fd);
    free(transfer->path);
    free(transfer->bytes);
    free(transfer);
}

/* Takes the first one off the list, and tells who waits for it. */
static void finish(struct blob_client *client, const struct error *error)
{
    struct transfer *transfer = client->first;
    client->first = transfer->next;
    if (client->first == NULL)
        client->last = NULL;
    transfer->done(transfer->context, error);
    transfer_free(transfer);
}

void blob_upload(
    struct blob_client *client, const struct blob_source *source, blob_done_fn done, void *context)
{
    struct transfer *transfer = xcalloc(1, sizeof *transfer);
    transfer->fd = -1;
    transfer->done = done;
    transfer->context = context;
    transfer->hash = source->hash;
    transfer->size = source->size;
    if (source->path != NULL)
        transfer->path = xstrdup(source->path);
    else
        transfer->bytes = xstrndup(source->bytes.ptr, source->bytes.length);
    *(client->last != NULL ? &client->last->next : &client->first) = transfer;
    client->last = transfer;
}

static struct slice hash_slice(const struct transfer *transfer)
{
    return slice_make(transfer->hash.bytes, sizeof transfer->hash.bytes);
}

static bool is_of(const struct transfer *transfer, struct slice hash)
{
    return transfer != NULL && slice_equal(hash_slice(transfer), hash);
}

static int read_piece(
    struct transfer *transfer, size_t limit, struct buffer *out, struct error *error)
{
    if (transfer->path == NULL) {
        buffer_append(out, transfer->bytes + transfer->offset, limit);
        return 0;
    }
    if (transfer->fd < 0)
        transfer->fd = open(transfer->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (transfer->fd < 0)
        return error_set_errno(error, ERR_IO, errno, "%s", transfer->path);
    ssize_t got = pread(transfer->fd, buffer_reserve(out, limit), limit, (off_t)transfer->offset);
    if (got < 0)
        return error_set_errno(error, ERR_IO, errno, "%s", transfer->path);
    if (got == 0)
        return error_set(error, ERR_IO, "%s: shorter than it was", transfer->path);
    out->length += (size_t)got;
    return 0;
}

static void send_piece(struct blob_client *client, struct transfer *transfer)
{
    struct error error = {0};
    uint64_t limit = transfer->size - transfer->offset;
    if (limit > bulk_credit(client->bulk))
        limit = bulk_credit(client->bulk);
    if (limit > CHUNK_BYTES)
        limit = CHUNK_BYTES;
    buffer_clear(&client->data);
    if (read_piece(transfer, (size_t)limit, &client->data, &error) != 0) {
        finish(client, &error);
        return;
    }
    struct msg_blob_chunk chunk = {.hash = hash_slice(transfer),
        .offset = transfer->offset,
        .data = buffer_slice(&client->data)};
    bulk_spend(client->bulk, chunk.data.length);
    bulk_send(client->bulk, MESSAGE_blob_chunk, &chunk);
    transfer->offset += chunk.data.length;
    transfer->waits_since = client->now_ms;
    if (transfer->offset >= transfer->size)
        transfer->state = TRANSFER_SENT;
}

static void pump(struct blob_client *client)
{
    struct transfer *transfer = client->first;
    if (transfer != NULL && transfer->state == TRANSFER_NEW) {
        struct msg_blob_offer offer = {.hash = hash_slice(transfer), .bytes = transfer->size};
        bulk_send(client->bulk, MESSAGE_blob_offer, &offer);
        transfer->state = TRANSFER_ASKED;
        transfer->waits_since = client->now_ms;
    }
    while ((transfer = client->first) != NULL && transfer->state == TRANSFER_SENDING &&
           bulk_credit(client->bulk) > 0)
        send_piece(client, transfer);
}

static void take_want(struct blob_client *client, const struct msg_blob_want *want)
{
    struct transfer *transfer = client->first;
    if (!is_of(transfer, want->hash) || transfer->state == TRANSFER_NEW ||
        want->offset > transfer->size)
        return;
    transfer->offset = want->offset;
    transfer->state = want->offset < transfer->size ? TRANSFER_SENDING : TRANSFER_SENT;
    transfer->waits_since = client->now_ms;
}

/* A refused offer names no request: one is at work at a time, and it is meant. */
static void take_refused(struct blob_client *client, const struct msg_refused *refused)
{
    struct error error = {0};
    (void)error_set(&error, refused->code < 0 ? (int)refused->code : ERR_REFUSED, "%.*s",
        SLICE_PRINT(refused->text));
    /* No space there: it is late, not lost. It is offered again when the wait is over. */
    if (refused->request == 0 && client->first != NULL && client->first->state != TRANSFER_NEW &&
        error.code != ERR_NO_SPACE)
        finish(client, &error);
}

static void on_message(void *context, const struct message *message)
{
    struct blob_client *client = context;
    switch (message->number) {
    case MESSAGE_blob_want:
        take_want(client, message->body);
        break;
    case MESSAGE_blob_kept:
        if (is_of(client->first, ((const struct msg_blob_kept *)message->body)->hash))
            finish(client, NULL);
        break;
    case MESSAGE_refused:
        take_refused(client, message->body);
        break;
    default:
        break;
    }
}

static void on_renewed(void *context)
{
    struct blob_client *client = context;
    if (client->first == NULL)
        return;
    client->first->state = TRANSFER_NEW;
    client->first->waits_since = 0;
}

void blob_client_pump(struct blob_client *client, uint64_t now_ms)
{
    client->now_ms = now_ms;
    if (!bulk_is_open(client->bulk))
        return;
    pump(client);
}

bool blob_client_is_stuck(const struct blob_client *client, uint64_t now_ms)
{
    const struct transfer *transfer = client->first;
    return transfer != NULL && transfer->state != TRANSFER_NEW &&
           now_ms > transfer->waits_since + ANSWER_MAX_MS;
}

struct blob_client *blob_client_create(struct bulk *bulk)
{
    struct blob_client *client = xcalloc(1, sizeof *client);
    client->bulk = bulk;
    bulk_add_user(bulk, &(struct bulk_user){on_message, on_renewed, client});
    return client;
}

void blob_client_destroy(struct blob_client *client)
{
    if (client == NULL)
        return;
    for (struct transfer *transfer = client->first, *next; transfer != NULL; transfer = next) {
        next = transfer->next;
        transfer_free(transfer);
    }
    buffer_fini(&client->data);
    free(client);
}
