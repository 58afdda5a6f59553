/*
 * Blobs on the bulk port. An upload belongs to its content: whoever offers the same joins in, and
 * all are told when it is kept.
 */
#include "common/clock.h"
#include "common/memory.h"
#include "master/io/bulk_state.h"

#include <assert.h>
#include <stdlib.h>

enum {
    READ_MAX_BYTES = 1024 * 1024,
    /* Uploads that are open; at more the one that was idle longest is closed. Its pieces stay, and
       its sender goes on when it offers it again. */
    UPLOADS_MAX = 256,
    UPLOAD_PEERS_MAX = 16,
};

struct upload {
    struct hash hash;
    struct blob_upload *upload;
    uint64_t offset, bytes;
    transport_peer peers[UPLOAD_PEERS_MAX]; /* a ring: the newest stay */
    uint32_t peer_count;
    uint64_t used_ms;
    bool syncing;
    bool told; /* a sender was told where to go on, and chunks from before may still come */
};

static struct slice key_of(const struct hash *hash)
{
    return slice_make(hash->bytes, sizeof hash->bytes);
}

static bool read_hash(
    struct bulk *bulk, transport_peer peer, uint64_t request, struct slice bytes, struct hash *hash)
{
    struct error error = {0};
    if (bytes.length == sizeof hash->bytes) {
        memcpy(hash->bytes, bytes.ptr, sizeof hash->bytes);
        return true;
    }
    (void)error_set(&error, ERR_MALFORMED, "a hash has %zu bytes, this one %zu", sizeof hash->bytes,
        bytes.length);
    bulk_refuse(bulk, peer, request, &error);
    return false;
}

static struct upload *find(const struct bulk *bulk, const struct hash *hash)
{
    uint64_t address;
    return names_get(&bulk->uploads, key_of(hash), &address) ? (struct upload *)(uintptr_t)address
                                                             : NULL;
}

static void add_peer(struct upload *upload, transport_peer peer)
{
    uint32_t known = upload->peer_count < UPLOAD_PEERS_MAX ? upload->peer_count : UPLOAD_PEERS_MAX;
    for (uint32_t i = 0; i < known; i++) {
        if (upload->peers[i] == peer)
            return;
    }
    upload->peers[upload->peer_count++ % UPLOAD_PEERS_MAX] = peer;
}

static void tell_peers(
    struct bulk *bulk, const struct upload *upload, enum message_id number, const void *body)
{
    uint32_t known = upload->peer_count < UPLOAD_PEERS_MAX ? upload->peer_count : UPLOAD_PEERS_MAX;
    for (uint32_t i = 0; i < known; i++)
        bulk_send(bulk, upload->peers[i], number, body);
}

static void tell_kept(struct bulk *bulk, transport_peer peer, const struct hash *hash)
{
    bulk_send(bulk, peer, MESSAGE_blob_kept, &(struct msg_blob_kept){key_of(hash)});
}

static void tell_want(struct bulk *bulk, transport_peer peer, const struct upload *upload)
{
    bulk_send(bulk, peer, MESSAGE_blob_want,
        &(struct msg_blob_want){key_of(&upload->hash), upload->offset});
}

static void close_upload(struct bulk *bulk, struct upload *upload)
{
    (void)names_remove(&bulk->uploads, key_of(&upload->hash));
    blob_upload_close(upload->upload);
    free(upload);
}

static void find_idlest(void *context, struct slice key, uint64_t value)
{
    struct upload **idlest = context;
    struct upload *upload = (struct upload *)(uintptr_t)value;
    (void)key;
    if (!upload->syncing && (*idlest == NULL || upload->used_ms < (*idlest)->used_ms))
        *idlest = upload;
}

static struct upload *open_upload(
    struct bulk *bulk, const struct hash *hash, uint64_t bytes, struct error *error)
{
    struct upload *idlest = NULL;
    if (bulk->uploads.count >= UPLOADS_MAX)
        names_each(&bulk->uploads, find_idlest, &idlest);
    if (idlest != NULL)
        close_upload(bulk, idlest);
    struct upload *upload = xcalloc(1, sizeof *upload);
    upload->hash = *hash;
    upload->bytes = bytes;
    if (blob_upload_open(
            bulk->config.blobs, hash, bytes, &upload->upload, &upload->offset, error) != 0) {
        free(upload);
        return NULL;
    }
    names_set(&bulk->uploads, key_of(hash), (uintptr_t)upload);
    return upload;
}

static void go_on(struct bulk *bulk, transport_peer peer, struct upload *upload)
{
    upload->used_ms = clock_boot_ms();
    if (upload->offset < upload->bytes) {
        tell_want(bulk, peer, upload);
        return;
    }
    struct sync_job *job = xcalloc(1, sizeof *job);
    upload->syncing = true;
    job->upload = upload->upload;
    job->hash = upload->hash;
    bulk_sync_post(bulk->sync, job);
}

void bulk_blob_offer(struct bulk *bulk, transport_peer peer, const struct msg_blob_offer *body)
{
    struct hash hash;
    struct error error = {0};
    bulk_open_credit(bulk, peer);
    if (!read_hash(bulk, peer, 0, body->hash, &hash))
        return;
    struct upload *upload = find(bulk, &hash);
    if (upload == NULL && blob_has(bulk->config.blobs, &hash, NULL)) {
        tell_kept(bulk, peer, &hash);
        return;
    }
    if (upload == NULL)
        upload = open_upload(bulk, &hash, body->bytes, &error);
    if (upload == NULL) {
        (void)bulk_is_full(bulk, &error);
        bulk_refuse(bulk, peer, 0, &error);
        return;
    }
    add_peer(upload, peer);
    upload->told = false;
    if (!upload->syncing)
        go_on(bulk, peer, upload);
}

/* Its pieces stay; it is taken up again when it is offered again, or at once where others offered
 * it too. */
static void refuse_chunk(
    struct bulk *bulk, transport_peer peer, struct upload *upload, const struct error *error)
{
    if (error->code == ERR_REFUSED) {
        if (!upload->told)
            tell_want(bulk, peer, upload);
        upload->told = true;
        return;
    }
    if (bulk_is_full(bulk, error))
        tell_peers(bulk, upload, MESSAGE_refused,
            &(struct msg_refused){.code = error->code, .text = slice_of(error->text)});
    close_upload(bulk, upload);
}

void bulk_blob_chunk(struct bulk *bulk, transport_peer peer, const struct msg_blob_chunk *body)
{
    struct hash hash;
    struct error error = {0};
    bulk_open_credit(bulk, peer);
    bulk_return_credit(bulk, peer, body->data.length);
    if (!read_hash(bulk, peer, 0, body->hash, &hash))
        return;
    struct upload *upload = find(bulk, &hash);
    if (upload == NULL && blob_has(bulk->config.blobs, &hash, NULL))
        tell_kept(bulk, peer, &hash);
    if (upload == NULL || upload->syncing)
        return;
    if (blob_upload_write(upload->upload, body->offset, body->data, &error) != 0) {
        refuse_chunk(bulk, peer, upload, &error);
        return;
    }
    upload->used_ms = clock_boot_ms();
    upload->offset += body->data.length;
    upload->told = false;
    if (upload->offset >= upload->bytes)
        go_on(bulk, peer, upload);
}

void bulk_blob_synced(struct bulk *bulk, const struct sync_job *job)
{
    struct upload *upload = find(bulk, &job->hash);
    assert(upload != NULL && upload->syncing);
    struct msg_blob_kept kept = {key_of(&upload->hash)};
    struct msg_refused refused = {.code = job->code, .text = slice_of(job->error.text)};
    if (job->code == 0)
        tell_peers(bulk, upload, MESSAGE_blob_kept, &kept);
    else if (job->code == ERR_CORRUPT || bulk_is_full(bulk, &job->error))
        tell_peers(bulk, upload, MESSAGE_refused, &refused);
    close_upload(bulk, upload);
}

void bulk_blob_read(struct bulk *bulk, transport_peer peer, const struct msg_blob_read *body)
{
    struct hash hash;
    struct buffer data = {0};
    struct error error = {0};
    struct msg_blob_data answer = {
        .request = body->request, .hash = body->hash, .offset = body->offset};
    struct blob_range range = {
        .offset = body->offset,
        .limit = body->limit < READ_MAX_BYTES ? body->limit : READ_MAX_BYTES,
    };
    if (!read_hash(bulk, peer, body->request, body->hash, &hash))
        return;
    int rc = blob_read(bulk->config.blobs, &hash, &range, &data, &answer.bytes, &error);
    answer.data = buffer_slice(&data);
    if (rc == 0)
        bulk_send(bulk, peer, MESSAGE_blob_data, &answer);
    else
        bulk_refuse(bulk, peer, body->request, &error);
    buffer_fini(&data);
}

static void free_upload(void *context, struct slice key, uint64_t value)
{
    struct upload *upload = (struct upload *)(uintptr_t)value;
    (void)context;
    (void)key;
    blob_upload_close(upload->upload);
    free(upload);
}

void bulk_blobs_fini(struct bulk *bulk)
{
    names_each(&bulk->uploads, free_upload, NULL);
    names_fini(&bulk->uploads);
}
