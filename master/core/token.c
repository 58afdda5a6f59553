/*
 * Tokens: made and revoked by whoever works on the master's host. What a token can still do follows
 * from its row, the time and the peers that name it.
 */
#include "common/memory.h"
#include "master/core/state.h"
#include "proto/roles.h"

#include <inttypes.h>

#define TOKEN_VALID_MAX_MS ((uint64_t)366 * 24 * 3600 * 1000)

/* ---- tokens that are over ---- */

/* Nobody new can join by it. */
static bool is_over(const struct core *core, const struct token_state *token)
{
    return token->row.revoked_at != 0 || core->now_wall >= token->row.expires_at ||
           token->used >= token->row.uses;
}

/* Those by which persons joined are kept, so that they can be revoked. */
static bool has_persons(const struct core *core, uint64_t token)
{
    for (size_t i = 0; i < core->access.peer_count; i++) {
        const struct peer_row *peer = &core->access.peers[i];
        if (peer->token == token && peer->removed_at == 0 && role_is_person(peer->role))
            return true;
    }
    return false;
}

/* One in ten goes at once, so that a full table is walked seldom. They stay in the store. */
void tokens_forget(struct core *core)
{
    struct access *access = &core->access;
    size_t kept = 0, excess = 0;
    if (access->token_count >= TOKENS_MAX)
        excess = access->token_count - (TOKENS_MAX - TOKENS_MAX / 10);
    if (excess == 0)
        return;
    names_fini(&access->tokens_by_key);
    table_fini(&access->tokens_by_id);
    for (size_t i = 0; i < access->token_count; i++) {
        struct token_state *token = &access->tokens[i];
        if (excess > 0 && is_over(core, token) &&
            !(role_is_person(token->row.role) && has_persons(core, token->row.token))) {
            tell_ports(core, token->row.key, ROLE_NONE, NULL);
            slice_free(&token->row.label);
            excess--;
            continue;
        }
        names_set(&access->tokens_by_key, key_slice(token->row.key), kept);
        table_set(&access->tokens_by_id, token->row.token, kept);
        access->tokens[kept++] = *token;
    }
    access->token_count = kept;
}

/* ---- create ---- */

static bool is_known_key(const struct core *core, struct slice key)
{
    return peer_find(core, key) != NULL || token_by_key(core, key) != NULL ||
           worker_by_key(core, (const unsigned char *)key.ptr) != NULL;
}

/* Why this token cannot be made, or 0. */
static int check_token(const struct core *core, const struct event *event, struct error *error)
{
    uint32_t role = event->create_token.role, uses = event->create_token.uses;
    uint64_t valid_ms = event->create_token.valid_ms;
    if (role != ROLE_WORKER && !role_is_person(role))
        return error_set(error, ERR_USAGE, "a token's role is worker, operator or viewer");
    if (uses == 0 || uses > TOKEN_USES_MAX)
        return error_set(error, ERR_USAGE, "a token has 1 to %d uses", TOKEN_USES_MAX);
    if (valid_ms == 0 || valid_ms > TOKEN_VALID_MAX_MS)
        return error_set(error, ERR_USAGE, "a token is valid for at least 1ms, at most 366d");
    if (event->create_token.label.length > DESCRIPTION_MAX_BYTES)
        return error_set(
            error, ERR_USAGE, "a token's label has at most %d bytes", DESCRIPTION_MAX_BYTES);
    if (event->create_token.token == 0 || token_by_id(core, event->create_token.token) != NULL ||
        is_known_key(core, key_slice(event->create_token.key)))
        return error_set(error, ERR_REFUSED, "this token exists already: make another key for it");
    return 0;
}

struct slice token_name(struct core *core, uint64_t token)
{
    return arena_printf(&core->effects->arena, "%016" PRIx64, token);
}

static void answer_created(
    struct core *core, const struct event *event, const struct token_row *token)
{
    struct msg_token_created created = {
        .request = event->request,
        .token = token_name(core, token->token),
        .cluster = core->cluster,
        .server_key = event->create_token.server_key,
        .addresses = event->create_token.addresses,
        .expires_at = token->expires_at,
    };
    request_answer_change(core, event, MESSAGE_token_created, &created);
    core->outcome.target = created.token;
    core->outcome.text = arena_printf(&core->effects->arena, "%s, %" PRIu32 " use%s%s%.*s",
        role_name(token->role), token->uses, token->uses == 1 ? "" : "s",
        token->label.length > 0 ? ": " : "", SLICE_PRINT(token->label));
}

void token_create(struct core *core, const struct event *event)
{
    struct error error = {0};
    int code = check_token(core, event, &error);
    if (code != 0) {
        request_refuse(core, event, code, "%s", error.text);
        return;
    }
    tokens_forget(core);
    if (core->access.token_count >= TOKENS_MAX) {
        request_refuse(core, event, ERR_REFUSED,
            "there are %d valid tokens: revoke some (reeve token list)", TOKENS_MAX);
        return;
    }
    struct token_row row = {
        .token = event->create_token.token,
        .role = event->create_token.role,
        .uses = event->create_token.uses,
        .created_at = core->now_wall,
        .expires_at = core->now_wall + (int64_t)event->create_token.valid_ms,
        .label = event->create_token.label,
    };
    memcpy(row.key, event->create_token.key, sizeof row.key);
    token_fact(core, token_keep(core, &row));
    answer_created(core, event, &row);
}

/* ---- revoke ---- */

void token_revoke(struct core *core, const struct event *event)
{
    struct token_state *token = token_by_id(core, event->revoke_token);
    core->outcome.target = token_name(core, event->revoke_token);
    if (token == NULL) {
        request_refuse(core, event, ERR_NOT_FOUND, "there is no token %.*s (reeve token list)",
            SLICE_PRINT(core->outcome.target));
        return;
    }
    if (token->row.revoked_at != 0) {
        request_accept(core, event, 0, "it was revoked already");
        return;
    }
    token->row.revoked_at = core->now_wall > 0 ? core->now_wall : 1;
    token_fact(core, token);
    uint32_t persons = 0;
    for (size_t i = 0; i < core->access.peer_count; i++) {
        struct peer_row *peer = &core->access.peers[i];
        if (peer->token != token->row.token || peer->removed_at != 0 || !role_is_person(peer->role))
            continue;
        peer_remove(core, peer);
        persons++;
    }
    struct slice text = {0};
    if (persons > 0)
        text = arena_printf(&core->effects->arena, "%" PRIu32 " who joined by it %s removed",
            persons, persons == 1 ? "was" : "were");
    request_accept(core, event, persons, text.ptr);
}
