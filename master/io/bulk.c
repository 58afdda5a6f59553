#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/memory.h"
#include "master/io/bulk_state.h"
#include "master/io/trace.h"

#include <stdlib.h>

enum {
    /* What a peer may have sent that is not on disk yet; given back in quarters. */
    CREDIT_BYTES = 4 * 1024 * 1024,
    CREDIT_RETURN_BYTES = CREDIT_BYTES / 4,
    /* Peers whose credit is remembered; at more all begin anew, and have at most a quarter less. */
    CREDIT_PEERS_MAX = 100000,
    TELL_FULL_EVERY_MS = 10000,
};

void bulk_send(struct bulk *bulk, transport_peer peer, enum message_id number, const void *body)
{
    struct buffer frame = {0};
    struct frame_header header = {.epoch = bulk->config.epoch, .leader = bulk->config.leader};
    frame_begin(&frame, &header);
    message_encode(&frame, number, body);
    if (bulk->config.trace)
        trace_frame("bulk", peer, ">", buffer_slice(&frame));
    if (frame.length <= FRAME_MAX_BYTES)
        transport_send(bulk->transport, peer, buffer_slice(&frame));
    else
        log_error("bulk: an answer of %zu bytes is not sent", frame.length);
    buffer_fini(&frame);
}

void bulk_refuse(
    struct bulk *bulk, transport_peer peer, uint64_t request, const struct error *error)
{
    struct msg_refused refused = {
        .request = request, .code = error->code, .text = slice_of(error->text)};
    bulk_send(bulk, peer, MESSAGE_refused, &refused);
}

void bulk_open_credit(struct bulk *bulk, transport_peer peer)
{
    if (table_get(&bulk->credit, peer, NULL))
        return;
    if (bulk->credit.count >= CREDIT_PEERS_MAX) {
        table_fini(&bulk->credit);
        bulk->credit = (struct table){0};
    }
    table_set(&bulk->credit, peer, 0);
    bulk_send(bulk, peer, MESSAGE_credit, &(struct msg_credit){CREDIT_BYTES});
}

void bulk_return_credit(struct bulk *bulk, transport_peer peer, size_t bytes)
{
    uint64_t taken;
    if (!table_get(&bulk->credit, peer, &taken))
        taken = 0;
    taken += bytes;
    if (taken >= CREDIT_RETURN_BYTES) {
        bulk_send(bulk, peer, MESSAGE_credit, &(struct msg_credit){taken});
        taken = 0;
    }
    table_set(&bulk->credit, peer, taken);
}

bool bulk_is_full(struct bulk *bulk, const struct error *error)
{
    uint64_t now_ms = clock_boot_ms();
    if (error->code != ERR_NO_SPACE) {
        if (!bulk->failed)
            bulk->config.failed(bulk->config.context, error);
        bulk->failed = true;
        return false;
    }
    if (bulk->told_full_ms == 0 || now_ms > bulk->told_full_ms + TELL_FULL_EVERY_MS) {
        log_error("logs and files of tasks wait for space: %s", error->text);
        bulk->told_full_ms = now_ms;
    }
    return true;
}

static void take_message(struct bulk *bulk, transport_peer peer, const struct message *message)
{
    switch (message->number) {
    case MESSAGE_log_open:
        bulk_log_open(bulk, peer, message->body);
        break;
    case MESSAGE_log_chunk:
        bulk_log_chunk(bulk, peer, message->body);
        break;
    case MESSAGE_log_end:
        bulk_log_end(bulk, peer, message->body);
        break;
    case MESSAGE_log_read:
        bulk_log_read(bulk, peer, message->body);
        break;
    case MESSAGE_blob_offer:
        bulk_blob_offer(bulk, peer, message->body);
        break;
    case MESSAGE_blob_chunk:
        bulk_blob_chunk(bulk, peer, message->body);
        break;
    case MESSAGE_blob_read:
        bulk_blob_read(bulk, peer, message->body);
        break;
    default: {
        struct error error = {0};
        (void)error_set(
            &error, ERR_UNSUPPORTED, "the bulk port does not know the message %u", message->number);
        bulk_refuse(bulk, peer, 0, &error);
    }
    }
}

static void on_frame(void *context, transport_peer peer, struct slice bytes)
{
    struct bulk *bulk = context;
    struct frame_reader reader;
    struct message message;
    struct error error = {0};
    if (bulk->config.trace)
        trace_frame("bulk", peer, "<", bytes);
    if (bulk->failed)
        return;
    arena_reset(&bulk->arena);
    int rc = frame_open(bytes, &bulk->arena, &reader, &error);
    while (rc == 0 && (rc = frame_next(&reader, &message, &error)) == 1) {
        take_message(bulk, peer, &message);
        rc = 0;
    }
    if (rc < 0)
        bulk_refuse(bulk, peer, 0, &error);
}

static void take_synced(struct bulk *bulk)
{
    for (struct sync_job *job; (job = bulk_sync_take(bulk->sync)) != NULL; free(job)) {
        if (job->upload != NULL)
            bulk_blob_synced(bulk, job);
        else
            bulk_log_synced(bulk, job);
    }
}

static bool on_round(void *context)
{
    struct bulk *bulk = context;
    if (atomic_load(&bulk->stopping)) {
        loop_stop(bulk->loop);
        return false;
    }
    take_synced(bulk);
    bulk_log_tick(bulk, clock_boot_ms());
    uint64_t readers_ms = wheel_next_ms(&bulk->readers);
    uint64_t stalls_ms = wheel_next_ms(&bulk->stalls);
    loop_set_timer(bulk->loop, readers_ms < stalls_ms ? readers_ms : stalls_ms);
    return false;
}

/* Waking is all: the round looks what is due. */
static void on_timer(void *context)
{
    (void)context;
}

static void close_all(struct bulk *bulk)
{
    bulk_sync_destroy(bulk->sync);
    bulk_logs_fini(bulk);
    bulk_blobs_fini(bulk);
    transport_destroy(bulk->transport);
    loop_destroy(bulk->loop);
    table_fini(&bulk->credit);
    arena_fini(&bulk->arena);
    free(bulk->endpoint);
    free(bulk);
}

static void *run_thread(void *context)
{
    struct bulk *bulk = context;
    loop_run(bulk->loop);
    return NULL;
}

/* The socket is made here and handed to the thread with its start: one thread at a time has it. */
int bulk_start(const struct bulk_config *config, struct bulk **ret_bulk, struct error *error)
{
    struct bulk *bulk = xcalloc(1, sizeof *bulk);
    bulk->config = *config;
    bulk->endpoint = xstrdup(config->endpoint);
    wheel_init(&bulk->readers, clock_boot_ms());
    wheel_init(&bulk->stalls, clock_boot_ms());
    int rc = loop_create(&bulk->loop, error);
    if (rc == 0) {
        loop_on_round(bulk->loop, on_round, bulk);
        loop_on_timer(bulk->loop, on_timer, bulk);
        rc = transport_bind(bulk->loop, bulk->endpoint, on_frame, bulk, &bulk->transport, error);
    }
    if (rc == 0)
        rc = bulk_sync_create(bulk->config.blobs, bulk->loop, &bulk->sync, error);
    int thread_rc = rc == 0 ? pthread_create(&bulk->thread, NULL, run_thread, bulk) : 0;
    if (thread_rc != 0)
        rc = error_set_errno(error, ERR_IO, thread_rc, "no thread for the bulk port");
    if (rc != 0) {
        close_all(bulk);
        return rc;
    }
    *ret_bulk = bulk;
    return 0;
}

void bulk_stop(struct bulk *bulk)
{
    if (bulk == NULL)
        return;
    atomic_store(&bulk->stopping, true);
    loop_wake(bulk->loop);
    (void)pthread_join(bulk->thread, NULL);
    close_all(bulk);
}
