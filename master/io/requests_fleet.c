/* Who belongs to the cluster: joins, tokens, workers' drains and removals, and the audit log. */
#include "common/clock.h"
#include "common/memory.h"
#include "common/random.h"
#include "master/io/requests.h"
#include "master/io/run_name.h"
#include "proto/roles.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    TOKENS_SHOWN_MAX = 10000,
    JOINED_SHOWN_MAX = 1000,
    AUDIT_SHOWN_MAX = 10000,
    TOKEN_ID_DIGITS = 16,
};

static int take_key(struct slice bytes, unsigned char key[WORKER_KEY_BYTES], struct error *error)
{
    if (bytes.length != WORKER_KEY_BYTES)
        return error_set(error, ERR_MALFORMED, "a key has %d bytes, this one %zu", WORKER_KEY_BYTES,
            bytes.length);
    memcpy(key, bytes.ptr, WORKER_KEY_BYTES);
    return 0;
}

bool client_join(struct master *master, struct ask *ask)
{
    const struct msg_join *body = ask->body;
    struct event event = client_event(ask, EVENT_JOIN, body->name);
    struct error error = {0};
    event.join.name = body->name;
    event.join.host = body->host;
    int rc = take_key(body->key, event.join.key, &error);
    return client_step(master, ask, &event, rc, &error);
}

bool client_drain(struct master *master, struct ask *ask)
{
    const struct msg_drain *body = ask->body;
    struct event event = client_event(ask, EVENT_DRAIN, body->worker);
    event.worker_change.worker = body->worker;
    event.worker_change.undo = body->undo;
    if (body->undo)
        event.action = slice_of("undrain");
    return client_step(master, ask, &event, 0, NULL);
}

bool client_remove_worker(struct master *master, struct ask *ask)
{
    const struct msg_remove_worker *body = ask->body;
    struct event event = client_event(ask, EVENT_REMOVE_WORKER, body->worker);
    event.worker_change.worker = body->worker;
    return client_step(master, ask, &event, 0, NULL);
}

bool client_lost_worker(struct master *master, struct ask *ask)
{
    const struct msg_lost_worker *body = ask->body;
    struct event event = client_event(ask, EVENT_LOST_WORKER, body->worker);
    event.worker_change.worker = body->worker;
    return client_step(master, ask, &event, 0, NULL);
}

/* ---- tokens ---- */

static struct slice token_text(uint64_t token, struct arena *arena)
{
    return arena_printf(arena, "%016" PRIx64, token);
}

bool client_create_token(struct master *master, struct ask *ask)
{
    const struct msg_create_token *body = ask->body;
    struct error error = {0};
    uint64_t id = random_id();
    struct event event = client_event(ask, EVENT_CREATE_TOKEN, token_text(id, ask->arena));
    event.create_token.token = id;
    event.create_token.role = body->role;
    event.create_token.uses = body->uses;
    event.create_token.valid_ms = body->valid_ms;
    event.create_token.label = body->label;
    event.create_token.server_key = slice_make(master->server_keys.public_key, KEY_BYTES);
    event.create_token.addresses = master->addresses;
    int rc = take_key(body->key, event.create_token.key, &error);
    if (rc == 0 && !master->options->listens)
        rc = error_set(&error, ERR_REFUSED,
            "this master does not listen on TCP, so nobody could join by a token: start it with "
            "--listen tcp://HOST:%d",
            PORT_DEFAULT);
    return client_step(master, ask, &event, rc, &error);
}

/* Sixteen hex digits, as they are shown. */
static int parse_token(struct slice text, uint64_t *ret_token, struct error *error)
{
    uint64_t token = 0;
    bool good = text.length == TOKEN_ID_DIGITS;
    for (size_t i = 0; good && i < text.length; i++) {
        char c = text.ptr[i];
        bool digit = c >= '0' && c <= '9';
        good = digit || (c >= 'a' && c <= 'f');
        token = token << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    if (!good)
        return error_set(error, ERR_USAGE,
            "\"%.*s\" is no token's id: it has %d hex digits, as `reeve token list` shows it",
            SLICE_PRINT(text), TOKEN_ID_DIGITS);
    *ret_token = token;
    return 0;
}

bool client_revoke_token(struct master *master, struct ask *ask)
{
    const struct msg_revoke_token *body = ask->body;
    struct event event = client_event(ask, EVENT_REVOKE_TOKEN, body->token);
    struct error error = {0};
    int rc = parse_token(body->token, &event.revoke_token, &error);
    return client_step(master, ask, &event, rc, &error);
}

static const char *token_state(const struct token_view *view, int64_t now_wall)
{
    if (view->row->revoked_at != 0)
        return "revoked";
    if (view->used >= view->row->uses)
        return "used";
    return view->row->expires_at <= now_wall ? "expired" : "valid";
}

/* The place of each token's line. */
static void name_joined(struct master *master, const struct table *places, struct token_line *lines,
    struct arena *arena)
{
    const struct peer_row *peer;
    uint64_t place;
    for (uint32_t i = 0; core_view_peer(master->core, i, &peer); i++) {
        if (peer->removed_at != 0 || !table_get(places, peer->token, &place))
            continue;
        struct texts *joined = &lines[place].joined;
        if (joined->count == JOINED_SHOWN_MAX)
            continue;
        /* Grown in powers of two; what was outgrown stays in the arena. */
        if ((joined->count & (joined->count - 1)) == 0) {
            struct slice *items =
                arena_alloc(arena, (joined->count * 2 + 1) * sizeof(struct slice));
            if (joined->count > 0)
                memcpy(items, joined->items, joined->count * sizeof *items);
            joined->items = items;
        }
        joined->items[joined->count++] = peer->name;
    }
}

bool client_get_tokens(struct master *master, struct ask *ask)
{
    struct msg_tokens tokens = {.request = ask->request};
    struct table places = {0};
    struct token_view view;
    uint32_t total = 0;
    int64_t now_wall = clock_wall_ms();
    while (core_view_token(master->core, total, &view))
        total++;
    uint32_t shown = total < TOKENS_SHOWN_MAX ? total : TOKENS_SHOWN_MAX;
    struct token_line *lines = arena_alloc(ask->arena, shown * sizeof *lines + 1);
    for (uint32_t i = 0; i < shown; i++) {
        (void)core_view_token(master->core, total - 1 - i, &view);
        lines[i] = (struct token_line){
            .token = token_text(view.row->token, ask->arena),
            .role = slice_of(role_name(view.row->role)),
            .state = slice_of(token_state(&view, now_wall)),
            .uses = view.row->uses,
            .used = view.used,
            .created_at = view.row->created_at,
            .expires_at = view.row->expires_at,
            .label = view.row->label,
        };
        table_set(&places, view.row->token, i);
    }
    name_joined(master, &places, lines, ask->arena);
    tokens.tokens.items = lines;
    tokens.tokens.count = shown;
    ask_answer(master, ask, MESSAGE_tokens, &tokens);
    table_fini(&places);
    return true;
}

/* ---- the audit log ---- */

bool client_get_audit(struct master *master, struct ask *ask)
{
    const struct msg_get_audit *body = ask->body;
    struct store_audit_filter filter = {
        .since = body->since,
        .before = body->before,
        .limit = body->limit < AUDIT_SHOWN_MAX ? body->limit : AUDIT_SHOWN_MAX,
    };
    struct audit_row *rows;
    size_t count;
    struct error error = {0};
    int rc = store_list_audit(master->store, &filter, ask->arena, &rows, &count, &error);
    if (rc != 0) {
        ask_refuse(master, ask, &error);
        return true;
    }
    struct msg_audit audit = {.request = ask->request};
    audit.lines.items = arena_alloc(ask->arena, count * sizeof(struct audit_line) + 1);
    for (size_t i = 0; i < count; i++) {
        audit.lines.items[audit.lines.count++] = (struct audit_line){
            .number = rows[i].number,
            .at = rows[i].at,
            .who = rows[i].who,
            .role = slice_of(role_name(rows[i].role)),
            .action = rows[i].action,
            .target = rows[i].target,
            .refused = rows[i].refused,
            .text = rows[i].text,
            .count = rows[i].count,
            .address = rows[i].address,
        };
    }
    ask_answer(master, ask, MESSAGE_audit, &audit);
    return true;
}

/* ---- explain ---- */

bool client_explain(struct master *master, struct ask *ask)
{
    const struct msg_explain *body = ask->body;
    struct msg_explained explained = {0};
    struct run_view view;
    struct error error = {0};
    uint64_t run;
    uint32_t task;
    int rc = client_find_run(master, body->run, false, &run, &error);
    if (rc == 0 && !core_view_run(master->core, run, &view))
        rc = error_set(&error, ERR_NOT_FOUND, "%.*s is gone", SLICE_PRINT(body->run));
    if (rc == 0)
        rc = client_find_task(view.plan, body->run, body->task, &task, &error);
    if (rc != 0) {
        ask_refuse(master, ask, &error);
        return true;
    }
    core_explain(master->core, run, task, ask->arena, &explained);
    explained.request = ask->request;
    explained.run = run_name_text(ask->arena, view.dag, view.number);
    explained.state = view.state;
    ask_answer(master, ask, MESSAGE_explained, &explained);
    return true;
}
