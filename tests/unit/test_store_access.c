#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/hash.h"
#include "common/memory.h"
#include "master/store/store_schema.h"
#include "proto/roles.h"
#include "store_stage.h"

#include <stdlib.h>

enum { KEEP_DAYS = 400 };
static const int64_t DAY_MS = 86400000;

/* ---- rows ---- */

static struct peer_row make_peer(unsigned char key, uint32_t role, uint64_t token)
{
    struct peer_row row = {.role = role,
        .name = slice_of("anna"),
        .host = slice_of("laptop"),
        .token = token,
        .joined_at = 1000 + key};
    memset(row.key, key, sizeof row.key);
    return row;
}

static struct token_row make_token(uint64_t token, int64_t created_at)
{
    struct token_row row = {.token = token,
        .role = ROLE_WORKER,
        .uses = 3,
        .created_at = created_at,
        .expires_at = created_at + 5000,
        .label = slice_of("the new rack")};
    memset(row.key, (int)(token % 251) + 1, sizeof row.key);
    return row;
}

static void add_audit(struct effects *batch, uint64_t number, int64_t at)
{
    effects_add_fact(batch, FACT_AUDIT)->audit = (struct audit_row){.number = number,
        .at = at,
        .role = ROLE_OPERATOR,
        .who = slice_of("anna"),
        .action = slice_of("cancel"),
        .count = 1};
}

/* What a restart was given. */
struct loaded {
    struct arena arena;
    struct peer_row peers[8];
    struct token_row tokens[8];
    struct worker_row workers[8];
    uint32_t peer_count, token_count, worker_count;
};

static void keep_peer(void *context, const struct peer_row *row)
{
    struct loaded *loaded = context;
    loaded->peers[loaded->peer_count] = *row;
    loaded->peers[loaded->peer_count].name = arena_copy(&loaded->arena, row->name);
    loaded->peers[loaded->peer_count++].host = arena_copy(&loaded->arena, row->host);
}

static void keep_token(void *context, const struct token_row *row)
{
    struct loaded *loaded = context;
    loaded->tokens[loaded->token_count] = *row;
    loaded->tokens[loaded->token_count++].label = arena_copy(&loaded->arena, row->label);
}

static void keep_worker(void *context, const struct worker_row *row)
{
    struct loaded *loaded = context;
    loaded->workers[loaded->worker_count++] = *row;
}

static void skip_dag(void *context, const struct dag_row *row)
{
    (void)context;
    (void)row;
}

static void skip_session(void *context, const struct session_row *row)
{
    (void)context;
    (void)row;
}

static int skip_run(void *context, const struct store_run *run, struct error *error)
{
    (void)context;
    (void)run;
    (void)error;
    return 0;
}

static struct store_loader loader_keeping(struct loaded *loaded)
{
    return (struct store_loader){
        .context = loaded,
        .dag = skip_dag,
        .worker = keep_worker,
        .session = skip_session,
        .run = skip_run,
        .peer = keep_peer,
        .token = keep_token,
    };
}

static void load(struct fixture *fixture, struct loaded *loaded)
{
    struct error error = {0};
    *loaded = (struct loaded){0};
    struct store_loader loader = loader_keeping(loaded);
    if (store_load(fixture->store, &loader, &error) != 0)
        fail_msg("%s", error.text);
}

static size_t list_audit(struct fixture *fixture, struct store_audit_filter filter,
    struct arena *arena, struct audit_row **ret_rows)
{
    size_t count = 0;
    struct error error = {0};
    if (store_list_audit(fixture->store, &filter, arena, ret_rows, &count, &error) != 0)
        fail_msg("%s", error.text);
    return count;
}

static uint64_t last_audit(struct fixture *fixture)
{
    uint64_t number = 99;
    assert_int_equal(store_last_audit(fixture->store, &number, NULL), 0);
    return number;
}

/* ---- keys and tokens ---- */

static void store_peers_and_tokens_come_back_as_they_were(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    effects_add_fact(batch, FACT_PEER)->peer = make_peer(2, ROLE_OPERATOR, UINT64_MAX);
    effects_add_fact(batch, FACT_PEER)->peer = make_peer(1, ROLE_WORKER, 7);
    effects_add_fact(batch, FACT_TOKEN)->token = make_token(7, 900);
    effects_add_fact(batch, FACT_TOKEN)->token = make_token(UINT64_MAX, 800);
    commit(fixture, batch);
    batch = effects_create();
    struct peer_row removed = make_peer(2, ROLE_OPERATOR, UINT64_MAX);
    removed.removed_at = 4000;
    effects_add_fact(batch, FACT_PEER)->peer = removed;
    struct token_row revoked = make_token(7, 900);
    revoked.revoked_at = 4000;
    effects_add_fact(batch, FACT_TOKEN)->token = revoked;
    commit(fixture, batch);
    close_store(fixture);

    lead_store(fixture);
    struct loaded loaded;
    load(fixture, &loaded);
    assert_int_equal(loaded.peer_count, 2);
    assert_memory_equal(loaded.peers[0].key, make_peer(1, 0, 0).key, WORKER_KEY_BYTES);
    assert_true(loaded.peers[0].role == ROLE_WORKER && loaded.peers[0].token == 7);
    assert_true(loaded.peers[0].removed_at == 0 && loaded.peers[0].joined_at == 1001);
    assert_true(loaded.peers[1].token == UINT64_MAX && loaded.peers[1].removed_at == 4000);
    assert_true(slice_is(loaded.peers[1].name, "anna") && slice_is(loaded.peers[1].host, "laptop"));
    assert_int_equal(loaded.token_count, 2);
    assert_true(loaded.tokens[0].token == UINT64_MAX && loaded.tokens[0].revoked_at == 0);
    assert_true(loaded.tokens[1].token == 7 && loaded.tokens[1].revoked_at == 4000);
    assert_true(loaded.tokens[1].uses == 3 && loaded.tokens[1].expires_at == 5900);
    assert_true(loaded.tokens[1].role == ROLE_WORKER && loaded.tokens[1].created_at == 900);
    assert_memory_equal(loaded.tokens[1].key, revoked.key, WORKER_KEY_BYTES);
    assert_true(slice_is(loaded.tokens[1].label, "the new rack"));
    arena_fini(&loaded.arena);
}

static void store_worker_that_drains_or_was_removed_comes_back_so(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    for (uint32_t i = 1; i <= 3; i++) {
        struct worker_row *row = &effects_add_fact(batch, FACT_WORKER)->worker;
        *row = (struct worker_row){.number = i, .draining = i == 2, .removed = i == 3};
        row->key[0] = (unsigned char)i;
    }
    commit(fixture, batch);
    struct loaded loaded;
    load(fixture, &loaded);
    assert_int_equal(loaded.worker_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(loaded.workers[i].draining, i == 1);
        assert_int_equal(loaded.workers[i].removed, i == 2);
    }
    batch = effects_create();
    effects_add_fact(batch, FACT_WORKER)->worker = (struct worker_row){.number = 2};
    commit(fixture, batch);
    load(fixture, &loaded);
    assert_false(loaded.workers[1].draining);
    arena_fini(&loaded.arena);
}

static void store_access_row_that_cannot_be_is_an_error(void **state)
{
    static const char *const damages[] = {
        "UPDATE peer SET role = 4",
        "UPDATE peer SET key = x'00'",
        "UPDATE token SET role = 5",
        "UPDATE token SET uses = 0",
        "UPDATE token SET key = x''",
        "UPDATE worker SET removed = 2",
    };
    struct fixture *fixture = *state;
    lead_store(fixture);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        struct effects *batch = effects_create();
        effects_add_fact(batch, FACT_PEER)->peer = make_peer(1, ROLE_WORKER, 7);
        effects_add_fact(batch, FACT_TOKEN)->token = make_token(7, 900);
        effects_add_fact(batch, FACT_WORKER)->worker = (struct worker_row){.number = 1};
        commit(fixture, batch);
        run_sql(fixture, damages[i]);
        struct loaded loaded = {0};
        struct store_loader loader = loader_keeping(&loaded);
        struct error error = {0};
        assert_int_equal(store_load(fixture->store, &loader, &error), ERR_CORRUPT);
        assert_non_null(strstr(error.text, "damaged"));
        arena_fini(&loaded.arena);
        run_sql(fixture, "DELETE FROM peer; DELETE FROM token; DELETE FROM worker");
    }
}

/* ---- the audit log ---- */

static void store_audit_row_comes_back_as_it_was_and_its_count_grows(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    assert_int_equal(last_audit(fixture), 0);
    struct audit_row row = {.number = 5,
        .at = 1000,
        .role = ROLE_VIEWER,
        .who = slice_of("ben"),
        .address = slice_of("10.0.0.7"),
        .action = slice_of("cancel"),
        .target = slice_of("salaries/17"),
        .text = slice_of("a viewer may not cancel"),
        .refused = true,
        .count = 1};
    struct effects *batch = effects_create();
    effects_add_fact(batch, FACT_AUDIT)->audit = row;
    commit(fixture, batch);
    batch = effects_create();
    row.count = 41;
    effects_add_fact(batch, FACT_AUDIT)->audit = row;
    commit(fixture, batch);
    close_store(fixture);

    lead_store(fixture);
    assert_int_equal(last_audit(fixture), 5);
    struct arena arena = {0};
    struct audit_row *rows;
    assert_int_equal(
        list_audit(fixture, (struct store_audit_filter){.limit = 10}, &arena, &rows), 1);
    assert_true(rows->number == 5 && rows->at == 1000 && rows->role == ROLE_VIEWER);
    assert_true(rows->refused && rows->count == 41);
    assert_true(slice_is(rows->who, "ben") && slice_is(rows->address, "10.0.0.7"));
    assert_true(slice_is(rows->action, "cancel") && slice_is(rows->target, "salaries/17"));
    assert_true(slice_is(rows->text, "a viewer may not cancel"));
    arena_fini(&arena);
}

static void store_list_audit_filters_newest_first(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    for (uint64_t i = 1; i <= 10; i++)
        add_audit(batch, i, 1000 + (int64_t)i);
    commit(fixture, batch);
    static const struct {
        struct store_audit_filter filter;
        uint32_t count, newest;
    } cases[] = {
        {{.limit = 100}, 10, 10},
        {{.limit = 3}, 3, 10},
        {{.before = 4, .limit = 100}, 3, 3},
        {{.before = UINT64_MAX, .limit = 100}, 10, 10},
        {{.before = 1, .limit = 100}, 0, 0},
        {{.since = 1008, .limit = 100}, 3, 10},
        {{.since = 1002, .before = 5, .limit = 2}, 2, 4},
        {{.since = 2000, .limit = 100}, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena = {0};
        struct audit_row *rows;
        size_t count = list_audit(fixture, cases[i].filter, &arena, &rows);
        assert_int_equal(count, cases[i].count);
        for (size_t k = 0; k < count; k++)
            assert_int_equal(rows[k].number, cases[i].newest - k);
        arena_fini(&arena);
    }
}

static void store_audit_keeps_the_newest_and_takes_the_oldest_away_in_steps(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    int64_t now = 1780000000000;
    struct effects *batch = effects_create();
    for (uint64_t i = 1; i <= 300; i++)
        add_audit(batch, i, now - (KEEP_DAYS + 1) * DAY_MS);
    for (uint64_t i = 301; i <= 310; i++)
        add_audit(batch, i, now - (KEEP_DAYS - 1) * DAY_MS);
    commit(fixture, batch);
    struct arena arena = {0};
    struct audit_row *rows;
    struct store_audit_filter all = {.limit = 1000};
    assert_int_equal(list_audit(fixture, all, &arena, &rows), 310);
    /* Each further row takes 65 of the oldest with it, and never one that is young. */
    static const size_t counts[] = {246, 182, 118, 54, 15, 16};
    for (uint64_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        batch = effects_create();
        add_audit(batch, 311 + i, now);
        commit(fixture, batch);
        assert_int_equal(list_audit(fixture, all, &arena, &rows), counts[i]);
    }
    /* By number too: as if a million had come since. */
    batch = effects_create();
    add_audit(batch, 1000305, now);
    commit(fixture, batch);
    assert_int_equal(list_audit(fixture, all, &arena, &rows), 12);
    assert_int_equal(rows[11].number, 306);
    arena_fini(&arena);
}

/* ---- whose attempt ---- */

static void store_attempt_worker_is_known_of_ended_attempts_too(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    add_run(batch, make_run(UINT64_MAX, 1, RUN_SUCCESS));
    add_attempt(batch, make_attempt(UINT64_MAX, 5, 2, ATTEMPT_SUCCESS));
    commit(fixture, batch);
    uint32_t worker = 0;
    struct attempt_id id = {UINT64_MAX, 5, 0, 2};
    assert_int_equal(store_attempt_worker(fixture->store, &id, &worker, NULL), 0);
    assert_int_equal(worker, 3);
    id.attempt = 1;
    assert_int_equal(store_attempt_worker(fixture->store, &id, &worker, NULL), ERR_NOT_FOUND);
    id.run = 1;
    assert_int_equal(store_attempt_worker(fixture->store, &id, &worker, NULL), ERR_NOT_FOUND);
}

/* ---- the step from version 1 ---- */

static void store_of_version_one_is_taken_over_with_all_that_it_holds(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(store_schema[0].version, 1);
    run_sql(fixture, store_schema[0].sql);
    run_sql(fixture,
        "PRAGMA application_id = 1919247734; PRAGMA user_version = 1;"
        "INSERT INTO meta VALUES (1, '8f14e45f-ceea-467f-a9b5-1f6b8f14e45f', 1, 6, 5, 4, 3);"
        "INSERT INTO worker VALUES"
        " (1, x'00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff', 'w1', 'h');"
        "PRAGMA journal_mode = WAL");
    lead_store(fixture);
    assert_int_equal(fixture->identity.epoch, 7);
    assert_string_equal(fixture->identity.cluster, "8f14e45f-ceea-467f-a9b5-1f6b8f14e45f");
    struct loaded loaded;
    load(fixture, &loaded);
    assert_int_equal(loaded.worker_count, 1);
    assert_false(loaded.workers[0].draining || loaded.workers[0].removed);
    assert_int_equal(loaded.workers[0].key[1], 0x11);
    assert_true(loaded.peer_count == 0 && loaded.token_count == 0);
    struct effects *batch = effects_create();
    effects_add_fact(batch, FACT_PEER)->peer = make_peer(1, ROLE_WORKER, 7);
    add_audit(batch, 1, 1000);
    commit(fixture, batch);
    close_store(fixture);
    /* The step is not taken twice. */
    lead_store(fixture);
    load(fixture, &loaded);
    assert_true(loaded.worker_count == 1 && loaded.peer_count == 1);
    assert_int_equal(last_audit(fixture), 1);
    arena_fini(&loaded.arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_store, tear_down_store)

int main(void)
{
    hash_start();
    const struct CMUnitTest tests[] = {
        TEST(store_peers_and_tokens_come_back_as_they_were),
        TEST(store_worker_that_drains_or_was_removed_comes_back_so),
        TEST(store_access_row_that_cannot_be_is_an_error),
        TEST(store_audit_row_comes_back_as_it_was_and_its_count_grows),
        TEST(store_list_audit_filters_newest_first),
        TEST(store_audit_keeps_the_newest_and_takes_the_oldest_away_in_steps),
        TEST(store_attempt_worker_is_known_of_ended_attempts_too),
        TEST(store_of_version_one_is_taken_over_with_all_that_it_holds),
    };
    return cmocka_run_group_tests_name("store_access", tests, NULL, NULL);
}
