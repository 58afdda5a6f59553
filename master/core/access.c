/*
 * Who belongs to the cluster, as it is kept: peers by their key, tokens by their id and by their
 * one-time key; what is written of them, and what the ports are told.
 */
#include "common/limits.h"
#include "common/memory.h"
#include "master/core/state.h"
#include "proto/roles.h"

#include <stdlib.h>

/* ---- looking up ---- */

struct peer_row *peer_find(const struct core *core, struct slice key)
{
    uint64_t index = 0;
    if (!names_get(&core->access.peers_by_key, key, &index))
        return NULL;
    return &core->access.peers[index];
}

struct token_state *token_by_key(const struct core *core, struct slice key)
{
    uint64_t index = 0;
    if (!names_get(&core->access.tokens_by_key, key, &index))
        return NULL;
    return &core->access.tokens[index];
}

struct token_state *token_by_id(const struct core *core, uint64_t id)
{
    uint64_t index = 0;
    if (!table_get(&core->access.tokens_by_id, id, &index))
        return NULL;
    return &core->access.tokens[index];
}

bool access_is_name(struct slice name)
{
    if (name.length == 0 || name.length > NAME_MAX_BYTES || name.ptr[0] == '.' ||
        name.ptr[0] == '-')
        return false;
    for (size_t i = 0; i < name.length; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '.' && c != '-')
            return false;
    }
    return true;
}

/* ---- what is kept ---- */

void tell_ports(
    struct core *core, const unsigned char *key, uint32_t role, const struct slice *name)
{
    struct access_effect *access = effects_add_access(core->effects);
    memcpy(access->key, key, sizeof access->key);
    access->role = role;
    if (name != NULL)
        access->name = arena_copy(&core->effects->arena, *name);
}

void peer_fact(struct core *core, const struct peer_row *peer)
{
    struct peer_row *row = &effects_add_fact(core->effects, FACT_PEER)->peer;
    *row = *peer;
    row->name = arena_copy(&core->effects->arena, peer->name);
    row->host = arena_copy(&core->effects->arena, peer->host);
    tell_ports(core, peer->key, peer->removed_at == 0 ? peer->role : ROLE_NONE, &peer->name);
}

static void tell_ports_of_token(struct core *core, const struct token_state *token)
{
    bool revoked = token->row.revoked_at != 0;
    tell_ports(core, token->row.key, revoked ? ROLE_NONE : ROLE_JOINER, NULL);
    core->effects->accesses[core->effects->access_count - 1].expires_at = token->row.expires_at;
}

void token_fact(struct core *core, const struct token_state *token)
{
    struct token_row *row = &effects_add_fact(core->effects, FACT_TOKEN)->token;
    *row = token->row;
    row->label = arena_copy(&core->effects->arena, token->row.label);
    tell_ports_of_token(core, token);
}

struct peer_row *peer_keep(struct core *core, const struct peer_row *row)
{
    struct access *access = &core->access;
    vector_reserve(&access->peers, access->peer_count, &access->peer_capacity);
    names_set(&access->peers_by_key, key_slice(row->key), access->peer_count);
    struct peer_row *peer = &access->peers[access->peer_count++];
    *peer = *row;
    peer->name = slice_keep(row->name);
    peer->host = slice_keep(row->host);
    access->member_count += row->removed_at == 0;
    return peer;
}

struct token_state *token_keep(struct core *core, const struct token_row *row)
{
    struct access *access = &core->access;
    vector_reserve(&access->tokens, access->token_count, &access->token_capacity);
    names_set(&access->tokens_by_key, key_slice(row->key), access->token_count);
    table_set(&access->tokens_by_id, row->token, access->token_count);
    struct token_state *token = &access->tokens[access->token_count++];
    *token = (struct token_state){.row = *row};
    token->row.label = slice_keep(row->label);
    return token;
}

void access_load_peer(struct core *core, const struct peer_row *row)
{
    if (peer_find(core, key_slice(row->key)) == NULL)
        (void)peer_keep(core, row);
}

void access_load_token(struct core *core, const struct token_row *row)
{
    if (token_by_id(core, row->token) == NULL)
        (void)token_keep(core, row);
}

void access_fini(struct access *access)
{
    for (size_t i = 0; i < access->peer_count; i++) {
        slice_free(&access->peers[i].name);
        slice_free(&access->peers[i].host);
    }
    for (size_t i = 0; i < access->token_count; i++)
        slice_free(&access->tokens[i].row.label);
    free(access->peers);
    free(access->tokens);
    names_fini(&access->peers_by_key);
    names_fini(&access->tokens_by_key);
    table_fini(&access->tokens_by_id);
}

void peer_remove(struct core *core, struct peer_row *peer)
{
    peer->removed_at = core->now_wall > 0 ? core->now_wall : 1; /* 0 says that it was not */
    core->access.member_count--;
    peer_fact(core, peer);
}

void access_loaded(struct core *core)
{
    struct access *access = &core->access;
    for (size_t i = 0; i < access->peer_count; i++) {
        const struct peer_row *peer = &access->peers[i];
        struct token_state *token = token_by_id(core, peer->token);
        if (token != NULL)
            token->used++;
        if (peer->removed_at == 0)
            tell_ports(core, peer->key, peer->role, &peer->name);
    }
    tokens_forget(core);
    for (size_t i = 0; i < access->token_count; i++) {
        if (access->tokens[i].row.revoked_at == 0)
            tell_ports_of_token(core, &access->tokens[i]);
    }
}

/* ---- views ---- */

bool core_view_token(const struct core *core, uint32_t index, struct token_view *ret_view)
{
    if (index >= core->access.token_count)
        return false;
    const struct token_state *token = &core->access.tokens[index];
    *ret_view = (struct token_view){.row = &token->row, .used = token->used};
    return true;
}

bool core_view_peer(const struct core *core, uint32_t index, const struct peer_row **ret_row)
{
    if (index >= core->access.peer_count)
        return false;
    *ret_row = &core->access.peers[index];
    return true;
}
