#include "worker/io/blob_client.h"

#include "common/file.h"
#include "common/limits.h"
#include "common/memory.h"
#include "common/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    CHUNK_BYTES = 64 * 1024,
    READ_BYTES = 512 * 1024,
    ANSWER_MAX_MS = 30000,
};

enum transfer_state {
    TRANSFER_NEW,     /* nothing was said on this connection */
    TRANSFER_ASKED,   /* offered, or a piece was asked for */
    TRANSFER_SENDING, /* an upload that is wanted */
    TRANSFER_SENT,
    TRANSFER_CHECKING, /* a fetch that is whole, with the thread */
};

struct transfer {
    struct transfer *next;
    struct blob_client *client;
    enum transfer_state state;
    struct hash hash;
    char *path; /* owned, or NULL: the content is in `bytes` */
    char *bytes;
    uint64_t size, offset;
    uint64_t request; /* of the piece that was asked for */
    uint64_t waits_since;
    int fd;
    char *temporary; /* of a fetch: what is written until it is whole */
    struct error error;
    blob_done_fn done;
    void *context;
};

/* In order; only the first is at work. */
struct transfers {
    struct transfer *first, *last;
};

struct blob_client {
    struct bulk *bulk;
    struct jobs *jobs;
    struct transfers uploads, fetches;
    struct buffer data;
    uint64_t now_ms; /* of the round */
    uint64_t last_request;
};

static struct transfer *transfer_add(
    struct blob_client *client, struct transfers *list, blob_done_fn done, void *context)
{
    struct transfer *transfer = xcalloc(1, sizeof *transfer);
    transfer->client = client;
    transfer->fd = -1;
    transfer->done = done;
    transfer->context = context;
    *(list->last != NULL ? &list->last->next : &list->first) = transfer;
    list->last = transfer;
    return transfer;
}

static void transfer_free(struct transfer *transfer)
{
    if (transfer->fd >= 0)
        (void)close(transfer->fd);
    if (transfer->temporary != NULL)
        (void)unlink(transfer->temporary);
    free(transfer->temporary);
    free(transfer->path);
    free(transfer->bytes);
    free(transfer);
}

/* Takes the first one off the list, and tells who waits for it. */
static void finish(struct transfers *list, const struct error *error)
{
    struct transfer *transfer = list->first;
    list->first = transfer->next;
    if (list->first == NULL)
        list->last = NULL;
    transfer->done(transfer->context, error);
    transfer_free(transfer);
}

void blob_upload(
    struct blob_client *client, const struct blob_source *source, blob_done_fn done, void *context)
{
    struct transfer *transfer = transfer_add(client, &client->uploads, done, context);
    transfer->hash = source->hash;
    transfer->size = source->size;
    if (source->path != NULL)
        transfer->path = xstrdup(source->path);
    else
        transfer->bytes = xstrndup(source->bytes.ptr, source->bytes.length);
}

void blob_fetch(struct blob_client *client, const struct hash *hash, const char *path,
    blob_done_fn done, void *context)
{
    struct transfer *transfer = transfer_add(client, &client->fetches, done, context);
    transfer->hash = *hash;
    transfer->path = xstrdup(path);
}

static struct slice hash_slice(const struct transfer *transfer)
{
    return slice_make(transfer->hash.bytes, sizeof transfer->hash.bytes);
}

static bool is_of(const struct transfer *transfer, struct slice hash)
{
    return transfer != NULL && slice_equal(hash_slice(transfer), hash);
}

/* ---- uploads ---- */

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
        finish(&client->uploads, &error);
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

static void pump_uploads(struct blob_client *client)
{
    struct transfer *transfer = client->uploads.first;
    if (transfer != NULL && transfer->state == TRANSFER_NEW) {
        struct msg_blob_offer offer = {.hash = hash_slice(transfer), .bytes = transfer->size};
        bulk_send(client->bulk, MESSAGE_blob_offer, &offer);
        transfer->state = TRANSFER_ASKED;
        transfer->waits_since = client->now_ms;
    }
    while ((transfer = client->uploads.first) != NULL && transfer->state == TRANSFER_SENDING &&
           bulk_credit(client->bulk) > 0)
        send_piece(client, transfer);
}

static void take_want(struct blob_client *client, const struct msg_blob_want *want)
{
    struct transfer *transfer = client->uploads.first;
    if (!is_of(transfer, want->hash) || transfer->state == TRANSFER_NEW ||
        want->offset > transfer->size)
        return;
    transfer->offset = want->offset;
    transfer->state = want->offset < transfer->size ? TRANSFER_SENDING : TRANSFER_SENT;
    transfer->waits_since = client->now_ms;
}

/* ---- fetches ---- */

static int open_temporary(struct transfer *transfer, struct error *error)
{
    if (transfer->fd >= 0)
        return 0;
    transfer->temporary = xasprintf(
        "%s" FILE_TEMPORARY_PREFIX "%016llx", transfer->path, (unsigned long long)random_id());
    transfer->fd =
        open(transfer->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (transfer->fd >= 0)
        return 0;
    return error_set_errno(error, ERR_IO, errno, "%s", transfer->temporary);
}

static void ask_piece(struct blob_client *client, struct transfer *transfer)
{
    transfer->request = ++client->last_request;
    struct msg_blob_read read = {.request = transfer->request,
        .hash = hash_slice(transfer),
        .offset = transfer->offset,
        .limit = READ_BYTES};
    bulk_send(client->bulk, MESSAGE_blob_read, &read);
    transfer->state = TRANSFER_ASKED;
    transfer->waits_since = client->now_ms;
}

static void pump_fetches(struct blob_client *client)
{
    struct transfer *transfer = client->fetches.first;
    if (transfer != NULL && transfer->state == TRANSFER_NEW)
        ask_piece(client, transfer);
}

static int check_content(struct transfer *transfer)
{
    struct hash hash;
    struct slice bytes = {0};
    if (transfer->offset > 0) {
        int rc = file_map(transfer->temporary, &bytes, &transfer->error);
        if (rc != 0)
            return rc;
    }
    hash_of(bytes, &hash);
    if (bytes.ptr != NULL)
        file_unmap(bytes);
    if (memcmp(hash.bytes, transfer->hash.bytes, sizeof hash.bytes) != 0)
        return error_set(&transfer->error, ERR_CORRUPT,
            "a file came from the master with another content than it should have");
    if (rename(transfer->temporary, transfer->path) != 0)
        return error_set_errno(&transfer->error, ERR_IO, errno, "%s", transfer->path);
    free(transfer->temporary);
    transfer->temporary = NULL;
    return 0;
}

static void check(void *context)
{
    (void)check_content(context);
}

static void checked(void *context)
{
    struct transfer *transfer = context;
    struct error error = transfer->error;
    finish(&transfer->client->fetches, error.code != 0 ? &error : NULL);
}

static void take_data(struct blob_client *client, const struct msg_blob_data *data)
{
    struct error error = {0};
    struct transfer *transfer = client->fetches.first;
    if (transfer == NULL || transfer->state != TRANSFER_ASKED || transfer->request != data->request)
        return;
    int rc = open_temporary(transfer, &error);
    if (rc == 0)
        rc = file_write_all(transfer->fd, data->data.ptr, data->data.length, &error);
    transfer->offset += data->data.length;
    if (rc == 0 && data->data.length == 0 && transfer->offset < data->bytes)
        rc =
            error_set(&error, ERR_CORRUPT, "a file came from the master in pieces that do not fit");
    if (rc != 0) {
        finish(&client->fetches, &error);
    } else if (transfer->offset < data->bytes) {
        ask_piece(client, transfer);
    } else {
        transfer->state = TRANSFER_CHECKING;
        jobs_run(client->jobs, check, checked, transfer);
    }
}

/* ---- both ---- */

/* A refused offer names no request: one is at work at a time, and it is meant. */
static void take_refused(struct blob_client *client, const struct msg_refused *refused)
{
    struct error error = {0};
    struct transfer *upload = client->uploads.first, *fetch = client->fetches.first;
    (void)error_set(&error, refused->code < 0 ? (int)refused->code : ERR_REFUSED, "%.*s",
        SLICE_PRINT(refused->text));
    if (refused->request != 0 && fetch != NULL && fetch->state == TRANSFER_ASKED &&
        fetch->request == refused->request)
        finish(&client->fetches, &error);
    else if (refused->request == 0 && upload != NULL && upload->state != TRANSFER_NEW &&
             error.code != ERR_NO_SPACE)
        finish(&client->uploads, &error);
    /* No space there: it is late, not lost. It is offered again when the wait is over. */
}

static void on_message(void *context, const struct message *message)
{
    struct blob_client *client = context;
    switch (message->number) {
    case MESSAGE_blob_want:
        take_want(client, message->body);
        break;
    case MESSAGE_blob_kept:
        if (is_of(client->uploads.first, ((const struct msg_blob_kept *)message->body)->hash))
            finish(&client->uploads, NULL);
        break;
    case MESSAGE_blob_data:
        take_data(client, message->body);
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
    struct transfer *first[] = {client->uploads.first, client->fetches.first};
    for (size_t i = 0; i < 2; i++) {
        if (first[i] != NULL && first[i]->state != TRANSFER_CHECKING) {
            first[i]->state = TRANSFER_NEW;
            first[i]->waits_since = 0;
        }
    }
}

void blob_client_pump(struct blob_client *client, uint64_t now_ms)
{
    client->now_ms = now_ms;
    if (!bulk_is_open(client->bulk))
        return;
    pump_uploads(client);
    pump_fetches(client);
}

static bool is_stuck(const struct transfer *transfer, uint64_t now_ms)
{
    return transfer != NULL && transfer->state != TRANSFER_NEW &&
           transfer->state != TRANSFER_CHECKING && now_ms > transfer->waits_since + ANSWER_MAX_MS;
}

bool blob_client_is_stuck(const struct blob_client *client, uint64_t now_ms)
{
    return is_stuck(client->uploads.first, now_ms) || is_stuck(client->fetches.first, now_ms);
}

struct blob_client *blob_client_create(struct bulk *bulk, struct jobs *jobs)
{
    struct blob_client *client = xcalloc(1, sizeof *client);
    client->bulk = bulk;
    client->jobs = jobs;
    bulk_add_user(bulk, &(struct bulk_user){on_message, on_renewed, client});
    return client;
}

void blob_client_destroy(struct blob_client *client)
{
    if (client == NULL)
        return;
    struct transfer *lists[] = {client->uploads.first, client->fetches.first};
    for (size_t i = 0; i < 2; i++) {
        for (struct transfer *transfer = lists[i], *next; transfer != NULL; transfer = next) {
            next = transfer->next;
            transfer_free(transfer);
        }
    }
    buffer_fini(&client->data);
    free(client);
}
