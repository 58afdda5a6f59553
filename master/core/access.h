/*
 * access.h - who belongs to the cluster, and the audit log; for the core's own files. access.c
 * alone keeps peers and tokens, token.c and join.c change them, audit.c alone makes audit rows.
 */
#ifndef MASTER_CORE_ACCESS_H
#define MASTER_CORE_ACCESS_H

#include "common/table.h"
#include "common/wheel.h"
#include "master/core/core.h"
#include "proto/roles.h"

enum {
    TOKENS_MAX = 10000, /* at the bound those that nobody can join by are forgotten, the oldest
                           first; when there is none, a new one is refused */
    TOKEN_USES_MAX = 10000,
    PEERS_MAX = 100000, /* keys that belong to the cluster; at the bound a join is refused */
    AUDIT_ALIKE_MAX = 256,
    DESCRIPTION_MAX_BYTES = 256, /* a token's label, a host's name, a software's version */
};

struct token_state {
    struct token_row row; /* the label is owned */
    uint32_t used;        /* peers that joined by it, removed ones too */
};

struct access {
    struct peer_row *peers; /* names and hosts are owned */
    size_t peer_count, peer_capacity;
    size_t member_count; /* not removed */
    struct names peers_by_key;
    struct token_state *tokens;
    size_t token_count, token_capacity;
    struct names tokens_by_key;
    struct table tokens_by_id;
};

/* Refusals alike: one row, whose count grows for a minute. */
struct audit_alike {
    struct audit_row row; /* number 0: free; texts are owned */
    uint64_t hash;
    uint64_t begun_ms, written_ms;
    bool dirty; /* the row on disk has an older count */
};

struct audit {
    struct wheel_timer timer; /* first; armed while something is dirty */
    uint8_t timer_kind;
    uint64_t last_number;
    struct audit_alike *alikes; /* AUDIT_ALIKE_MAX, and one for all that found no room */
};

/* ---- access.c ---- */

static inline struct slice key_slice(const unsigned char *key)
{
    return slice_make(key, WORKER_KEY_BYTES);
}
static inline bool role_is_person(uint32_t role)
{
    return role == ROLE_OPERATOR || role == ROLE_VIEWER;
}
void access_fini(struct access *access);
void access_load_peer(struct core *core, const struct peer_row *row);
void access_load_token(struct core *core, const struct token_row *row);
/* Uses are counted; the ports are told whose keys may speak. */
void access_loaded(struct core *core);
/* What a worker or a person may be called. */
bool access_is_name(struct slice name);

/* NULL: this key never joined by a token. */
struct peer_row *peer_find(const struct core *core, struct slice key);
struct token_state *token_by_key(const struct core *core, struct slice key);
struct token_state *token_by_id(const struct core *core, uint64_t id);
/* Into memory alone. */
struct peer_row *peer_keep(struct core *core, const struct peer_row *row);
struct token_state *token_keep(struct core *core, const struct token_row *row);
/* The row as it is now, and what follows from it for the ports. */
void peer_fact(struct core *core, const struct peer_row *peer);
void token_fact(struct core *core, const struct token_state *token);
void peer_remove(struct core *core, struct peer_row *peer);
void tell_ports(
    struct core *core, const unsigned char *key, uint32_t role, const struct slice *name);

/* ---- token.c ---- */

void token_create(struct core *core, const struct event *event);
void token_revoke(struct core *core, const struct event *event);
/* Keeps the table below its bound. */
void tokens_forget(struct core *core);
/* As people see it; lies in the effects' arena. */
struct slice token_name(struct core *core, uint64_t token);

/* ---- join.c ---- */

void join_cluster(struct core *core, const struct event *event);
void join_remove_worker(struct core *core, const struct event *event);
/* A worker goes by another name since its last registration. */
void join_rename(struct core *core, const unsigned char *key, struct slice name);
/* Why a worker's frame with this key is refused, or NULL. */
const char *join_frame_denied(const struct core *core, struct slice key);

/* ---- audit.c ---- */

void audit_init(struct core *core, uint64_t last_number);
void audit_fini(struct audit *audit);
/* The client event of this step and its outcome. */
void audit_change(struct core *core, const struct event *event);
/* The ports' word. */
void audit_reported(struct core *core, const struct event *event);
/* Something was refused to this step's actor; `row` says action, target and text, and who when the
 * actor is not known. */
void audit_refusal(struct core *core, struct audit_row row);
void audit_timer(struct core *core);

#endif
