#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/stop_point.h"
#include "master/io/bulk_state.h"
#include "master/io/trace.h"
#include "proto/roles.h"

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
        transport_send(
            peer_is_remote(peer) ? bulk->remote : bulk->transport, peer, buffer_slice(&frame));
    else
        log_error("bulk: an answer of %zu bytes is not sent", frame.length);
    buffer_fini(&frame);
    stop_here(STOP_BULK_TOLD);
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

/* A chunk that is not taken costs no credit. */
static void drop_chunk(struct bulk *bulk, transport_peer peer, size_t bytes)
{
    bulk_open_credit(bulk, peer);
    bulk_return_credit(bulk, peer, bytes);
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

bool bulk_may(struct bulk *bulk, transport_peer peer, uint32_t message)
{
    struct speaker speaker;
    if (!peer_is_remote(peer))
        return role_may(ROLE_LOCAL, message);
    admission_speaker(bulk->config.admission, bulk->remote, peer, &speaker);
    return role_may(speaker.actor.role, message);
}

/* Of an attempt's log; false: it is none. */
static bool take_log(struct bulk *bulk, transport_peer peer, const struct actor *actor,
    const struct message *message)
{
    const struct msg_log_chunk *chunk = message->body;
    switch (message->number) {
    case MESSAGE_log_open:
        if (bulk_owns(bulk, peer, actor, &((const struct msg_log_open *)message->body)->id))
            bulk_log_open(bulk, peer, message->body);
        return true;
    case MESSAGE_log_chunk:
        if (bulk_owns(bulk, peer, actor, &chunk->id))
            bulk_log_chunk(bulk, peer, chunk);
        else
            drop_chunk(bulk, peer, chunk->data.length);
        return true;
    case MESSAGE_log_end:
        if (bulk_owns(bulk, peer, actor, &((const struct msg_log_end *)message->body)->id))
            bulk_log_end(bulk, peer, message->body);
        return true;
    default:
        return false;
    }
}

static void take_message(struct bulk *bulk, transport_peer peer, const struct message *message)
{
    switch (message->number) {
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

static void take_frame(
    struct bulk *bulk, transport_peer peer, const struct actor *actor, struct slice bytes)
{
    struct frame_reader reader;
    struct message message;
    struct denial denial = {0};
    if (bulk->config.trace)
        trace_frame("bulk", peer, "<", bytes);
    if (bulk->failed)
        return;
    versions_note(&bulk->versions, peer, actor, bytes);
    arena_reset(&bulk->arena);
    int rc = frame_open(bytes, &bulk->arena, &reader, &denial.error);
    if (rc == 0)
        rc = admission_check(bulk->config.refusals, actor, reader, &denial);
    while (rc == 0 && (rc = frame_next(&reader, &message, &denial.error)) == 1) {
        if (!take_log(bulk, peer, actor, &message))
            take_message(bulk, peer, &message);
        rc = 0;
    }
    if (rc < 0)
        bulk_refuse(bulk, peer, denial.request, &denial.error);
}

static void on_frame(void *context, transport_peer peer, struct slice bytes)
{
    static const struct actor local = {.role = ROLE_LOCAL};
    take_frame(context, peer, &local, bytes);
}

static void on_remote_frame(void *context, transport_peer peer, struct slice bytes)
{
    struct bulk *bulk = context;
    struct speaker speaker;
    admission_speaker(bulk->config.admission, bulk->remote, peer, &speaker);
    take_frame(bulk, peer, &speaker.actor, bytes);
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
    if (bulk->remote != NULL)
        bulk_take_claims(bulk);
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
    transport_destroy(bulk->remote);
    loop_destroy(bulk->loop);
    table_fini(&bulk->credit);
    arena_fini(&bulk->arena);
    names_fini(&bulk->verdicts);
    versions_fini(&bulk->versions);
    free(bulk);
}

static void *run_thread(void *context)
{
    struct bulk *bulk = context;
    loop_run(bulk->loop);
    return NULL;
}

static void wake(void *context)
{
    struct bulk *bulk = context;
    loop_wake(bulk->loop);
}

static int open_sockets(struct bulk *bulk, struct error *error)
{
    const struct bulk_config *config = &bulk->config;
    int rc = transport_bind(bulk->loop, config->endpoint, on_frame, bulk, &bulk->transport, error);
    if (rc != 0 || config->remote == NULL)
        return rc;
    claims_set_asker(config->claims, (struct claims_wake){wake, bulk});
    const struct transport_place place = {config->remote, config->keys, NULL};
    return transport_bind_curve(bulk->loop, &place, on_remote_frame, bulk, &bulk->remote, error);
}

/* The sockets are made here and handed to the thread with its start: one thread at a time has it.
 */
int bulk_start(const struct bulk_config *config, struct bulk **ret_bulk, struct error *error)
{
    struct bulk *bulk = xcalloc(1, sizeof *bulk);
    bulk->config = *config;
    wheel_init(&bulk->readers, clock_boot_ms());
    wheel_init(&bulk->stalls, clock_boot_ms());
    int rc = loop_create(&bulk->loop, error);
    if (rc == 0) {
        loop_on_round(bulk->loop, on_round, bulk);
        loop_on_timer(bulk->loop, on_timer, bulk);
        rc = open_sockets(bulk, error);
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
