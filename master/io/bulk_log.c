/*
 * Logs on the bulk port. What the blob store has is the only memory of how far a log came; here is
 * only what is pending: a sync, clients that wait for more, a sender that waits for space.
 */
#include "common/clock.h"
#include "common/limits.h"
#include "common/memory.h"
#include "common/stop_point.h"
#include "master/io/bulk_state.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

enum {
    READ_MAX_BYTES = 1024 * 1024,
    READ_WAIT_MS = 10000,
    /* Clients that wait at a time; more are answered at once, and ask again. */
    READERS_MAX = 10000,
    MARKS_SHOWN_MAX = 65536,
};

/* The bytes that stand for an attempt in a table. */
struct log_key {
    uint64_t run;
    uint32_t task, map, attempt, zero;
};

struct reader {
    struct wheel_timer timer;
    struct reader *next;
    struct log_state *log;
    transport_peer peer;
    uint64_t request, offset;
    uint32_t limit;
};

struct log_state {
    struct wheel_timer stall; /* armed: its sender waits for disk space */
    struct attempt_id id;
    struct reader *readers;
    transport_peer sender;
    uint64_t stalled_bytes;     /* of the sender's credit */
    struct mask_stream secrets; /* its last bytes, which may begin a secret: not in the store yet */
    bool syncing;               /* it is with a thread of bulk_sync */
    bool told; /* the sender was told where to go on, and chunks that it sent before may still come
                */
};

static struct log_key key_of(const struct attempt_id *id)
{
    return (struct log_key){id->run, id->task, id->map, id->attempt, 0};
}

static struct log_state *find(const struct bulk *bulk, const struct attempt_id *id)
{
    struct log_key key = key_of(id);
    uint64_t address;
    return names_get(&bulk->logs, slice_make(&key, sizeof key), &address)
               ? (struct log_state *)(uintptr_t)address
               : NULL;
}

static struct log_state *get(struct bulk *bulk, const struct attempt_id *id)
{
    struct log_state *log = find(bulk, id);
    if (log != NULL)
        return log;
    struct log_key key = key_of(id);
    log = xcalloc(1, sizeof *log);
    log->id = *id;
    names_set(&bulk->logs, slice_make(&key, sizeof key), (uintptr_t)log);
    return log;
}

/* Forgets it when nothing is pending. */
static void put(struct bulk *bulk, struct log_state *log)
{
    if (log->syncing || log->told || log->readers != NULL || log->secrets.held.length > 0 ||
        wheel_is_armed(&log->stall))
        return;
    struct log_key key = key_of(&log->id);
    (void)names_remove(&bulk->logs, slice_make(&key, sizeof key));
    mask_stream_fini(&log->secrets);
    free(log);
}

/* The sender goes on from what the store has: what was held back comes again. */
static void tell_have(struct bulk *bulk, transport_peer peer, const struct attempt_id *id)
{
    struct msg_log_have have = {.id = *id};
    struct error error = {0};
    struct log_state *log = find(bulk, id);
    if (log != NULL)
        mask_stream_fini(&log->secrets);
    if (log_length(bulk->config.blobs, id, &have.offset, &have.kept, &error) == 0)
        bulk_send(bulk, peer, MESSAGE_log_have, &have);
    else
        (void)bulk_is_full(bulk, &error);
}

void bulk_log_open(struct bulk *bulk, transport_peer peer, const struct msg_log_open *body)
{
    struct log_state *log = find(bulk, &body->id);
    bulk_open_credit(bulk, peer);
    if (log != NULL) {
        log->sender = peer;
        log->told = false;
        mask_stream_fini(&log->secrets);
        if (log->syncing)
            return; /* answered when it is done */
        put(bulk, log);
    }
    tell_have(bulk, peer, &body->id);
}

/* ---- clients ---- */

static void drop_reader(struct bulk *bulk, struct reader *reader)
{
    struct reader **link = &reader->log->readers;
    while (*link != reader)
        link = &(*link)->next;
    *link = reader->next;
    bulk->reader_count--;
    wheel_disarm(&bulk->readers, &reader->timer);
    free(reader);
}

/* A key may be removed while its client waits for more of a log. */
static int check_reader(struct bulk *bulk, const struct reader *reader, struct error *error)
{
    if (bulk_may(bulk, reader->peer, MESSAGE_log_read))
        return 0;
    return error_set(
        error, ERR_DENIED, "log_read: this key does not belong to the cluster any more");
}

/* False when there is nothing to tell yet and the client would rather wait. */
static bool answer_read(
    struct bulk *bulk, const struct attempt_id *id, const struct reader *reader, bool wait)
{
    struct arena arena = {0};
    struct buffer data = {0};
    struct log_piece piece = {0};
    struct error error = {0};
    bool answered = true;
    struct log_range range = {*id, reader->offset, reader->limit};
    int rc = check_reader(bulk, reader, &error);
    if (rc == 0)
        rc = log_read(bulk->config.blobs, &range, &arena, &data, &piece, &error);
    if (rc != 0) {
        bulk_refuse(bulk, reader->peer, reader->request, &error);
    } else if (wait && !piece.complete && piece.next <= reader->offset) {
        answered = false;
    } else {
        struct msg_log_data body = {
            .request = reader->request,
            .offset = piece.offset,
            .data = buffer_slice(&data),
            .next = piece.next,
            .end = piece.complete,
            .known = piece.known,
            .skipped = piece.skipped,
            .expired = piece.expired,
            .damaged = piece.damaged,
        };
        body.marks.items = piece.marks;
        body.marks.count = piece.mark_count < MARKS_SHOWN_MAX ? piece.mark_count : MARKS_SHOWN_MAX;
        bulk_send(bulk, reader->peer, MESSAGE_log_data, &body);
    }
    buffer_fini(&data);
    arena_fini(&arena);
    return answered;
}

static void wake_readers(struct bulk *bulk, struct log_state *log)
{
    for (struct reader *reader = log->readers, *next; reader != NULL; reader = next) {
        next = reader->next;
        if (answer_read(bulk, &log->id, reader, true))
            drop_reader(bulk, reader);
    }
}

static void park(struct bulk *bulk, const struct attempt_id *id, const struct reader *wish)
{
    struct log_state *log = get(bulk, id);
    struct reader *reader = xmalloc(sizeof *reader);
    *reader = *wish;
    reader->log = log;
    reader->next = log->readers;
    log->readers = reader;
    bulk->reader_count++;
    wheel_arm(&bulk->readers, &reader->timer, clock_boot_ms() + READ_WAIT_MS);
}

void bulk_log_read(struct bulk *bulk, transport_peer peer, const struct msg_log_read *body)
{
    struct reader wish = {
        .peer = peer,
        .request = body->request,
        .offset = body->offset,
        .limit = body->limit < READ_MAX_BYTES ? body->limit : READ_MAX_BYTES,
    };
    struct error error = {0};
    if (wish.limit == 0)
        wish.limit = LOG_CHUNK_BYTES;
    int rc = 0;
    if (body->tail_lines > 0)
        rc = log_tail_offset(bulk->config.blobs, &body->id, body->tail_lines, &wish.offset, &error);
    if (rc != 0) {
        bulk_refuse(bulk, peer, body->request, &error);
        return;
    }
    bool may_wait = body->wait && bulk->reader_count < READERS_MAX;
    if (!answer_read(bulk, &body->id, &wish, may_wait))
        park(bulk, &body->id, &wish);
}

/* ---- workers ---- */

/* The store's marks are in the master's time; the worker's boot clock is met at `now`. */
static struct log_mark *wall_marks(struct bulk *bulk, const struct msg_log_chunk *body)
{
    int64_t now_wall = clock_wall_ms();
    struct log_mark *marks =
        arena_alloc(&bulk->arena, body->marks.count * sizeof(struct log_mark) + 1);
    for (uint32_t i = 0; i < body->marks.count; i++) {
        uint64_t at = (uint64_t)body->marks.items[i].at;
        uint64_t ago = at < body->now ? body->now - at : 0;
        marks[i].offset = body->marks.items[i].offset;
        marks[i].at = ago < (uint64_t)now_wall ? now_wall - (int64_t)ago : 0;
    }
    return marks;
}

/* The sender is heard again when there may be space. */
static void stall(struct bulk *bulk, transport_peer peer, const struct attempt_id *id, size_t bytes)
{
    struct log_state *log = get(bulk, id);
    log->sender = peer;
    log->stalled_bytes += bytes;
    if (!wheel_is_armed(&log->stall))
        wheel_arm(&bulk->stalls, &log->stall, clock_boot_ms() + BULK_STALL_MS);
}

/* One answer is enough: what is under way behind a wrong chunk is wrong too. */
static void tell_once(struct bulk *bulk, transport_peer peer, const struct attempt_id *id)
{
    struct log_state *log = get(bulk, id);
    bool known = log->told && log->sender == peer;
    log->told = true;
    log->sender = peer;
    if (!known)
        tell_have(bulk, peer, id);
}

/* At the end of all, or of what comes in a row: half a secret is none. `end`: in the stream. */
static int append_held(struct bulk *bulk, struct log_state *log, uint64_t end, struct error *error)
{
    struct buffer out = {0};
    size_t length = log->secrets.held.length;
    if (length == 0)
        return 0;
    const struct mask *mask = masks_of(bulk->config.masks, &log->id);
    if (mask != NULL)
        mask_feed(mask, &log->secrets, (struct slice){0}, true, &out);
    else
        buffer_append_slice(&out, buffer_slice(&log->secrets.held));
    mask_stream_fini(&log->secrets);
    struct log_chunk chunk = {.offset = end - length, .data = buffer_slice(&out)};
    int rc = log_append(bulk->config.blobs, &log->id, &chunk, error);
    buffer_fini(&out);
    return rc;
}

static int append_masked(struct bulk *bulk, struct log_state *log, const struct mask *mask,
    const struct log_chunk *whole, struct error *error)
{
    struct log_chunk chunk = *whole;
    struct buffer out = {0};
    uint64_t length;
    bool complete;
    int rc = log_length(bulk->config.blobs, &log->id, &length, &complete, error);
    if (rc != 0)
        return rc;
    if (complete || length + log->secrets.held.length != chunk.offset)
        return error_set(error, ERR_REFUSED, "the log goes on elsewhere");
    chunk.offset = length;
    mask_feed(mask, &log->secrets, chunk.data, false, &out);
    chunk.data = buffer_slice(&out);
    if (out.length > 0 || chunk.skipped > 0)
        rc = log_append(bulk->config.blobs, &log->id, &chunk, error);
    /* The sender says it again, from what the store has. */
    if (rc != 0)
        mask_stream_fini(&log->secrets);
    buffer_fini(&out);
    return rc;
}

/* What a limit cut begins anew: no secret goes on behind it. */
static int append_log(struct bulk *bulk, const struct attempt_id *id, const struct log_chunk *chunk,
    struct error *error)
{
    const struct mask *mask = bulk->config.masks != NULL ? masks_of(bulk->config.masks, id) : NULL;
    struct log_state *log = mask != NULL ? get(bulk, id) : find(bulk, id);
    int rc = 0;
    if (log != NULL && (mask == NULL || chunk->skipped > 0))
        rc = append_held(bulk, log, chunk->offset, error);
    if (rc != 0)
        return rc;
    return mask != NULL ? append_masked(bulk, log, mask, chunk, error)
                        : log_append(bulk->config.blobs, id, chunk, error);
}

static void append_chunk(struct bulk *bulk, transport_peer peer, const struct msg_log_chunk *body)
{
    struct error error = {0};
    struct log_chunk chunk = {
        .offset = body->offset,
        .skipped = body->skipped,
        .data = body->data,
        .marks = wall_marks(bulk, body),
        .mark_count = body->marks.count,
    };
    int rc = append_log(bulk, &body->id, &chunk, &error);
    stop_here(STOP_LOG_APPENDED);
    if (rc != 0 && rc != ERR_REFUSED) {
        if (bulk_is_full(bulk, &error))
            stall(bulk, peer, &body->id, body->data.length);
        return;
    }
    bulk_return_credit(bulk, peer, body->data.length);
    if (rc == ERR_REFUSED) {
        tell_once(bulk, peer, &body->id);
        return;
    }
    struct log_state *log = find(bulk, &body->id);
    if (log == NULL)
        return;
    log->told = false;
    wake_readers(bulk, log);
    put(bulk, log);
}

void bulk_log_owned(struct bulk *bulk, transport_peer peer, const struct attempt_id *id)
{
    struct log_state *log = find(bulk, id);
    bulk_open_credit(bulk, peer);
    if (log == NULL || !(log->syncing || wheel_is_armed(&log->stall)))
        tell_once(bulk, peer, id);
    else
        log->sender = peer;
}

void bulk_log_chunk(struct bulk *bulk, transport_peer peer, const struct msg_log_chunk *body)
{
    struct log_state *log = find(bulk, &body->id);
    bulk_open_credit(bulk, peer);
    if (log != NULL && wheel_is_armed(&log->stall) && log->sender == peer)
        log->stalled_bytes += body->data.length;
    else if (log != NULL && (log->syncing || wheel_is_armed(&log->stall)))
        bulk_return_credit(bulk, peer, body->data.length);
    else
        append_chunk(bulk, peer, body);
}

void bulk_log_end(struct bulk *bulk, transport_peer peer, const struct msg_log_end *body)
{
    struct log_state *log = find(bulk, &body->id);
    uint64_t length;
    bool complete;
    struct error error = {0};
    bulk_open_credit(bulk, peer);
    if (log != NULL && (log->syncing || wheel_is_armed(&log->stall))) {
        log->sender = log->syncing ? peer : log->sender;
        return;
    }
    int rc = log != NULL ? append_held(bulk, log, body->bytes, &error) : 0;
    if (rc == 0 || rc == ERR_REFUSED)
        rc = log_length(bulk->config.blobs, &body->id, &length, &complete, &error);
    if (rc != 0) {
        (void)bulk_is_full(bulk, &error);
        return;
    }
    if (complete || length < body->bytes) {
        if (complete)
            tell_have(bulk, peer, &body->id);
        else
            tell_once(bulk, peer, &body->id);
        return;
    }
    log = get(bulk, &body->id);
    log->sender = peer;
    log->syncing = true;
    log->told = false;
    struct sync_job *job = xcalloc(1, sizeof *job);
    job->log = body->id;
    job->length = body->bytes;
    bulk_sync_post(bulk->sync, job);
}

void bulk_log_synced(struct bulk *bulk, const struct sync_job *job)
{
    struct log_state *log = find(bulk, &job->log);
    assert(log != NULL && log->syncing);
    stop_here(STOP_LOG_SYNCED);
    log->syncing = false;
    if (job->code != 0 && job->code != ERR_REFUSED && bulk_is_full(bulk, &job->error))
        stall(bulk, log->sender, &log->id, 0);
    else if (job->code == 0 || job->code == ERR_REFUSED)
        tell_have(bulk, log->sender, &log->id);
    wake_readers(bulk, log);
    put(bulk, log);
}

static struct reader *reader_of(struct wheel_timer *timer)
{
    return (struct reader *)(void *)((char *)timer - offsetof(struct reader, timer));
}

static struct log_state *stalled_of(struct wheel_timer *timer)
{
    return (struct log_state *)(void *)((char *)timer - offsetof(struct log_state, stall));
}

void bulk_log_tick(struct bulk *bulk, uint64_t now_ms)
{
    struct wheel_timer *timer;
    while ((timer = wheel_pop(&bulk->readers, now_ms)) != NULL) {
        struct reader *reader = reader_of(timer);
        struct log_state *log = reader->log;
        (void)answer_read(bulk, &log->id, reader, false);
        drop_reader(bulk, reader);
        put(bulk, log);
    }
    while ((timer = wheel_pop(&bulk->stalls, now_ms)) != NULL) {
        struct log_state *log = stalled_of(timer);
        bulk_return_credit(bulk, log->sender, log->stalled_bytes);
        log->stalled_bytes = 0;
        tell_have(bulk, log->sender, &log->id);
        put(bulk, log);
    }
}

static void free_log(void *context, struct slice key, uint64_t value)
{
    struct log_state *log = (struct log_state *)(uintptr_t)value;
    (void)context;
    (void)key;
    for (struct reader *reader = log->readers, *next; reader != NULL; reader = next) {
        next = reader->next;
        free(reader);
    }
    mask_stream_fini(&log->secrets);
    free(log);
}

void bulk_logs_fini(struct bulk *bulk)
{
    names_each(&bulk->logs, free_log, NULL);
    names_fini(&bulk->logs);
}
