/*
 * Whose attempt a log is. A worker that comes by TCP sends logs of those alone that were assigned
 * to it. The first word of a connection about an attempt is kept back until the loop's thread has
 * said whose it is; then the worker is told from where to go on, which is how a connection begins
 * anyway.
 */
#include "common/memory.h"
#include "master/io/bulk_state.h"
#include "proto/roles.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Verdicts that are remembered; at more all are asked for again. */
enum { VERDICTS_MAX = 65536 };

enum verdict { ASKED = 1, GRANTED, REFUSED };

struct claim_key {
    transport_peer peer;
    uint64_t run;
    uint32_t task, map, attempt, zero;
};

static struct claim_key key_of(transport_peer peer, const struct attempt_id *id)
{
    return (struct claim_key){peer, id->run, id->task, id->map, id->attempt, 0};
}

static void set_verdict(
    struct bulk *bulk, transport_peer peer, const struct attempt_id *id, enum verdict verdict)
{
    struct claim_key key = key_of(peer, id);
    if (bulk->verdicts.count >= VERDICTS_MAX) {
        names_fini(&bulk->verdicts);
        bulk->verdicts = (struct names){0};
    }
    names_set(&bulk->verdicts, slice_make(&key, sizeof key), verdict);
}

static void refuse(
    struct bulk *bulk, transport_peer peer, const struct actor *actor, const struct attempt_id *id)
{
    char target[80];
    struct error error = {0};
    (void)snprintf(target, sizeof target, "%016" PRIx64 "/%u@%u", id->run, id->task, id->attempt);
    (void)error_set(
        &error, ERR_DENIED, "the log of %s: this attempt was not assigned to this worker", target);
    refusals_add(bulk->config.refusals, actor, "log", slice_of(target), error.text);
    bulk_refuse(bulk, peer, 0, &error);
}

bool bulk_owns(
    struct bulk *bulk, transport_peer peer, const struct actor *actor, const struct attempt_id *id)
{
    struct claim_key key = key_of(peer, id);
    uint64_t verdict = 0;
    if (!peer_is_remote(peer))
        return true;
    (void)names_get(&bulk->verdicts, slice_make(&key, sizeof key), &verdict);
    if (verdict == REFUSED)
        refuse(bulk, peer, actor, id);
    if (verdict == 0) {
        struct claim claim = {.peer = peer, .id = *id};
        memcpy(claim.key, actor->key.ptr, sizeof claim.key);
        if (claims_ask(bulk->config.claims, &claim))
            set_verdict(bulk, peer, id, ASKED);
    }
    return verdict == GRANTED;
}

void bulk_take_claims(struct bulk *bulk)
{
    struct claim claim;
    while (claims_take(bulk->config.claims, &claim)) {
        set_verdict(bulk, claim.peer, &claim.id, claim.granted ? GRANTED : REFUSED);
        if (claim.granted) {
            bulk_log_owned(bulk, claim.peer, &claim.id);
            continue;
        }
        struct speaker speaker;
        admission_speaker(bulk->config.admission, bulk->remote, claim.peer, &speaker);
        refuse(bulk, claim.peer, &speaker.actor, &claim.id);
    }
}
