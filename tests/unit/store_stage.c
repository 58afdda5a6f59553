#include "store_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/memory.h"
#include "master/store/store_pages.h"

#include <poll.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

void wake(void *context)
{
    struct fixture *fixture = context;
    uint64_t one = 1;
    assert_int_equal(write(fixture->woken, &one, sizeof one), sizeof one);
}

void wait_for_wake(struct fixture *fixture)
{
    struct pollfd poll_fd = {fixture->woken, POLLIN, 0};
    assert_int_equal(poll(&poll_fd, 1, 30000), 1);
    uint64_t count;
    assert_int_equal(read(fixture->woken, &count, sizeof count), sizeof count);
}

void open_store(struct fixture *fixture)
{
    struct error error = {0};
    if (store_open(fixture->folder, wake, fixture, &fixture->store, &error) != 0)
        fail_msg("%s", error.text);
}

void lead_store(struct fixture *fixture)
{
    struct error error = {0};
    open_store(fixture);
    if (store_lead(fixture->store, 77, 1000, &fixture->identity, &error) != 0)
        fail_msg("%s", error.text);
}

void close_store(struct fixture *fixture)
{
    store_close(fixture->store);
    fixture->store = NULL;
}

int set_up_store(void **state)
{
    struct fixture *fixture = xcalloc(1, sizeof *fixture);
    (void)strcpy(fixture->folder, "/tmp/reeve-store-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    fixture->woken = eventfd(0, EFD_CLOEXEC);
    *state = fixture;
    return 0;
}

int tear_down_store(void **state)
{
    struct fixture *fixture = *state;
    store_close(fixture->store);
    assert_int_equal(file_remove_tree(fixture->folder, NULL), 0);
    (void)close(fixture->woken);
    free(fixture);
    return 0;
}

char *store_path(const struct fixture *fixture)
{
    return xasprintf("%s/store.db", fixture->folder);
}

/* Hands over the batch, waits for it and gives it back to the heap. */
void commit(struct fixture *fixture, struct effects *batch)
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

struct run_row make_run(uint64_t key, uint32_t number, uint32_t run_state)
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

struct attempt_row make_attempt(
    uint64_t run, uint32_t task, uint32_t attempt, uint32_t attempt_state)
{
    return (struct attempt_row){.id = {run, task, 0, attempt},
        .state = attempt_state,
        .worker = 3,
        .session = 0xfedcba9876543210,
        .epoch = 1,
        .assigned_at = 1763800000000};
}

void add_run(struct effects *batch, struct run_row row)
{
    effects_add_fact(batch, FACT_RUN)->run = row;
}

void add_attempt(struct effects *batch, struct attempt_row row)
{
    effects_add_fact(batch, FACT_ATTEMPT)->attempt = row;
}

void add_session(struct effects *batch, uint64_t session)
{
    effects_add_fact(batch, FACT_SESSION)->session = (struct session_row){
        .session = session, .worker = 3, .instance = 9, .epoch = 1, .leader = 77};
}

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
    seen->notes += run->note_count;
    for (size_t i = 0; i < run->note_count; i++)
        assert_true(slice_is(run->notes[i].text, "{\"a\":1}"));
    return 0;
}

struct store_loader loader_into(struct seen *seen)
{
    return (struct store_loader){
        .context = seen,
        .dag = see_dag,
        .worker = see_worker,
        .session = see_session,
        .run = see_run,
    };
}
/* Runs SQL on the file, as another program would. */
void run_sql(struct fixture *fixture, const char *sql)
{
    char *path = store_path(fixture);
    sqlite3 *db;
    assert_int_equal(
        sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, store_pages_vfs()),
        SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    free(path);
}
