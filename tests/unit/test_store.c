#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/hash.h"
#include "common/memory.h"
#include "common/random.h"
#include "master/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
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

/* ---- a store in a folder of its own ---- */

struct fixture {
    char folder[64];
    int woken;
    struct store *store;
    struct store_identity identity;
};

static void wake(void *context)
{
    struct fixture *fixture = context;
    uint64_t one = 1;
    assert_int_equal(write(fixture->woken, &one, sizeof one), sizeof one);
}

static void wait_for_wake(struct fixture *fixture)
{
    struct pollfd poll_fd = {fixture->woken, POLLIN, 0};
    assert_int_equal(poll(&poll_fd, 1, 30000), 1);
    uint64_t count;
    assert_int_equal(read(fixture->woken, &count, sizeof count), sizeof count);
}

static void open_store(struct fixture *fixture)
{
    struct error error = {0};
    if (store_open(fixture->folder, wake, fixture, &fixture->store, &error) != 0)
        fail_msg("%s", error.text);
}

static void lead_store(struct fixture *fixture)
{
    struct error error = {0};
    open_store(fixture);
    if (store_lead(fixture->store, 77, 1000, &fixture->identity, &error) != 0)
        fail_msg("%s", error.text);
}

static void close_store(struct fixture *fixture)
{
    store_close(fixture->store);
    fixture->store = NULL;
}

static int set_up(void **state)
{
    struct fixture *fixture = xcalloc(1, sizeof *fixture);
    (void)strcpy(fixture->folder, "/tmp/reeve-store-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    fixture->woken = eventfd(0, EFD_CLOEXEC);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    atomic_store(&write_result, SQLITE_OK);
    atomic_store(&sync_result, SQLITE_OK);
    store_close(fixture->store);
    assert_int_equal(file_remove_tree(fixture->folder, NULL), 0);
    (void)close(fixture->woken);
    free(fixture);
    return 0;
}

static char *store_path(const struct fixture *fixture)
{
    return xasprintf("%s/store.db", fixture->folder);
}

/* Hands over the batch, waits for it and gives it back to the heap. */
static void commit(struct fixture *fixture, struct effects *batch)
{
    store_commit(fixture->store, batch);
    struct effects *back;
    while ((back = store_take_committed(fixture->store)) == NULL) {
        struct error error = {0};
        if (store_state(fixture->store, &error) != STORE_OK)
            fail_msg("%s", error.text);
        wait_for_wake(fixture);
    }
    assert_ptr_equal(back, batch);
    effects_destroy(batch);
}

/* ---- rows ---- */

static struct run_row make_run(uint64_t key, uint32_t number, uint32_t run_state)
{
    struct run_row row = {.key = key,
        .order = number,
        .dag = slice_of("salaries"),
        .number = number,
        .state = run_state,
        .task_count = 1000,
        .context = slice_of("{\"values\":{}}"),
        .submitted_at = 1000 + number};
    memset(row.plan.bytes, (int)number, sizeof row.plan.bytes);
    return row;
}

static struct attempt_row make_attempt(
    uint64_t run, uint32_t task, uint32_t attempt, uint32_t attempt_state)
{
    return (struct attempt_row){.id = {run, task, 0, attempt},
        .state = attempt_state,
        .worker = 3,
        .session = 0xfedcba9876543210,
        .epoch = 1,
        .assigned_at = 1763800000000};
}

static void add_run(struct effects *batch, struct run_row row)
{
    effects_add_fact(batch, FACT_RUN)->run = row;
}

static void add_attempt(struct effects *batch, struct attempt_row row)
{
    effects_add_fact(batch, FACT_ATTEMPT)->attempt = row;
}

static void add_session(struct effects *batch, uint64_t session)
{
    effects_add_fact(batch, FACT_SESSION)->session = (struct session_row){
        .session = session, .worker = 3, .instance = 9, .epoch = 1, .leader = 77};
}

/* What a loader saw. */
struct seen {
    uint32_t dags, workers, sessions, runs;
    uint64_t keys[16];
    uint64_t session;
    size_t attempts, spans;
    uint32_t last_number;
    int refuse;
};

static void see_dag(void *context, const struct dag_row *row)
{
    struct seen *seen = context;
    seen->dags++;
    seen->last_number = row->last_number;
}

static void see_worker(void *context, const struct worker_row *row)
{
    struct seen *seen = context;
    seen->workers++;
    assert_true(row->number > 0);
}

static void see_session(void *context, const struct session_row *row)
{
    struct seen *seen = context;
    seen->sessions++;
    seen->session = row->session;
}

static int see_run(void *context, const struct store_run *run, struct error *error)
{
    struct seen *seen = context;
    if (seen->refuse != 0)
        return error_set(error, seen->refuse, "refused by the test");
    seen->keys[seen->runs++ % 16] = run->run.key;
    seen->attempts += run->attempt_count;
    seen->spans += run->span_count;
    return 0;
}

static struct store_loader loader_into(struct seen *seen)
{
    return (struct store_loader){seen, see_dag, see_worker, see_session, see_run};
}

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

/* Runs SQL on the file, as another program would. */
static void run_sql(struct fixture *fixture, const char *sql)
{
    char *path = store_path(fixture);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
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

/* ---- writing ---- */

static void store_every_row_comes_back_as_it_was(void **state)
{
    struct fixture *fixture = *state;
    lead_store(fixture);
    struct effects *batch = effects_create();
    effects_add_fact(batch, FACT_DAG)->dag = (struct dag_row){slice_of("salaries"), 17};
    struct worker_row worker = {.number = 3, .name = slice_of("w1"), .host = slice_of("h")};
    worker.key[31] = 0xff;
    effects_add_fact(batch, FACT_WORKER)->worker = worker;
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
    assert_int_equal(store_list_attempts(
                         fixture->store, run.key, 0, UINT32_MAX, &arena, &attempts, &count, NULL),
        0);
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
    struct worker_row *got_worker = arena_alloc(&arena, sizeof *got_worker);
    assert_int_equal(store_get_worker(fixture->store, 3, &arena, got_worker, NULL), 0);
    assert_memory_equal(got_worker->key, worker.key, sizeof worker.key);
    assert_int_equal(store_get_worker(fixture->store, 4, &arena, got_worker, NULL), ERR_NOT_FOUND);
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
    assert_int_equal(
        store_list_attempts(fixture->store, 5, 0, 10, &arena, &attempts, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_int_equal(attempts[0].state, ATTEMPT_FAILED);
    assert_int_equal(attempts[1].state, ATTEMPT_SUCCESS);
    assert_int_equal(
        store_list_attempts(fixture->store, 5, 2, 2, &arena, &attempts, &count, NULL), 0);
    assert_int_equal(count, 1);
    struct run_row run;
    assert_int_equal(store_get_run(fixture->store, 5, &arena, &run, NULL), 0);
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
    assert_int_equal(store_get_run(fixture->store, 1, &arena, &run, NULL), 0);
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
    assert_int_equal(store_get_run(fixture->store, 1, &arena, &run, NULL), ERR_NOT_FOUND);
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
    assert_int_equal(store_get_run(fixture->store, 1, &arena, &run, NULL), 0);
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
    assert_int_equal(seen.spans, 1);
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
    (void)store_list_attempts(store, 1, 0, UINT32_MAX, &arena, &attempts, &count, NULL);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    hash_start();
    register_failing_vfs();
    const struct CMUnitTest tests[] = {
        TEST(store_new_folder_begins_at_epoch_one),
        TEST(store_opened_again_keeps_cluster_and_raises_epoch),
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
        TEST(store_load_gives_live_runs_by_order_with_their_rows),
        TEST(store_row_that_cannot_be_is_an_error),
        TEST(store_flipped_bytes_are_survived),
        TEST(store_runs_are_found_by_key_and_given_date),
        TEST(store_list_runs_filters_newest_first),
        TEST(store_old_requests_go_and_new_ones_stay),
        TEST(store_killed_writer_keeps_what_it_reported),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
