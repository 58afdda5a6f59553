#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/memory.h"
#include "store_stage.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- opening ---- */

static void store_new_folder_begins_at_epoch_one(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    assert_int_equal(fixture->identity.epoch, 1);
    assert_int_equal(fixture->identity.leader, 77);
    assert_int_equal(strlen(fixture->identity.cluster), 36);
    struct stat status;
    char *path = store_path(fixture);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    free(path);
}

static void store_opened_again_keeps_cluster_and_raises_epoch(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct store_identity first = fixture->identity;
    close_store(fixture);
    lead_store(fixture);
    assert_string_equal(fixture->identity.cluster, first.cluster);
    assert_int_equal(fixture->identity.epoch, 2);
}

/* FAULTS 37: numbers may have been given twice, of epochs, runs and attempts. */
static void store_restored_leaves_gaps_and_says_so_until_it_is_over(void **state)
{
    struct fixture *fixture = *state;
    struct seen seen = {0};
    struct store_loader loader = loader_into(&seen);
    lead_store(fixture);
    struct effects *batch = effects_create();
    effects_add_fact(batch, FACT_DAG)->dag = (struct dag_row){slice_of("salaries"), 4};
    add_run(batch, make_run(7, 4, RUN_RUNNING));
    commit(fixture, batch);
    close_store(fixture);
    open_store(fixture);
    store_accept_restore(fixture->store);
    assert_int_equal(store_lead(fixture->store, 5, 6, &fixture->identity, NULL), 0);
    assert_int_equal(fixture->identity.epoch, 1 + STORE_RESTORE_GAP + 1);
    assert_true(fixture->identity.restoring);
    assert_int_equal(fixture->identity.restores, 1);
    assert_int_equal(fixture->identity.restored_order, make_run(7, 4, RUN_RUNNING).order);
    assert_int_equal(store_load(fixture->store, &loader, NULL), 0);
    assert_int_equal(seen.last_number, 4 + STORE_RESTORE_GAP);
    close_store(fixture);
    lead_store(fixture);
    assert_true(fixture->identity.restoring);
    batch = effects_create();
    (void)effects_add_fact(batch, FACT_RESTORED);
    commit(fixture, batch);
    close_store(fixture);
    lead_store(fixture);
    assert_false(fixture->identity.restoring);
    assert_int_equal(fixture->identity.restores, 1);
}

static void store_two_new_stores_have_different_clusters(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct store_identity first = fixture->identity;
    close_store(fixture);
    assert_int_equal(file_remove_tree(fixture->folder, NULL), 0);
    lead_store(fixture);
    assert_string_not_equal(fixture->identity.cluster, first.cluster);
}

static void store_folder_in_use_is_refused(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct store *second = NULL;
    struct error error = {0};
    assert_int_equal(store_open(fixture->folder, wake, fixture, &second, &error), ERR_REFUSED);
    assert_non_null(strstr(error.text, "in use"));
    assert_null(second);
}

/* Opening must refuse with this code, say this, and leave every byte of the file as it was. */
static void assert_refused_untouched(struct fixture *fixture, int code, const char *text)
{
    char *path = store_path(fixture);
    struct buffer before = {0}, after = {0};
    assert_int_equal(file_read(path, SIZE_MAX, &before, NULL), 0);
    struct store *store = NULL;
    struct error error = {0};
    assert_int_equal(store_open(fixture->folder, wake, fixture, &store, &error), code);
    assert_non_null(strstr(error.text, text));
    assert_null(store);
    assert_int_equal(file_read(path, SIZE_MAX, &after, NULL), 0);
    assert_true(slice_equal(buffer_slice(&before), buffer_slice(&after)));
    buffer_fini(&before);
    buffer_fini(&after);
    free(path);
}

static void write_store_file(struct fixture *fixture, struct slice bytes)
{
    char *path = store_path(fixture);
    assert_int_equal(file_replace(path, bytes, 0600, NULL), 0);
    free(path);
}

static void store_text_file_is_refused_untouched(void **state)
{
    static const char text[200] =
        "These are my notes, not a database. They shall stay as they are.";
    write_store_file(*state, slice_make(text, sizeof text));
    assert_refused_untouched(*state, ERR_REFUSED, "not a store");
}

static void store_empty_file_is_refused_untouched(void **state)
{
    write_store_file(*state, slice_make("", 0));
    assert_refused_untouched(*state, ERR_CORRUPT, "too short");
}

static void store_other_programs_database_is_refused_untouched(void **state)
{
    run_sql(*state, "CREATE TABLE recipes (name TEXT); INSERT INTO recipes VALUES ('soup')");
    assert_refused_untouched(*state, ERR_REFUSED, "another program");
}

static void store_later_version_is_refused_untouched(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    close_store(fixture);
    run_sql(fixture, "PRAGMA user_version = 99");
    assert_refused_untouched(fixture, ERR_VERSION, "99");
}

/* The version then stands in the write-ahead log only, which the raw header does not show. */
static void store_later_version_in_the_log_is_refused(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    close_store(fixture);
    pid_t child = fork();
    if (child == 0) {
        char *path = store_path(fixture);
        sqlite3 *db;
        if (sqlite3_open(path, &db) != SQLITE_OK ||
            sqlite3_exec(db, "PRAGMA user_version = 98", NULL, NULL, NULL) != SQLITE_OK)
            _exit(1);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_refused_untouched(fixture, ERR_VERSION, "98");
}

static void store_cut_off_file_is_refused_untouched(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    close_store(fixture);
    char *path = store_path(fixture);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(truncate(path, status.st_size / 2), 0);
    free(path);
    assert_refused_untouched(fixture, ERR_CORRUPT, "cut off");
}

static void store_without_its_tables_is_refused(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    close_store(fixture);
    run_sql(fixture, "DROP TABLE attempt");
    assert_refused_untouched(fixture, ERR_CORRUPT, "attempt");
}

static void store_without_its_identity_is_refused(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    close_store(fixture);
    run_sql(fixture, "DELETE FROM meta");
    assert_refused_untouched(fixture, ERR_CORRUPT, "identity");
}

static void store_missing_file_beside_its_log_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char *path = store_path(fixture);
    char *wal = xasprintf("%s-wal", path);
    assert_int_equal(file_replace(wal, slice_of("an old log"), 0600, NULL), 0);
    struct store *store = NULL;
    struct error error = {0};
    assert_int_equal(store_open(fixture->folder, wake, fixture, &store, &error), ERR_CORRUPT);
    assert_non_null(strstr(error.text, "write-ahead log"));
    assert_int_not_equal(access(path, F_OK), 0);
    free(wal);
    free(path);
}

static void store_half_made_file_of_a_crash_is_made_again(void **state)
{
    struct fixture *fixture = *state;
    char *path = xasprintf("%s/store.db.new", fixture->folder);
    assert_int_equal(file_replace(path, slice_of("half"), 0600, NULL), 0);
    lead_store(fixture);
    assert_int_not_equal(access(path, F_OK), 0);
    free(path);
}
/* ---- loading ---- */

static void store_load_gives_live_runs_by_order_with_their_rows(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    effects_add_fact(batch, FACT_DAG)->dag = (struct dag_row){slice_of("salaries"), 4};
    effects_add_fact(batch, FACT_WORKER)->worker = (struct worker_row){.number = 3};
    add_session(batch, 0xfedcba9876543210);
    add_session(batch, 1);
    struct run_row late = make_run(30, 3, RUN_RUNNING);
    late.order = 9;
    add_run(batch, late);
    add_run(batch, make_run(20, 2, RUN_QUEUED));
    add_run(batch, make_run(10, 1, RUN_SUCCESS));
    add_attempt(batch, make_attempt(10, 0, 1, ATTEMPT_SUCCESS));
    add_attempt(batch, make_attempt(30, 7, 1, ATTEMPT_LOST));
    add_attempt(batch, make_attempt(30, 7, 2, ATTEMPT_ASSIGNED));
    effects_add_fact(batch, FACT_SPAN)->span =
        (struct span_row){.run = 30, .order = 1, .first = 1, .last = 1, .state = SPAN_RESET};
    effects_add_fact(batch, FACT_SPAN)->span =
        (struct span_row){.run = 30, .order = 2, .first = 7, .last = 7, .state = SPAN_CANCEL_WISH};
    struct note_row note = {.id = {.run = 30, .task = 7, .attempt = 2},
        .note = 1,
        .at = 5,
        .text = slice_of("{\"a\":1}")};
    effects_add_fact(batch, FACT_NOTE)->note = note;
    effects_add_fact(batch, FACT_NOTE)->note = note;
    commit(fixture, batch);
    struct seen seen = {0};
    struct store_loader loader = loader_into(&seen);
    struct error error = {0};
    if (store_load(fixture->store, &loader, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(seen.dags, 1);
    assert_int_equal(seen.workers, 1);
    assert_int_equal(seen.sessions, 1);
    assert_true(seen.session == 0xfedcba9876543210);
    assert_int_equal(seen.runs, 2);
    assert_int_equal(seen.keys[0], 20);
    assert_int_equal(seen.keys[1], 30);
    assert_int_equal(seen.attempts, 2);
    assert_int_equal(seen.spans, 2);
    assert_int_equal(seen.notes, 1);
    seen = (struct seen){0};
    assert_int_equal(store_load_run(fixture->store, 10, &loader, NULL), 0);
    assert_true(seen.runs == 1 && seen.attempts == 1);
    assert_int_equal(store_load_run(fixture->store, 11, &loader, NULL), ERR_NOT_FOUND);
    seen.refuse = ERR_CORRUPT;
    assert_int_equal(store_load(fixture->store, &loader, &error), ERR_CORRUPT);
    assert_string_equal(error.text, "refused by the test");
}

static void store_row_that_cannot_be_is_an_error(void **state)
{
    static const char *const damages[] = {
        "UPDATE run SET state = 2, plan = x'00'",
        "UPDATE run SET dag = ''",
        "UPDATE run SET state = 1, number = -1",
        "UPDATE attempt SET state = 77",
        "UPDATE attempt SET task = 5000",
        "UPDATE attempt SET artifacts = x'0011'",
        "UPDATE span SET first = 9, last = 8",
        "UPDATE span SET state = 99",
        "UPDATE span SET last = 5000",
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        lead_store(fixture);
        struct effects *batch = effects_create();
        add_run(batch, make_run(1, 1, RUN_RUNNING));
        add_attempt(batch, make_attempt(1, 1, 1, ATTEMPT_ASSIGNED));
        effects_add_fact(batch, FACT_SPAN)->span =
            (struct span_row){.run = 1, .state = TASK_FAILED};
        commit(fixture, batch);
        close_store(fixture);
        run_sql(fixture, damages[i]);
        open_store(fixture);
        struct seen seen = {0};
        struct store_loader loader = loader_into(&seen);
        struct error error = {0};
        assert_int_equal(store_load(fixture->store, &loader, &error), ERR_CORRUPT);
        assert_non_null(strstr(error.text, "damaged"));
        close_store(fixture);
        assert_int_equal(file_remove_tree(fixture->folder, NULL), 0);
    }
    assert_int_equal(mkdir(fixture->folder, 0700), 0);
}

/* Asks everything of a store that may be damaged; only a crash or a sanitizer's word fails the
 * test. */
static void ask_everything(struct fixture *fixture)
{
    struct store *store = fixture->store;
    struct arena arena = {0};
    struct seen seen = {0};
    struct store_loader loader = loader_into(&seen);
    struct run_row run, *runs;
    struct attempt_row *attempts;
    struct slice answer;
    size_t count;
    (void)store_load(store, &loader, NULL);
    (void)store_find_run(store, slice_of("salaries"), 1, &arena, &run, NULL);
    (void)store_last_run(store, slice_of(""), &arena, &run, NULL);
    (void)store_find_request(store, 1, &arena, &answer, NULL);
    struct store_runs_filter filter = {.since = 1, .limit = 100};
    (void)store_list_runs(store, &filter, &arena, &runs, &count, NULL);
    struct store_attempts_filter all = {1, 0, UINT32_MAX};
    (void)store_list_attempts(store, &all, &arena, &attempts, &count, NULL);
    arena_fini(&arena);
}

static void fill_store(struct fixture *fixture, uint32_t runs)
{
    struct effects *batch = effects_create();
    for (uint32_t i = 1; i <= runs; i++) {
        add_run(batch, make_run(i, i, i % 2 == 0 ? RUN_RUNNING : RUN_SUCCESS));
        for (uint32_t task = 0; task < 20; task++)
            add_attempt(batch, make_attempt(i, task, 1, ATTEMPT_SUCCESS));
        effects_add_fact(batch, FACT_REQUEST)->request = (struct request_row){i, slice_of("a"), i};
    }
    commit(fixture, batch);
}

static void store_flipped_bytes_are_survived(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    fill_store(fixture, 40);
    close_store(fixture);
    char *path = store_path(fixture);
    struct buffer good = {0};
    assert_int_equal(file_read(path, SIZE_MAX, &good, NULL), 0);
    uint64_t seed = 20261123;
    for (int round = 0; round < 150; round++) {
        struct buffer bad = {0};
        buffer_append_slice(&bad, buffer_slice(&good));
        for (int flips = 0; flips < 1 + round % 8; flips++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            /* Every third round in the first page, where the header and the schema are. */
            size_t at = (size_t)(seed >> 16) % (round % 3 == 0 ? 4096 : bad.length);
            bad.data[at] = (char)(bad.data[at] ^ (char)(1 << (seed >> 60) % 8));
        }
        assert_int_equal(file_replace(path, buffer_slice(&bad), 0600, NULL), 0);
        buffer_fini(&bad);
        struct error error = {0};
        if (store_open(fixture->folder, wake, fixture, &fixture->store, &error) == 0) {
            ask_everything(fixture);
            close_store(fixture);
        } else {
            assert_true(error.code != 0 && error.text[0] != '\0');
        }
    }
    buffer_fini(&good);
    free(path);
}
/* ---- questions ---- */

static void store_runs_are_found_by_key_and_given_date(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    struct run_row run = make_run(1, 1, RUN_SUCCESS);
    run.key_text = slice_of("nightly");
    run.logical_date = 500;
    add_run(batch, run);
    run = make_run(2, 2, RUN_SUCCESS);
    run.logical_date = 500;
    run.date_given = true;
    add_run(batch, run);
    run = make_run(3, 3, RUN_QUEUED);
    run.logical_date = 500;
    run.date_given = true;
    add_run(batch, run);
    commit(fixture, batch);
    struct arena arena = {0};
    struct slice dag = slice_of("salaries");
    assert_int_equal(
        store_find_key(fixture->store, dag, slice_of("nightly"), &arena, &run, NULL), 0);
    assert_int_equal(run.number, 1);
    assert_int_equal(
        store_find_key(fixture->store, dag, slice_of(""), &arena, &run, NULL), ERR_NOT_FOUND);
    assert_int_equal(
        store_find_key(fixture->store, slice_of("x"), slice_of("nightly"), &arena, &run, NULL),
        ERR_NOT_FOUND);
    assert_int_equal(store_find_date(fixture->store, dag, 500, &arena, &run, NULL), 0);
    assert_int_equal(run.number, 2);
    assert_int_equal(store_find_date(fixture->store, dag, 501, &arena, &run, NULL), ERR_NOT_FOUND);
    assert_int_equal(store_last_run(fixture->store, dag, &arena, &run, NULL), 0);
    assert_int_equal(run.number, 3);
    assert_int_equal(
        store_last_run(fixture->store, slice_of("x"), &arena, &run, NULL), ERR_NOT_FOUND);
    arena_fini(&arena);
}

static void store_list_runs_filters_newest_first(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    for (uint32_t i = 1; i <= 10; i++) {
        struct run_row run = make_run(i, i, i % 2 == 0 ? RUN_FAILED : RUN_SUCCESS);
        run.dag = slice_of(i <= 5 ? "a" : "b");
        add_run(batch, run);
    }
    commit(fixture, batch);
    static const struct {
        const char *dag;
        uint32_t state;
        int64_t since;
        uint32_t limit, count, newest;
    } cases[] = {
        {"", 0, 0, 100, 10, 10},
        {"", 0, 0, 3, 3, 10},
        {"a", 0, 0, 100, 5, 5},
        {"", RUN_SUCCESS, 0, 100, 5, 9},
        {"a", RUN_FAILED, 0, 100, 2, 4},
        {"", 0, 1008, 100, 3, 10},
        {"b", RUN_SUCCESS, 1008, 100, 1, 9},
        {"c", 0, 0, 100, 0, 0},
        {"", RUN_FAILED, 1009, 100, 1, 10},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena = {0};
        struct store_runs_filter filter = {
            slice_of(cases[i].dag), cases[i].state, cases[i].since, cases[i].limit};
        struct run_row *runs;
        size_t count;
        struct error error = {0};
        if (store_list_runs(fixture->store, &filter, &arena, &runs, &count, &error) != 0)
            fail_msg("%s", error.text);
        assert_int_equal(count, cases[i].count);
        if (count > 0)
            assert_int_equal(runs[0].number, cases[i].newest);
        for (size_t k = 1; k < count; k++)
            assert_true(runs[k].order < runs[k - 1].order);
        arena_fini(&arena);
    }
}

static void store_old_requests_go_and_new_ones_stay(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    for (uint64_t i = 1; i <= 100010; i++)
        effects_add_fact(batch, FACT_REQUEST)->request = (struct request_row){i, slice_of("x"), 1};
    commit(fixture, batch);
    struct arena arena = {0};
    struct slice answer;
    assert_int_equal(store_find_request(fixture->store, 10, &arena, &answer, NULL), ERR_NOT_FOUND);
    assert_int_equal(store_find_request(fixture->store, 11, &arena, &answer, NULL), 0);
    assert_int_equal(store_find_request(fixture->store, 100010, &arena, &answer, NULL), 0);
    arena_fini(&arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_store, tear_down_store)

int main(void)
{
    hash_start();
    const struct CMUnitTest tests[] = {
        TEST(store_new_folder_begins_at_epoch_one),
        TEST(store_opened_again_keeps_cluster_and_raises_epoch),
        TEST(store_restored_leaves_gaps_and_says_so_until_it_is_over),
        TEST(store_two_new_stores_have_different_clusters),
        TEST(store_folder_in_use_is_refused),
        TEST(store_text_file_is_refused_untouched),
        TEST(store_empty_file_is_refused_untouched),
        TEST(store_other_programs_database_is_refused_untouched),
        TEST(store_later_version_is_refused_untouched),
        TEST(store_later_version_in_the_log_is_refused),
        TEST(store_cut_off_file_is_refused_untouched),
        TEST(store_without_its_tables_is_refused),
        TEST(store_without_its_identity_is_refused),
        TEST(store_missing_file_beside_its_log_is_refused),
        TEST(store_half_made_file_of_a_crash_is_made_again),
        TEST(store_load_gives_live_runs_by_order_with_their_rows),
        TEST(store_row_that_cannot_be_is_an_error),
        TEST(store_flipped_bytes_are_survived),
        TEST(store_runs_are_found_by_key_and_given_date),
        TEST(store_list_runs_filters_newest_first),
        TEST(store_old_requests_go_and_new_ones_stay),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
