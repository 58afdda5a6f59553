#include "master/io/gate.h"

#include "common/clock.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/memory.h"
#include "master/io/requests.h"
#include "master/io/trace.h"
#include "proto/roles.h"

#include <stdlib.h>

/* The first bytes of the key's hash in hex, for a person to compare. */
enum { FINGERPRINT_BYTES = 8 };

/* From other threads: there is something for the round to take. */
static void wake(void *context)
{
    struct master *master = context;
    loop_wake(master->loop);
}

/* Whether all of the frame is for the worker port: what a worker says to the others is none of
 * ours. */
static bool is_for_workers(struct frame_reader reader)
{
    uint32_t number;
    while (frame_next_number(&reader, &number, NULL) == 1) {
        if (message_shape(number) != NULL && !worker_port_takes(number))
            return false;
    }
    return true;
}

static void refuse(struct master *master, transport_peer peer, const struct denial *denial)
{
    client_send_refused(master, peer,
        &(struct msg_refused){.request = denial->request,
            .code = denial->error.code,
            .text = slice_of(denial->error.text)});
}

static void take_worker_frame(struct master *master, transport_peer peer,
    const struct frame_reader *reader, struct slice bytes)
{
    struct denial denial = {0};
    if (is_for_workers(*reader)) {
        worker_port_take(&master->workers, peer, bytes);
        return;
    }
    (void)error_set(
        &denial.error, ERR_UNSUPPORTED, "logs and files go to the bulk port, the next one");
    refuse(master, peer, &denial);
}

static void on_frame(void *context, transport_peer peer, struct slice bytes)
{
    struct master *master = context;
    struct speaker speaker;
    struct frame_reader reader;
    struct denial denial = {0};
    admission_speaker(master->admission, master->remote, peer, &speaker);
    versions_note(&master->versions, peer, &speaker.actor, bytes);
    if (speaker.actor.role != ROLE_WORKER) {
        requests_take(master, peer, &speaker.actor, bytes);
        return;
    }
    arena_reset(&master->scratch);
    int rc = frame_open(bytes, &master->scratch, &reader, &denial.error);
    if (rc == 0)
        rc = admission_check(master->refusals, &speaker.actor, reader, &denial);
    if (rc == 0)
        take_worker_frame(master, peer, &reader, bytes);
    else
        refuse(master, peer, &denial);
}

bool gate_may(struct master *master, transport_peer peer, uint32_t message)
{
    struct speaker speaker;
    if (!peer_is_remote(peer))
        return role_may(ROLE_LOCAL, message);
    admission_speaker(master->admission, master->remote, peer, &speaker);
    return role_may(speaker.actor.role, message);
}

static void admit(struct master *master, const unsigned char key[KEY_BYTES], uint32_t role,
    int64_t expires_at, struct slice name)
{
    struct access_effect access = {.role = role, .expires_at = expires_at, .name = name};
    memcpy(access.key, key, KEY_BYTES);
    admission_set(master->admission, &access);
}

/* What the rows say; later changes come as effects. */
static void fill_admission(struct master *master)
{
    const struct peer_row *peer;
    struct token_view token;
    for (uint32_t i = 0; core_view_peer(master->core, i, &peer); i++) {
        if (peer->removed_at == 0)
            admit(master, peer->key, peer->role, 0, peer->name);
    }
    for (uint32_t i = 0; core_view_token(master->core, i, &token); i++) {
        if (token.row->revoked_at == 0)
            admit(master, token.row->key, ROLE_JOINER, token.row->expires_at, token.row->label);
    }
}

static void list_addresses(struct master *master)
{
    const struct options *options = master->options;
    struct arena *arena = &master->address_arena;
    if (options->advertise_count == 0) {
        master->addresses = address_list(&options->listen, arena);
        return;
    }
    master->addresses.items = arena_alloc(arena, options->advertise_count * sizeof(struct slice));
    for (size_t i = 0; i < options->advertise_count; i++)
        master->addresses.items[master->addresses.count++] =
            address_text(&options->advertise[i], 0, arena);
}

int gate_open(struct master *master, struct error *error)
{
    const struct options *options = master->options;
    char *path = xasprintf("%s/server.key", master->folder.path);
    int rc = key_pair_load_or_make(path, &master->server_keys, error);
    free(path);
    if (rc != 0)
        return rc;
    master->refusals = refusals_create(wake, master);
    master->admission = admission_create(master->refusals);
    master->claims = claims_create((struct claims_wake){wake, master});
    fill_admission(master);
    if (!options->listens)
        return 0;
    list_addresses(master);
    struct slice endpoint = address_text(&options->listen, 0, &master->address_arena);
    const struct transport_place place = {endpoint.ptr, &master->server_keys, NULL};
    rc = transport_admit_start(admission_admit, master->admission, error);
    if (rc == 0)
        rc = transport_bind_curve(master->loop, &place, on_frame, master, &master->remote, error);
    master->workers.remote = master->remote;
    master->workers.admission = master->admission;
    return rc;
}

void gate_log(const struct master *master)
{
    struct hash hash;
    char hex[HASH_HEX_MAX], text[ENDPOINT_TEXT_MAX];
    const struct endpoint *listen = &master->options->listen;
    if (!master->options->listens)
        return;
    hash_of(slice_make(master->server_keys.public_key, KEY_BYTES), &hash);
    hash_hex(&hash, hex);
    endpoint_text(listen, text);
    log_info("listens on %s, and on port %d for logs and files; the cluster's key is %.*s", text,
        listen->port + 1, 2 * FINGERPRINT_BYTES, hex);
}

void gate_close(struct master *master)
{
    transport_destroy(master->remote);
    master->remote = NULL;
    master->workers.remote = NULL;
    transport_admit_stop();
    admission_destroy(master->admission);
    claims_destroy(master->claims);
    refusals_destroy(master->refusals);
    versions_fini(&master->versions);
    arena_fini(&master->scratch);
    arena_fini(&master->address_arena);
}

/* Of an attempt that is in memory, or of any that was ever assigned. */
static bool is_own(struct master *master, const struct claim *claim)
{
    uint32_t number = core_attempt_worker(master->core, &claim->id);
    if (number == 0 && store_attempt_worker(master->store, &claim->id, &number, NULL) != 0)
        return false;
    const unsigned char *key = worker_port_key(&master->workers, number);
    return key != NULL && memcmp(key, claim->key, KEY_BYTES) == 0;
}

void gate_answer(struct master *master)
{
    struct claim claim;
    while (claims_next(master->claims, &claim)) {
        claim.granted = is_own(master, &claim);
        claims_answer(master->claims, &claim);
    }
}

void gate_step(struct master *master)
{
    struct refusal refusal;
    while (refusals_take(master->refusals, clock_boot_ms(), &refusal)) {
        struct event event = {
            .kind = EVENT_AUDIT,
            .actor =
                {
                    .role = refusal.role,
                    .key = slice_make(refusal.key, refusal.keyed ? KEY_BYTES : 0),
                    .name = slice_of(refusal.name),
                    .address = slice_of(refusal.address),
                },
            .action = slice_of(refusal.action),
            .target = slice_of(refusal.target),
            .audit = {.text = slice_of(refusal.text), .count = refusal.count},
        };
        pipeline_step(&master->pipeline, &event);
    }
}
