#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/memory.h"
#include "common/random.h"
#include "store_stage.h"

#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a file system that fails on demand: sqlite's own, with writes and syncs in between ---- */

static atomic_int write_result, sync_result, refused_writes;
static sqlite3_vfs *real_vfs;
/* sqlite has a table of functions for databases and one for their logs; writes and syncs are the
 * same in both. */
enum { METHODS_MAX = 4 };
static const sqlite3_io_methods *real_methods[METHODS_MAX];
static sqlite3_io_methods failing_methods[METHODS_MAX];

static int failing_write(sqlite3_file *file, const void *bytes, int count, sqlite3_int64 offset)
{
    int result = atomic_load(&write_result);
    if (result != SQLITE_OK) {
        atomic_fetch_add(&refused_writes, 1);
        return result;
    }
    return real_methods[0]->xWrite(file, bytes, count, offset);
}

static int failing_sync(sqlite3_file *file, int flags)
{
    int result = atomic_load(&sync_result);
    return result != SQLITE_OK ? result : real_methods[0]->xSync(file, flags);
}

static int failing_open(
    sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    (void)vfs;
    int rc = real_vfs->xOpen(real_vfs, name, file, flags, ret_flags);
    if (file->pMethods == NULL)
        return rc;
    size_t i = 0;
    while (real_methods[i] != NULL && real_methods[i] != file->pMethods)
        i++;
    assert_true(i < METHODS_MAX - 1);
    if (real_methods[i] == NULL) {
        real_methods[i] = file->pMethods;
        failing_methods[i] = *real_methods[i];
        failing_methods[i].xWrite = failing_write;
        failing_methods[i].xSync = failing_sync;
    }
    file->pMethods = &failing_methods[i];
    return rc;
}

static void register_failing_vfs(void)
{
    static sqlite3_vfs vfs;
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.zName = "failing";
    vfs.xOpen = failing_open;
    assert_int_equal(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
}

static int tear_down(void **state)
{
    atomic_store(&write_result, SQLITE_OK);
    atomic_store(&sync_result, SQLITE_OK);
    return tear_down_store(state);
}

/* ---- writing ---- */

static void store_every_row_comes_back_as_it_was(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    effects_add_fact(batch, FACT_DAG)->dag = (struct dag_row){slice_of("salaries"), 17};
    add_session(batch, 0xfedcba9876543210);
    struct run_row run = make_run(UINT64_MAX, 17, RUN_RUNNING);
    static const char bundle[HASH_BYTES] = {1, 2, 3};
    run.bundle = slice_make(bundle, sizeof bundle);
    run.key_text = slice_of("K");
    run.date_given = true;
    run.logical_date = -5;
    run.cancelled = true;
    add_run(batch, run);
    struct attempt_row attempt = make_attempt(run.key, 999, 2, ATTEMPT_FAILED);
    attempt.exit_code = -1;
    attempt.signal = 9;
    attempt.reason = REASON_SIGNAL;
    attempt.error = slice_make("killed\0by", 9);
    attempt.outputs = slice_of("{\"rows\":\"3\"}");
    attempt.artifacts = slice_make(bundle, sizeof bundle);
    attempt.log_bytes = UINT64_MAX;
    attempt.round = 4;
    add_attempt(batch, attempt);
    effects_add_fact(batch, FACT_SPAN)->span =
        (struct span_row){run.key, 1, 5, 9, TASK_SKIPPED, REASON_UPSTREAM, slice_of("why"), 12};
    effects_add_fact(batch, FACT_REQUEST)->request = (struct request_row){7, slice_of("answer"), 1};
    commit(fixture, batch);
    close_store(fixture);

    open_store(fixture);
    struct arena arena = {0};
    struct run_row got;
    assert_int_equal(
        store_find_run(fixture->store, slice_of("salaries"), 17, &arena, &got, NULL), 0);
    assert_true(got.key == run.key && got.order == 17 && got.state == RUN_RUNNING && got.cancelled);
    assert_true(slice_equal(got.bundle, run.bundle) && slice_equal(got.context, run.context));
    assert_true(got.logical_date == -5 && got.date_given && got.task_count == 1000);
    assert_memory_equal(got.plan.bytes, run.plan.bytes, HASH_BYTES);
    struct attempt_row *attempts;
    size_t count;
    struct store_attempts_filter all = {run.key, 0, UINT32_MAX};
    assert_int_equal(store_list_attempts(fixture->store, &all, &arena, &attempts, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_memory_equal(&attempts->id, &attempt.id, sizeof attempt.id);
    assert_true(attempts->exit_code == -1 && attempts->signal == 9 && attempts->round == 4);
    assert_true(attempts->log_bytes == UINT64_MAX && attempts->session == attempt.session);
    assert_true(slice_equal(attempts->error, attempt.error));
    assert_true(slice_equal(attempts->outputs, attempt.outputs));
    assert_true(slice_equal(attempts->artifacts, attempt.artifacts));
    struct span_row *spans;
    assert_int_equal(store_list_spans(fixture->store, run.key, &arena, &spans, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_true(spans->run == run.key && spans->first == 5 && spans->last == 9 && spans->at == 12);
    assert_true(slice_is(spans->error, "why"));
    struct slice answer;
    assert_int_equal(store_find_request(fixture->store, 7, &arena, &answer, NULL), 0);
    assert_true(slice_is(answer, "answer"));
    struct dag_row *dags;
    assert_int_equal(store_list_dags(fixture->store, &arena, &dags, &count, NULL), 0);
    assert_true(count == 1 && slice_is(dags->dag, "salaries") && dags->last_number == 17);
    arena_fini(&arena);
}

static void store_rows_written_again_replace_the_older(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    add_run(batch, make_run(5, 1, RUN_QUEUED));
    add_attempt(batch, make_attempt(5, 2, 1, ATTEMPT_ASSIGNED));
    add_attempt(batch, make_attempt(5, 1, 1, ATTEMPT_ASSIGNED));
    add_attempt(batch, make_attempt(5, 2, 1, ATTEMPT_SUCCESS));
    commit(fixture, batch);
    batch = effects_create();
    add_run(batch, make_run(5, 1, RUN_SUCCESS));
    add_attempt(batch, make_attempt(5, 1, 1, ATTEMPT_FAILED));
    commit(fixture, batch);
    struct arena arena = {0};
    struct attempt_row *attempts;
    size_t count;
    struct store_attempts_filter filter = {.run = 5, .first = 0, .last = 10};
    assert_int_equal(
        store_list_attempts(fixture->store, &filter, &arena, &attempts, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_int_equal(attempts[0].state, ATTEMPT_FAILED);
    assert_int_equal(attempts[1].state, ATTEMPT_SUCCESS);
    filter.first = filter.last = 2;
    assert_int_equal(
        store_list_attempts(fixture->store, &filter, &arena, &attempts, &count, NULL), 0);
    assert_int_equal(count, 1);
    struct run_row run;
    assert_int_equal(
        store_find_run(fixture->store, slice_of("salaries"), 1, &arena, &run, NULL), 0);
    assert_int_equal(run.state, RUN_SUCCESS);
    arena_fini(&arena);
}

static void store_batches_come_back_in_order(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *first = effects_create(), *second = effects_create();
    add_run(first, make_run(1, 1, RUN_QUEUED));
    store_commit(fixture->store, first);
    store_commit(fixture->store, second); /* asks for nothing, and must not overtake */
    assert_int_equal(store_in_flight(fixture->store), 2);
    struct effects *back[2] = {NULL, NULL};
    for (size_t i = 0; i < 2;) {
        back[i] = store_take_committed(fixture->store);
        if (back[i] != NULL)
            i++;
        else
            wait_for_wake(fixture);
    }
    assert_ptr_equal(back[0], first);
    assert_ptr_equal(back[1], second);
    assert_int_equal(store_in_flight(fixture->store), 0);
    effects_destroy(first);
    effects_destroy(second);
}

static void store_closing_commits_what_is_out(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    add_run(batch, make_run(1, 1, RUN_QUEUED));
    store_commit(fixture->store, batch);
    close_store(fixture);
    open_store(fixture);
    struct arena arena = {0};
    struct run_row run;
    assert_int_equal(
        store_find_run(fixture->store, slice_of("salaries"), 1, &arena, &run, NULL), 0);
    arena_fini(&arena);
}

/* Waits for a state, and gives its text. */
static void wait_for_state(
    struct fixture *fixture, enum store_state wanted, struct error *ret_error)
{
    while (store_state(fixture->store, ret_error) != wanted)
        wait_for_wake(fixture);
}

static void store_fenced_by_a_later_epoch_fails(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    run_sql(fixture, "UPDATE meta SET epoch = epoch + 1, leader = 5");
    struct effects *batch = effects_create();
    add_run(batch, make_run(1, 1, RUN_QUEUED));
    store_commit(fixture->store, batch);
    struct error error = {0};
    wait_for_state(fixture, STORE_FAILED, &error);
    assert_non_null(strstr(error.text, "another master leads"));
    assert_null(store_take_committed(fixture->store));
    struct arena arena = {0};
    struct run_row run;
    assert_int_equal(
        store_find_run(fixture->store, slice_of("salaries"), 1, &arena, &run, NULL), ERR_NOT_FOUND);
    arena_fini(&arena);
}

static void store_attempt_of_no_run_fails_whole(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    effects_add_fact(batch, FACT_DAG)->dag = (struct dag_row){slice_of("d"), 1};
    add_attempt(batch, make_attempt(404, 0, 1, ATTEMPT_ASSIGNED));
    store_commit(fixture->store, batch);
    struct error error = {0};
    wait_for_state(fixture, STORE_FAILED, &error);
    close_store(fixture);
    open_store(fixture);
    struct arena arena = {0};
    struct dag_row *dags;
    size_t count = 9;
    assert_int_equal(store_list_dags(fixture->store, &arena, &dags, &count, NULL), 0);
    assert_int_equal(count, 0);
    arena_fini(&arena);
}

static void store_full_disk_keeps_trying_the_same_batch(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    add_run(batch, make_run(1, 1, RUN_QUEUED));
    atomic_store(&write_result, SQLITE_FULL);
    store_commit(fixture->store, batch);
    struct error error = {0};
    wait_for_state(fixture, STORE_FULL, &error);
    assert_int_equal(error.code, ERR_NO_SPACE);
    assert_null(store_take_committed(fixture->store));
    /* Once more in vain, so that a rollback was followed by a whole second try. */
    wait_for_wake(fixture);
    atomic_store(&write_result, SQLITE_OK);
    wait_for_state(fixture, STORE_OK, NULL);
    assert_ptr_equal(store_take_committed(fixture->store), batch);
    effects_destroy(batch);
    struct arena arena = {0};
    struct run_row run;
    assert_int_equal(
        store_find_run(fixture->store, slice_of("salaries"), 1, &arena, &run, NULL), 0);
    arena_fini(&arena);
}

static void store_full_disk_does_not_hold_up_closing(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    add_run(batch, make_run(1, 1, RUN_QUEUED));
    atomic_store(&write_result, SQLITE_FULL);
    store_commit(fixture->store, batch);
    wait_for_state(fixture, STORE_FULL, NULL);
    close_store(fixture);
    assert_true(atomic_load(&refused_writes) > 0);
}

static void store_failed_write_ends_it(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    add_run(batch, make_run(1, 1, RUN_QUEUED));
    atomic_store(&write_result, SQLITE_IOERR_WRITE);
    store_commit(fixture->store, batch);
    struct error error = {0};
    wait_for_state(fixture, STORE_FAILED, &error);
    assert_non_null(strstr(error.text, "store.db"));
    assert_null(store_take_committed(fixture->store));
}

static void store_failed_fsync_ends_it_even_for_want_of_space(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    add_run(batch, make_run(1, 1, RUN_QUEUED));
    atomic_store(&sync_result, SQLITE_IOERR_FSYNC);
    errno = ENOSPC;
    store_commit(fixture->store, batch);
    wait_for_state(fixture, STORE_FAILED, NULL);
    assert_null(store_take_committed(fixture->store));
}

static void store_full_disk_at_opening_is_named(void **state)
{
    struct fixture *fixture = *state;
    atomic_store(&write_result, SQLITE_FULL);
    struct store *store = NULL;
    struct error error = {0};
    assert_int_equal(store_open(fixture->folder, wake, fixture, &store, &error), ERR_NO_SPACE);
    atomic_store(&write_result, SQLITE_OK);
    lead_store(fixture);
}
/* ---- crashes ---- */

enum { CRASH_ATTEMPTS = 50 };

/* Commits batch after batch, from the first run that is not there; says each one's number once it
 * is back. */
static void write_until_killed(struct fixture *fixture, uint32_t number, int report)
{
    lead_store(fixture);
    for (;; number++) {
        struct effects *batch = effects_create();
        effects_add_fact(batch, FACT_DAG)->dag = (struct dag_row){slice_of("salaries"), number};
        add_run(batch, make_run(number, number, RUN_RUNNING));
        for (uint32_t task = 0; task < CRASH_ATTEMPTS; task++)
            add_attempt(batch, make_attempt(number, task, 1, ATTEMPT_ASSIGNED));
        commit(fixture, batch);
        if (write(report, &number, sizeof number) != sizeof number)
            _exit(1);
    }
}

/* The last number that the child reported; kills it after `count` reports. */
static uint32_t kill_after(pid_t child, int report, uint32_t count)
{
    uint32_t number = 0, last = 0;
    while (read(report, &number, sizeof number) == sizeof number) {
        last = number;
        if (count > 0 && --count == 0)
            assert_int_equal(kill(child, SIGKILL), 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return last;
}

/* Every run up to the last that is there is whole; returns that last one. */
static uint32_t check_whole(struct fixture *fixture)
{
    struct arena arena = {0};
    struct run_row run;
    assert_int_equal(store_last_run(fixture->store, slice_of("salaries"), &arena, &run, NULL), 0);
    struct dag_row *dags;
    size_t count;
    assert_int_equal(store_list_dags(fixture->store, &arena, &dags, &count, NULL), 0);
    assert_int_equal(dags[0].last_number, run.number);
    struct seen seen = {0};
    struct store_loader loader = loader_into(&seen);
    assert_int_equal(store_load(fixture->store, &loader, NULL), 0);
    assert_int_equal(seen.runs, run.number);
    assert_int_equal(seen.attempts, (size_t)run.number * CRASH_ATTEMPTS);
    arena_fini(&arena);
    return run.number;
}

static void store_killed_writer_keeps_what_it_reported(void **state)
{
    struct fixture *fixture = *state;
    uint32_t there = 0;
    for (uint32_t round = 1; round <= 12; round++) {
        int report[2];
        assert_int_equal(pipe(report), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            (void)close(report[0]);
            write_until_killed(fixture, there + 1, report[1]);
        }
        (void)close(report[1]);
        uint32_t reported = kill_after(child, report[0], 1 + (uint32_t)(random_id() % 40));
        (void)close(report[0]);
        lead_store(fixture);
        assert_int_equal(fixture->identity.epoch, 2 * round);
        there = check_whole(fixture);
        assert_true(there >= reported);
        close_store(fixture);
    }
}

/* ---- what is said too late ---- */

static size_t lates_of(struct fixture *fixture, struct arena *arena, struct late_row **ret_rows)
{
    struct store_attempts_filter filter = {10, 0, UINT32_MAX};
    struct error error = {0};
    size_t count = 0;
    if (store_list_late(fixture->store, &filter, arena, ret_rows, &count, &error) != 0)
        fail_msg("%s", error.text);
    return count;
}

static void add_late(struct effects *batch, uint32_t task, uint32_t worker, int64_t told_at)
{
    effects_add_fact(batch, FACT_LATE)->late = (struct late_row){
        .id = {.run = 10, .task = task, .attempt = 1},
        .worker = worker,
        .state = ATTEMPT_SUCCESS,
        .told_at = told_at,
        .started_at = 1,
        .ended_at = told_at - 1,
        .sure = true,
    };
}

static struct attempt_row lost_attempt(uint32_t task, uint32_t reason, int64_t ended_at)
{
    struct attempt_row row = make_attempt(10, task, 1, ATTEMPT_LOST);
    row.worker = 3;
    row.session = 5;
    row.reason = reason;
    row.ended_at = ended_at;
    return row;
}

static void add_swept(struct effects *batch, int64_t at)
{
    effects_add_fact(batch, FACT_SWEPT)->swept =
        (struct swept_row){.worker = 3, .instance = 99, .at = at};
}

static void store_late_end_is_kept_of_what_was_given_up_and_of_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    struct arena arena = {0};
    struct late_row *rows;
    lead_store(fixture);
    struct effects *batch = effects_create();
    add_run(batch, make_run(10, 1, RUN_RUNNING));
    add_late(batch, 0, 3, 50); /* in the very batch that gives it up */
    add_attempt(batch, lost_attempt(0, REASON_WORKER_LOST, 40));
    add_attempt(batch, lost_attempt(1, REASON_NOT_STARTED, 40));
    add_attempt(batch, lost_attempt(2, REASON_WORKER_LOST, 40));
    add_attempt(batch, make_attempt(10, 3, 1, ATTEMPT_SUCCESS));
    commit(fixture, batch);
    batch = effects_create();
    add_late(batch, 0, 3, 60); /* told again */
    add_late(batch, 1, 3, 60);
    add_late(batch, 2, 4, 60); /* by another worker */
    add_late(batch, 3, 3, 60);
    add_late(batch, 4, 3, 60); /* there is none */
    commit(fixture, batch);
    assert_int_equal(lates_of(fixture, &arena, &rows), 1);
    assert_true(rows[0].id.run == 10 && rows[0].id.task == 0 && rows[0].id.attempt == 1);
    assert_true(rows[0].told_at == 50 && rows[0].ended_at == 49 && rows[0].sure);
    size_t count;
    assert_int_equal(store_list_late_told(fixture->store, 50, &arena, &rows, &count, NULL), 0);
    assert_true(count == 1 && rows[0].id.run == 10);
    arena_fini(&arena);
}

static void store_swept_runner_leaves_in_doubt_what_was_given_up_before(void **state)
{
    struct fixture *fixture = *state;
    struct arena arena = {0};
    struct late_row *rows;
    lead_store(fixture);
    struct effects *batch = effects_create();
    add_run(batch, make_run(10, 1, RUN_RUNNING));
    effects_add_fact(batch, FACT_SESSION)->session =
        (struct session_row){.session = 5, .worker = 3, .instance = 99};
    add_attempt(batch, lost_attempt(0, REASON_WORKER_LOST, 40));
    commit(fixture, batch);
    batch = effects_create();
    add_attempt(batch, lost_attempt(1, REASON_WORKER_LOST, 70)); /* that word gave it up */
    add_swept(batch, 70);
    commit(fixture, batch);
    batch = effects_create();
    add_swept(batch, 90); /* told again */
    commit(fixture, batch);
    assert_int_equal(lates_of(fixture, &arena, &rows), 1);
    assert_true(rows[0].id.task == 0 && rows[0].ended_at == 70 && !rows[0].sure);
    /* What its worker knows of it counts more. */
    batch = effects_create();
    add_late(batch, 0, 3, 95);
    commit(fixture, batch);
    assert_int_equal(lates_of(fixture, &arena, &rows), 1);
    assert_true(rows[0].told_at == 95 && rows[0].ended_at == 94 && rows[0].sure);
    arena_fini(&arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_store, tear_down)

int main(void)
{
    hash_start();
    register_failing_vfs();
    const struct CMUnitTest tests[] = {
        TEST(store_every_row_comes_back_as_it_was),
        TEST(store_rows_written_again_replace_the_older),
        TEST(store_batches_come_back_in_order),
        TEST(store_closing_commits_what_is_out),
        TEST(store_fenced_by_a_later_epoch_fails),
        TEST(store_attempt_of_no_run_fails_whole),
        TEST(store_full_disk_keeps_trying_the_same_batch),
        TEST(store_full_disk_does_not_hold_up_closing),
        TEST(store_failed_write_ends_it),
        TEST(store_failed_fsync_ends_it_even_for_want_of_space),
        TEST(store_full_disk_at_opening_is_named),
        TEST(store_killed_writer_keeps_what_it_reported),
        TEST(store_late_end_is_kept_of_what_was_given_up_and_of_nothing_else),
        TEST(store_swept_runner_leaves_in_doubt_what_was_given_up_before),
    };
    return cmocka_run_group_tests_name("store_write", tests, NULL, NULL);
}
