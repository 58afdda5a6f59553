#include "tests/unit/access_stage.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct key key_of(uint32_t number)
{
    struct key key = {.bytes = {0xee}};
    memcpy(key.bytes + 1, &number, sizeof number);
    return key;
}

/* ---- what is asked ---- */

/* A token with the key of this number, which is its id too. */
void create_token(struct core_world *world, uint32_t number, uint32_t role, uint32_t uses)
{
    static struct slice address = {"tcp://10.0.0.1:7411", 19};
    struct event event = {
        .kind = EVENT_CREATE_TOKEN,
        .create_token =
            {
                .token = number,
                .role = role,
                .uses = uses,
                .valid_ms = HOUR_MS,
                .label = slice_of("rack"),
                .server_key = slice_of("0123456789abcdef0123456789abcdef"),
                .addresses = {&address, 1},
            },
    };
    memcpy(event.create_token.key, key_of(number).bytes, WORKER_KEY_BYTES);
    world_ask(world, event);
}

void revoke(struct core_world *world, uint64_t token)
{
    world_ask(world, (struct event){.kind = EVENT_REVOKE_TOKEN, .revoke_token = token});
}

void remove_worker(struct core_world *world, const char *name)
{
    world_ask(
        world, (struct event){.kind = EVENT_REMOVE_WORKER, .worker_change.worker = slice_of(name)});
}

void join_key(struct core_world *world, uint32_t token, const unsigned char *key, const char *name)
{
    struct key by = key_of(token);
    struct event event = {
        .kind = EVENT_JOIN,
        .actor = {.role = ROLE_JOINER,
            .key = slice_make(by.bytes, sizeof by.bytes),
            .address = slice_of("10.0.0.7")},
        .join = {.name = slice_of(name), .host = slice_of("host")},
    };
    memcpy(event.join.key, key, WORKER_KEY_BYTES);
    world_ask(world, event);
}

void join(struct core_world *world, uint32_t token, uint32_t key, const char *name)
{
    join_key(world, token, key_of(key).bytes, name);
}

/* ---- what is seen ---- */

void assert_joined(const struct core_world *world, uint32_t role, const char *name)
{
    if (world->answer.number != MESSAGE_joined)
        fail_msg("%s", world_answer_text(world));
    const struct msg_joined *joined = world->answer.body;
    assert_int_equal(joined->role, role);
    assert_true(slice_is(joined->name, name));
    assert_true(slice_is(joined->cluster, "the-cluster"));
}

/* The answer is a refusal of this kind that says this, and the audit log has it. */
void assert_refused(const struct core_world *world, int code, const char *text)
{
    assert_int_equal(world->answer.number, MESSAGE_refused);
    const struct msg_refused *refused = world->answer.body;
    assert_int_equal(refused->code, code);
    if (strstr(world_answer_text(world), text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", world_answer_text(world), text);
    const struct audit_row *row = world_last_audit(world);
    assert_true(row != NULL && row->refused);
    assert_int_equal(row->text.length, refused->text.length);
    assert_int_equal(world->access_count, 0);
}

void assert_done(const struct core_world *world)
{
    if (world->answer.number != MESSAGE_done)
        fail_msg("%s", world_answer_text(world));
}

uint32_t token_uses(const struct core_world *world, uint64_t token)
{
    struct token_view view;
    for (uint32_t i = 0; core_view_token(world->core, i, &view); i++) {
        if (view.row->token == token)
            return view.used;
    }
    fail_msg("no such token");
    return 0;
}

const struct peer_row *peer_named(const struct core_world *world, const char *name)
{
    const struct peer_row *row;
    for (uint32_t i = 0; core_view_peer(world->core, i, &row); i++) {
        if (slice_is(row->name, name))
            return row;
    }
    return NULL;
}

/* What the ports were told last of this key, in the last batch; UINT32_MAX: nothing. */
uint32_t access_of(const struct core_world *world, const unsigned char *key)
{
    uint32_t role = UINT32_MAX;
    for (size_t i = 0; i < world->access_count; i++) {
        if (memcmp(world->accesses[i].key, key, WORKER_KEY_BYTES) == 0)
            role = world->accesses[i].role;
    }
    return role;
}

bool is_listed(const struct core_world *world, const char *name)
{
    struct worker_view view;
    for (uint32_t i = 0; core_view_worker(world->core, i, world->now_ms, &view); i++) {
        if (slice_is(view.name, name) && !view.removed)
            return true;
    }
    return false;
}

struct fake *joined_worker(struct core_world *world, uint32_t slots)
{
    struct fake *fake = fake_add(world, slots);
    fake->proven = fake->key;
    if (world->rows.token_count == 0)
        create_token(world, 7, ROLE_WORKER, 99);
    join_key(world, 7, fake->key, fake->name);
    fake_register(world, fake, NULL, 0);
    assert_non_null(fake->registered);
    return fake;
}
