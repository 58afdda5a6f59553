/*
 * A key joins the cluster by a token, and is removed from it. A key that was removed never comes
 * back, by no token: whoever shall come back makes a new key, as a newcomer does. So the uses of a
 * token are the peers that name it, removed ones too, and a count needs no row of its own.
 */
#include "common/limits.h"
#include "common/memory.h"
#include "common/probe.h"
#include "master/core/state.h"
#include "proto/roles.h"

#include <inttypes.h>

/* ---- join ---- */

static void answer_joined(struct core *core, const struct event *event, const struct peer_row *peer)
{
    struct msg_joined joined = {
        .request = event->request,
        .cluster = core->cluster,
        .role = peer->role,
        .name = peer->name,
    };
    request_answer(core, event, MESSAGE_joined, &joined);
}

/* A live worker, or a person who belongs to the cluster, of this name, with another key. */
static bool is_taken(const struct core *core, const struct event *event, uint32_t role)
{
    struct slice name = event->join.name;
    if (role == ROLE_WORKER) {
        const struct worker *other = worker_live_named(core, name);
        return other != NULL && memcmp(other->key, event->join.key, sizeof other->key) != 0;
    }
    for (size_t i = 0; i < core->access.peer_count; i++) {
        const struct peer_row *peer = &core->access.peers[i];
        if (peer->removed_at == 0 && role_is_person(peer->role) && slice_equal(peer->name, name))
            return true;
    }
    return false;
}

static bool was_removed(const struct core *core, const unsigned char *key)
{
    const struct peer_row *peer = peer_find(core, key_slice(key));
    const struct worker *worker = worker_by_key(core, key);
    return (peer != NULL && peer->removed_at != 0) || (worker != NULL && worker->removed);
}

/* Why nobody new joins by this token now, or 0. */
static int check_valid(
    const struct core *core, const struct token_state *token, struct error *error)
{
    if (token->row.revoked_at != 0)
        return error_set(error, ERR_DENIED, "this token was revoked: ask for another one");
    if (core->now_wall >= token->row.expires_at)
        return error_set(error, ERR_DENIED, "this token has expired: ask for another one");
    return 0;
}

/* Why a key that is new here cannot join by this token, or 0. */
static int check_newcomer(const struct core *core, const struct event *event,
    const struct token_state *token, struct error *error)
{
    struct slice name = event->join.name;
    if (token->used >= token->row.uses && !MUTANT(TOKEN_OVERUSED))
        return error_set(error, ERR_DENIED,
            "this token is used up (%" PRIu32 " of %" PRIu32 " uses): ask for another one",
            token->used, token->row.uses);
    if (token_by_key(core, key_slice(event->join.key)) != NULL)
        return error_set(error, ERR_DENIED, "this is a token's key: join with a key of your own");
    if (!access_is_name(name) || event->join.host.length > DESCRIPTION_MAX_BYTES)
        return error_set(error, ERR_USAGE,
            "\"%.*s\" is no name: letters, digits, '_', then '.' and '-' "
            "too, at most %d",
            SLICE_PRINT(name), NAME_MAX_BYTES);
    if (role_is_person(token->row.role) && slice_is(name, "local"))
        return error_set(
            error, ERR_REFUSED, "\"local\" is whoever works on the master's host: join as another");
    if (is_taken(core, event, token->row.role))
        return error_set(error, ERR_REFUSED,
            token->row.role == ROLE_WORKER
                ? "another live worker is called \"%.*s\": give this one another --name"
                : "somebody else is called \"%.*s\" here: join by another name",
            SLICE_PRINT(name));
    if (core->access.member_count >= PEERS_MAX)
        return error_set(
            error, ERR_REFUSED, "%d keys belong to this cluster: remove some", PEERS_MAX);
    return 0;
}

/* Why this join cannot be, or 0; *ret_peer when the key belongs to the cluster already. */
static int check_join(const struct core *core, const struct event *event,
    const struct token_state *token, const struct peer_row **ret_peer, struct error *error)
{
    const struct peer_row *peer = peer_find(core, key_slice(event->join.key));
    if (token == NULL)
        return error_set(error, ERR_DENIED, "this token is not known to this cluster");
    if (was_removed(core, event->join.key))
        return error_set(error, ERR_DENIED,
            "this key was removed from the cluster: join with a key of your own (a new folder)");
    *ret_peer = peer;
    /* The answer was lost: whatever became of the token since, the key belongs to the cluster. */
    if (peer != NULL && peer->token == token->row.token)
        return 0;
    int code = check_valid(core, token, error);
    if (code != 0 || (peer != NULL && peer->role == token->row.role))
        return code;
    if (peer != NULL)
        return error_set(error, ERR_REFUSED,
            "this key belongs to the cluster already, as %s %.*s: join with another key",
            role_name(peer->role), SLICE_PRINT(peer->name));
    return check_newcomer(core, event, token, error);
}

void join_cluster(struct core *core, const struct event *event)
{
    struct error error = {0};
    const struct peer_row *peer = NULL;
    struct token_state *token = token_by_key(core, event->actor.key);
    core->outcome.target =
        token != NULL ? token_name(core, token->row.token) : (struct slice){NULL, 0};
    int code = check_join(core, event, token, &peer, &error);
    if (code != 0) {
        request_refuse(core, event, code, "%s", error.text);
        return;
    }
    if (peer == NULL) {
        struct peer_row row = {
            .role = token->row.role,
            .name = event->join.name,
            .host = event->join.host,
            .token = token->row.token,
            .joined_at = core->now_wall,
        };
        memcpy(row.key, event->join.key, sizeof row.key);
        peer = peer_keep(core, &row);
        token->used++;
        peer_fact(core, peer);
        core->outcome.changed = true;
        core->outcome.text = slice_of(role_name(peer->role));
    }
    answer_joined(core, event, peer);
}

/* ---- removal of a worker ---- */

static struct peer_row *member_named(const struct core *core, struct slice name)
{
    for (size_t i = 0; i < core->access.peer_count; i++) {
        struct peer_row *peer = &core->access.peers[i];
        if (peer->removed_at == 0 && slice_equal(peer->name, name))
            return peer;
    }
    return NULL;
}

/* No message of it is acknowledged any more: what it runs ends by its lease. */
static void remove_worker(struct core *core, struct worker *worker)
{
    worker->removed = true;
    if (worker->open)
        worker_close(core, worker);
    worker_fact(core, worker);
    struct peer_row *peer = peer_find(core, key_slice(worker->key));
    if (peer != NULL && peer->removed_at == 0)
        peer_remove(core, peer);
}

void join_remove_worker(struct core *core, const struct event *event)
{
    struct slice name = event->worker_change.worker;
    struct worker *worker = worker_named(core, name);
    struct peer_row *peer = worker == NULL ? member_named(core, name) : NULL;
    core->outcome.target = name;
    if (worker != NULL) {
        uint32_t running = worker->running + worker->in_hand;
        remove_worker(core, worker);
        request_accept(
            core, event, running, running > 0 ? "what it runs ends with its lease, at most" : "");
    } else if (peer != NULL && peer->role == ROLE_WORKER) {
        peer_remove(core, peer);
        request_accept(core, event, 0, "it had joined, and never come");
    } else if (peer != NULL) {
        request_refuse(core, event, ERR_REFUSED,
            "%.*s is a person: revoke the token by which they joined, %016" PRIx64
            " (reeve token revoke)",
            SLICE_PRINT(name), peer->token);
    } else {
        worker_refuse_unknown(core, event);
    }
}

/* ---- workers' frames ---- */

void join_rename(struct core *core, const unsigned char *key, struct slice name)
{
    struct peer_row *peer = peer_find(core, key_slice(key));
    if (peer == NULL || peer->removed_at != 0 || slice_equal(peer->name, name))
        return;
    slice_free(&peer->name);
    peer->name = slice_keep(name);
    peer_fact(core, peer);
}

const char *join_frame_denied(const struct core *core, struct slice key)
{
    if (key.length == 0)
        return NULL;
    const struct peer_row *peer = peer_find(core, key);
    if (peer == NULL)
        return "this key does not belong to the cluster: join by a token";
    if (peer->removed_at != 0)
        return "this worker's key was removed from the cluster";
    return peer->role == ROLE_WORKER ? NULL : "this key is a person's, not a worker's";
}
