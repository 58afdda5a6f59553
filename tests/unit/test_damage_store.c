/*
 * The store's files, damaged in every way: a store is refused by its name, with what a person can
 * do, or it holds what was acknowledged.
 */
#include "store_stage.h"
#include "tests/unit/damage.h"

#include "common/file.h"
#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCHES = 6 };

/* So many batches, and a kill: they stand in the log alone. */
static void make_log(struct fixture *fixture)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)setenv("CMOCKA_TEST_ABORT", "1", 1);
        lead_store(fixture);
        for (uint32_t i = 1; i <= BATCHES; i++) {
            struct effects *batch = effects_create();
            add_run(batch, make_run(i, i, RUN_RUNNING));
            add_session(batch, 0xfedcba9876543210);
            add_attempt(batch, make_attempt(i, 0, 1, ATTEMPT_ASSIGNED));
            commit(fixture, batch);
        }
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

struct look {
    struct fixture *fixture;
    struct buffer before; /* what it said when it was whole */
    uint32_t refused, whole, shorter, torn;
};

static void expect_refusal(struct look *look, const struct error *error, const char *what)
{
    if (strstr(error->text, look->fixture->folder) == NULL || strchr(error->text, ';') == NULL)
        fail_msg("%s: \"%s\"", what, error->text);
    look->refused++;
}

/* Runs that a start finds, each with its attempt; UINT32_MAX: it is refused. */
static uint32_t load(struct fixture *fixture, struct error *error)
{
    struct store *store;
    struct seen seen = {0};
    const struct store_loader loader = loader_into(&seen);
    int rc = store_open(fixture->folder, wake, fixture, &store, error);
    if (rc != 0)
        return UINT32_MAX;
    rc = store_load(store, &loader, error);
    store_close(store);
    if (rc != 0)
        return UINT32_MAX;
    assert_int_equal(seen.attempts, seen.runs);
    for (uint32_t i = 0; i < seen.runs; i++)
        assert_int_equal(seen.keys[i], i + 1);
    return seen.runs;
}

static void look_at_log(void *context, const char *what)
{
    struct look *look = context;
    struct error error = {0};
    uint32_t runs = load(look->fixture, &error);
    if (runs == UINT32_MAX)
        expect_refusal(look, &error, what);
    else if (runs == BATCHES)
        look->whole++;
    else if (strstr(what, "cut off") != NULL)
        look->shorter++; /* nobody can tell it from what a kill leaves */
    else if (runs == BATCHES - 1)
        look->torn++; /* nor this from what a power cut leaves */
    else
        fail_msg("%s: of %d batches %u are left", what, BATCHES, runs);
}

static void damaged_log_is_refused_or_lacks_its_last_batch(void **state)
{
    struct look look = {.fixture = *state};
    struct error error = {0};
    make_log(*state);
    char *path = store_path(*state), *log = xasprintf("%s-wal", path);
    damage_each(log, 1499, look_at_log, &look);
    /* Of six batches one may be the torn one. */
    assert_true(look.torn > 0 && look.refused > 3 * look.torn && look.shorter > 0);
    assert_int_equal(load(*state, &error), BATCHES);
    free(log);
    free(path);
}

/* ---- the database ---- */

static void print_dag(void *context, const struct dag_row *row)
{
    buffer_printf(context, "dag %.*s %u\n", SLICE_PRINT(row->dag), row->last_number);
}

static void print_session(void *context, const struct session_row *row)
{
    buffer_printf(context, "session %llx of %u\n", (unsigned long long)row->session, row->worker);
}

static int print_run(void *context, const struct store_run *run, struct error *error)
{
    struct buffer *out = context;
    const struct run_row *row = &run->run;
    char hex[HASH_HEX_MAX];
    (void)error;
    hash_hex(&row->plan, hex);
    buffer_printf(out, "run %llx %.*s/%u state %u plan %s at %lld %.*s\n",
        (unsigned long long)row->key, SLICE_PRINT(row->dag), row->number, row->state, hex,
        (long long)row->submitted_at, SLICE_PRINT(row->context));
    for (size_t i = 0; i < run->attempt_count; i++) {
        const struct attempt_row *attempt = &run->attempts[i];
        buffer_printf(out, "    %u@%u state %u worker %u session %llx at %lld\n", attempt->id.task,
            attempt->id.attempt, attempt->state, attempt->worker,
            (unsigned long long)attempt->session, (long long)attempt->assigned_at);
    }
    return 0;
}

static void ignore_worker(void *context, const struct worker_row *row)
{
    (void)context;
    (void)row;
}

static void ignore_peer(void *context, const struct peer_row *row)
{
    (void)context;
    (void)row;
}

static void ignore_token(void *context, const struct token_row *row)
{
    (void)context;
    (void)row;
}

static int print_store(struct fixture *fixture, struct buffer *out, struct error *error)
{
    const struct store_loader loader = {.context = out,
        .dag = print_dag,
        .worker = ignore_worker,
        .session = print_session,
        .run = print_run,
        .peer = ignore_peer,
        .token = ignore_token};
    struct store *store;
    int rc = store_open(fixture->folder, wake, fixture, &store, error);
    if (rc != 0)
        return rc;
    rc = store_load(store, &loader, error);
    store_close(store);
    return rc;
}

static void look_at_database(void *context, const char *what)
{
    struct look *look = context;
    struct buffer now = {0};
    struct error error = {0};
    if (print_store(look->fixture, &now, &error) != 0) {
        expect_refusal(look, &error, what);
    } else if (!slice_equal(buffer_slice(&now), buffer_slice(&look->before))) {
        fail_msg("%s: taken, and it says\n%s", what, buffer_text(&now));
    } else {
        look->whole++;
    }
    buffer_fini(&now);
}

static void damaged_database_is_refused_or_says_the_same(void **state)
{
    struct look look = {.fixture = *state};
    make_log(*state);
    assert_int_equal(print_store(*state, &look.before, NULL), 0);
    char *path = store_path(*state);
    damage_each(path, 1499, look_at_database, &look);
    assert_true(look.refused > look.whole);
    /* Where the values of runs stand: sqlite itself would take any. */
    uint32_t whole = look.whole;
    damage_near(path, slice_of("{\"values\":{}}"), 60, look_at_database, &look);
    assert_int_equal(look.whole, whole);
    assert_true(look.before.length > BATCHES * (size_t)100);
    buffer_fini(&look.before);
    free(path);
}

static void plain_sqlite(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* sqlite's shell, used to look into the store of a killed master, copies the log in as it ends. */
static void log_copied_in_by_another_program_is_taken(void **state)
{
    make_log(*state);
    char *path = store_path(*state), *log = xasprintf("%s-wal", path);
    plain_sqlite(path, "SELECT count(*) FROM run");
    assert_int_not_equal(access(log, F_OK), 0);
    assert_int_equal(load(*state, NULL), BATCHES);
    free(log);
    free(path);
}

static void database_changed_by_another_program_is_refused_until_told(void **state)
{
    struct error error = {0};
    make_log(*state);
    assert_int_equal(load(*state, NULL), BATCHES);
    char *path = store_path(*state), *seal = xasprintf("%s-seal", path);
    plain_sqlite(path, "UPDATE attempt SET state = 2");
    assert_int_equal(load(*state, &error), UINT32_MAX);
    assert_non_null(strstr(error.text, seal));
    assert_int_equal(unlink(seal), 0);
    assert_int_equal(load(*state, NULL), BATCHES);
    assert_int_equal(access(seal, F_OK), 0);
    free(seal);
    free(path);
}

static void backup_by_another_program_is_taken(void **state)
{
    make_log(*state);
    char *path = store_path(*state), *copy = xasprintf("%s.copy", path);
    char *sql = xasprintf("VACUUM INTO '%s'", copy);
    char *log = xasprintf("%s-wal", path), *memory = xasprintf("%s-shm", path);
    plain_sqlite(path, sql);
    (void)unlink(log);
    (void)unlink(memory);
    assert_int_equal(rename(copy, path), 0);
    assert_int_equal(load(*state, NULL), BATCHES);
    free(memory);
    free(log);
    free(sql);
    free(copy);
    free(path);
}

static void damaged_seal_is_refused(void **state)
{
    struct look look = {.fixture = *state};
    make_log(*state);
    assert_int_equal(print_store(*state, &look.before, NULL), 0);
    char *path = store_path(*state), *seal = xasprintf("%s-seal", path);
    damage_each(seal, 3, look_at_database, &look);
    assert_true(look.refused > 20 && look.whole == 0);
    buffer_fini(&look.before);
    free(seal);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            damaged_log_is_refused_or_lacks_its_last_batch, set_up_store, tear_down_store),
        cmocka_unit_test_setup_teardown(
            damaged_database_is_refused_or_says_the_same, set_up_store, tear_down_store),
        cmocka_unit_test_setup_teardown(
            log_copied_in_by_another_program_is_taken, set_up_store, tear_down_store),
        cmocka_unit_test_setup_teardown(database_changed_by_another_program_is_refused_until_told,
            set_up_store, tear_down_store),
        cmocka_unit_test_setup_teardown(
            backup_by_another_program_is_taken, set_up_store, tear_down_store),
        cmocka_unit_test_setup_teardown(damaged_seal_is_refused, set_up_store, tear_down_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
