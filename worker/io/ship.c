#include "worker/io/ship.h"

#include "common/limits.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/stop_point.h"
#include "common/table.h"
#include "worker/runner/core.h"

#include <stdlib.h>

enum {
    /* Marks of one chunk; what is more goes with a shorter chunk. */
    CHUNK_MARKS_MAX = 4096,
    /* Bytes in flight may have to be sent again, with their times. */
    MARKS_BEHIND_BYTES = 4 * 1024 * 1024,
    /* An answer, or credit, comes before that, or the connection is not what it seems. */
    ANSWER_MAX_MS = 30000,
};

enum stream_state {
    STREAM_NEW,   /* the master knows nothing of it: it may begin at its first byte */
    STREAM_BEGUN, /* from where to go on must be asked */
    STREAM_ASKED,
    STREAM_OPEN,   /* bytes go from `sent` on */
    STREAM_ENDING, /* log_end was said */
};

struct stream {
    struct attempt_id id;
    struct spool spool;
    enum stream_state state;
    bool ended;
    bool unsaved; /* its end is not told yet */
    bool queued;  /* it is in the list of those that have something to send */
    uint64_t sent;
    uint64_t counted;               /* of its bytes, in ship->bytes */
    uint64_t waits_since;           /* boot time: for an answer, or for credit; 0: it does not */
    struct stream *next, *previous; /* all */
    struct stream *next_queued;
};

struct ship {
    struct bulk *bulk;
    struct names streams;
    uint64_t bytes; /* of all spools */
    struct stream *first;
    struct stream *queue_first, *queue_last;
    struct buffer data;
    uint64_t now_ms; /* of the round */
};

/* ---- the list of those that have something to send ---- */

static void enqueue(struct ship *ship, struct stream *stream)
{
    if (stream->queued)
        return;
    stream->queued = true;
    stream->next_queued = NULL;
    *(ship->queue_last != NULL ? &ship->queue_last->next_queued : &ship->queue_first) = stream;
    ship->queue_last = stream;
}

static struct stream *dequeue(struct ship *ship)
{
    struct stream *stream = ship->queue_first;
    ship->queue_first = stream->next_queued;
    if (ship->queue_first == NULL)
        ship->queue_last = NULL;
    stream->queued = false;
    return stream;
}

static void unqueue(struct ship *ship, struct stream *stream)
{
    struct stream **link = &ship->queue_first, *before = NULL;
    if (!stream->queued)
        return;
    while (*link != stream) {
        before = *link;
        link = &before->next_queued;
    }
    *link = stream->next_queued;
    if (ship->queue_last == stream)
        ship->queue_last = before;
    stream->queued = false;
}

/* ---- streams ---- */

static struct stream *find(const struct ship *ship, const struct attempt_id *id)
{
    uint64_t value;
    return names_get(&ship->streams, attempt_key(id), &value) ? (struct stream *)(uintptr_t)value
                                                              : NULL;
}

static void count(struct ship *ship, struct stream *stream, uint64_t bytes)
{
    ship->bytes = ship->bytes - stream->counted + bytes;
    stream->counted = bytes;
}

static void forget(struct ship *ship, struct stream *stream)
{
    unqueue(ship, stream);
    count(ship, stream, 0);
    *(stream->previous != NULL ? &stream->previous->next : &ship->first) = stream->next;
    if (stream->next != NULL)
        stream->next->previous = stream->previous;
    (void)names_remove(&ship->streams, attempt_key(&stream->id));
    spool_close(&stream->spool);
    free(stream);
}

struct stream *ship_add(
    struct ship *ship, const struct attempt_id *id, const struct spool *spool, bool begun)
{
    struct stream *stream = xcalloc(1, sizeof *stream);
    stream->id = *id;
    stream->spool = *spool;
    stream->state = begun ? STREAM_BEGUN : STREAM_NEW;
    stream->next = ship->first;
    if (ship->first != NULL)
        ship->first->previous = stream;
    ship->first = stream;
    names_set(&ship->streams, attempt_key(id), (uintptr_t)stream);
    count(ship, stream, spool_bytes(&stream->spool));
    return stream;
}

struct spool *stream_spool(struct stream *stream)
{
    return &stream->spool;
}

void ship_grown(struct ship *ship, struct stream *stream)
{
    count(ship, stream, spool_bytes(&stream->spool));
    if (bulk_is_open(ship->bulk) && stream->spool.length > 0)
        enqueue(ship, stream);
}

uint64_t ship_end(struct ship *ship, struct stream *stream)
{
    uint64_t length = stream->spool.length;
    stream->ended = true;
    if (length == 0)
        ship_drop(ship, stream);
    else if (bulk_is_open(ship->bulk))
        enqueue(ship, stream);
    else
        spool_rest(&stream->spool);
    return length;
}

uint64_t ship_end_unsaved(struct ship *ship, struct stream *stream)
{
    stream->unsaved = true;
    return ship_end(ship, stream);
}

void ship_saved(struct ship *ship, const struct attempt_id *id)
{
    struct stream *stream = find(ship, id);
    if (stream == NULL || !stream->unsaved)
        return;
    stream->unsaved = false;
    if (bulk_is_open(ship->bulk))
        enqueue(ship, stream);
}

void ship_drop(struct ship *ship, struct stream *stream)
{
    spool_remove(&stream->spool);
    forget(ship, stream);
}

/* ---- sending ---- */

static void ask(struct ship *ship, struct stream *stream)
{
    struct msg_log_open open = {.id = stream->id};
    bulk_send(ship->bulk, MESSAGE_log_open, &open);
    stream->state = STREAM_ASKED;
    stream->waits_since = ship->now_ms;
}

/* The spool cannot be read: what is missing of it will never come, and the log ends here. */
static void give_up(struct ship *ship, struct stream *stream, const struct error *error)
{
    log_error("the rest of a log is lost: %s", error->text);
    if (stream->ended)
        ship_drop(ship, stream);
}

/* False when the stream is gone, or nothing could be sent. */
static bool send_chunk(struct ship *ship, struct stream *stream, uint64_t readable)
{
    struct error error = {0};
    uint64_t limit = readable - stream->sent;
    struct msg_log_chunk chunk = {.id = stream->id, .offset = stream->sent, .now = ship->now_ms};
    if (limit > bulk_credit(ship->bulk))
        limit = bulk_credit(ship->bulk);
    if (limit > LOG_CHUNK_BYTES)
        limit = LOG_CHUNK_BYTES;
    buffer_clear(&ship->data);
    int rc = spool_read(
        &stream->spool, stream->sent, (size_t)limit, &ship->data, &chunk.skipped, &error);
    if (rc == 0 && ship->data.length == 0)
        rc = error_set(&error, ERR_CORRUPT, "%s: shorter than it was", stream->spool.path);
    if (rc != 0) {
        give_up(ship, stream, &error);
        return false;
    }
    uint64_t begin = stream->sent + chunk.skipped;
    const struct log_mark *marks =
        spool_marks(&stream->spool, begin, begin + ship->data.length, &chunk.marks.count);
    if (chunk.marks.count > CHUNK_MARKS_MAX) {
        chunk.marks.count = CHUNK_MARKS_MAX;
        ship->data.length = (size_t)(marks[CHUNK_MARKS_MAX].offset - begin);
    }
    chunk.marks.items = (struct log_mark *)(uintptr_t)marks;
    chunk.data = buffer_slice(&ship->data);
    bulk_spend(ship->bulk, chunk.data.length);
    bulk_send(ship->bulk, MESSAGE_log_chunk, &chunk);
    stop_here(STOP_CHUNK_SENT);
    stream->sent = begin + chunk.data.length;
    stream->waits_since = 0;
    if (stream->sent > MARKS_BEHIND_BYTES)
        spool_forget_marks(&stream->spool, stream->sent - MARKS_BEHIND_BYTES);
    return true;
}

static void send_end(struct ship *ship, struct stream *stream)
{
    /* The master may have more than this disk, after a power cut here. */
    uint64_t bytes = stream->sent > stream->spool.length ? stream->sent : stream->spool.length;
    struct msg_log_end end = {.id = stream->id, .bytes = bytes};
    bulk_send(ship->bulk, MESSAGE_log_end, &end);
    stream->state = STREAM_ENDING;
    stream->waits_since = ship->now_ms;
    spool_rest(&stream->spool);
}

/* One turn of one stream. False: there is no credit, its turn comes when there is. */
static bool turn(struct ship *ship, struct stream *stream)
{
    /* The first word on a connection brings credit: it is a question that costs none. */
    bool may_begin = stream->state == STREAM_NEW && bulk_has_credit_line(ship->bulk);
    if (may_begin)
        stream->state = STREAM_OPEN;
    if (stream->state == STREAM_NEW || stream->state == STREAM_BEGUN)
        ask(ship, stream);
    if (stream->state != STREAM_OPEN)
        return true;
    uint64_t readable = spool_readable(&stream->spool, stream->ended);
    if (stream->sent < readable) {
        if (bulk_credit(ship->bulk) == 0)
            return false;
        if (send_chunk(ship, stream, readable) && (stream->sent < readable || stream->ended))
            enqueue(ship, stream);
    } else if (stream->ended && !stream->unsaved) {
        send_end(ship, stream);
    }
    return true;
}

void ship_pump(struct ship *ship, uint64_t now_ms)
{
    ship->now_ms = now_ms;
    if (!bulk_is_open(ship->bulk))
        return;
    while (ship->queue_first != NULL) {
        struct stream *stream = dequeue(ship);
        if (turn(ship, stream))
            continue;
        enqueue(ship, stream);
        if (stream->waits_since == 0)
            stream->waits_since = now_ms;
        return;
    }
}

size_t ship_count(const struct ship *ship)
{
    return ship->streams.count;
}

uint64_t ship_bytes(const struct ship *ship)
{
    return ship->bytes;
}

bool ship_is_stuck(const struct ship *ship, uint64_t now_ms)
{
    for (const struct stream *stream = ship->first; stream != NULL; stream = stream->next) {
        if (stream->waits_since != 0 && now_ms > stream->waits_since + ANSWER_MAX_MS)
            return true;
    }
    return false;
}

/* ---- the master's words ---- */

static void take_have(struct ship *ship, const struct msg_log_have *have)
{
    struct stream *stream = find(ship, &have->id);
    if (stream == NULL || stream->state == STREAM_NEW || stream->state == STREAM_BEGUN)
        return;
    if (have->kept && stream->ended) {
        stop_here(STOP_LOG_KEPT);
        ship_drop(ship, stream);
        return;
    }
    /* Of a task that lives: after a power cut none does. */
    if (have->offset > stream->spool.length && !stream->ended)
        log_error(
            "%s: it was cut off: the master has %llu bytes of it, here are %llu; what the task "
            "writes is lost up to there",
            stream->spool.path, (unsigned long long)have->offset,
            (unsigned long long)stream->spool.length);
    stream->sent = have->offset;
    stream->waits_since = 0;
    stream->state = STREAM_OPEN;
    enqueue(ship, stream);
}

static void on_message(void *context, const struct message *message)
{
    struct ship *ship = context;
    if (message->number == MESSAGE_log_have)
        take_have(ship, message->body);
}

static void on_renewed(void *context)
{
    struct ship *ship = context;
    for (struct stream *stream = ship->first; stream != NULL; stream = stream->next) {
        if (stream->state != STREAM_NEW)
            stream->state = STREAM_BEGUN;
        stream->waits_since = 0;
        if (stream->spool.length > 0)
            enqueue(ship, stream);
    }
}

struct ship *ship_create(struct bulk *bulk)
{
    struct ship *ship = xcalloc(1, sizeof *ship);
    ship->bulk = bulk;
    bulk_add_user(bulk, &(struct bulk_user){on_message, on_renewed, ship});
    return ship;
}

void ship_destroy(struct ship *ship)
{
    if (ship == NULL)
        return;
    while (ship->first != NULL)
        forget(ship, ship->first);
    names_fini(&ship->streams);
    buffer_fini(&ship->data);
    free(ship);
}
