/*
 * One batch, one transaction. Rows of attempts, which are nearly all, are written last, in the
 * order of their key, and of several rows of one attempt only the newest: neighbours share pages,
 * and the task that began and ended within a batch costs one row.
 */
#include "master/store/store_file.h"
#include "master/store/store_sqlite.h"

#include "common/memory.h"
#include "common/stop_point.h"

#include <stdlib.h>

static const int64_t DAY_MS = (int64_t)24 * 3600 * 1000;

/* Statements that write a row leave the error on the connection; callers name the kind. */
static int write_row(struct store *store, enum write_statement kind, struct error *error)
{
    static const char *const names[WRITE_COUNT] = {
        [WRITE_DAG] = "a dag's row",
        [WRITE_WORKER] = "a worker's row",
        [WRITE_SESSION] = "a session's row",
        [WRITE_RUN] = "a run's row",
        [WRITE_ATTEMPT] = "an attempt's row",
        [WRITE_SPAN] = "a span's row",
        [WRITE_NOTE] = "a note's row",
        [WRITE_LATE] = "the row of a late end",
        [WRITE_SWEPT_SESSIONS] = "the row of a dead runner",
        [WRITE_SWEPT] = "the rows of what a dead runner had",
        [WRITE_REQUEST] = "a request's row",
        [WRITE_PEER] = "a peer's row",
        [WRITE_TOKEN] = "a token's row",
        [WRITE_AUDIT] = "a row of the audit log",
    };
    return store_run_statement(store, store->writer, store->writes[kind], names[kind], error);
}

static int find_run_id(
    struct store *store, uint64_t key, sqlite3_int64 *ret_id, struct error *error)
{
    uint64_t cached;
    if (table_get(&store->run_ids, key, &cached)) {
        *ret_id = (sqlite3_int64)cached;
        return 0;
    }
    sqlite3_stmt *statement = store->writes[WRITE_RUN_ID];
    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)key);
    int rc = 0;
    sqlite3_int64 id = 0;
    int step = sqlite3_step(statement);
    if (step == SQLITE_ROW)
        id = sqlite3_column_int64(statement, 0);
    else if (step == SQLITE_DONE)
        rc = error_set(error, ERR_CORRUPT, "%s: a row names run %016llx, which is not there",
            store->path, (unsigned long long)key);
    else
        rc = store_fail(store->path, store->writer, "a run's id", error);
    (void)sqlite3_reset(statement);
    if (rc != 0)
        return rc;
    if (store->run_ids.count >= STORE_RUN_IDS_MAX)
        table_fini(&store->run_ids);
    table_set(&store->run_ids, key, (uint64_t)id);
    *ret_id = id;
    return 0;
}

static int write_connection(
    struct store *store, const struct connection_row *row, struct error *error)
{
    if (row->sealed.length > 0) {
        bind_connection(store->writes[WRITE_CONNECTION], row);
        return write_row(store, WRITE_CONNECTION, error);
    }
    bind_connection_id(store->writes[WRITE_DROP_CONNECTION], row);
    return write_row(store, WRITE_DROP_CONNECTION, error);
}

static int write_fact(struct store *store, const struct fact *fact, struct error *error)
{
    sqlite3_stmt *const *writes = store->writes;
    sqlite3_int64 run;
    int rc;
    switch (fact->kind) {
    case FACT_DAG:
        bind_dag(writes[WRITE_DAG], &fact->dag);
        return write_row(store, WRITE_DAG, error);
    case FACT_WORKER:
        bind_worker(writes[WRITE_WORKER], &fact->worker);
        return write_row(store, WRITE_WORKER, error);
    case FACT_SESSION:
        bind_session(writes[WRITE_SESSION], &fact->session);
        return write_row(store, WRITE_SESSION, error);
    case FACT_RUN:
        bind_run(writes[WRITE_RUN], &fact->run);
        return write_row(store, WRITE_RUN, error);
    case FACT_SPAN:
        rc = find_run_id(store, fact->span.run, &run, error);
        if (rc != 0)
            return rc;
        bind_span(writes[WRITE_SPAN], run, &fact->span);
        return write_row(store, WRITE_SPAN, error);
    case FACT_RESTORED:
        return write_row(store, WRITE_RESTORED, error);
    case FACT_NOTE:
        rc = find_run_id(store, fact->note.id.run, &run, error);
        if (rc != 0)
            return rc;
        bind_note(writes[WRITE_NOTE], run, &fact->note);
        return write_row(store, WRITE_NOTE, error);
    case FACT_REQUEST:
        bind_request(writes[WRITE_REQUEST], &fact->request);
        return write_row(store, WRITE_REQUEST, error);
    case FACT_ATTEMPT:
        vector_reserve(&store->pending, store->pending_count, &store->pending_capacity);
        store->pending[store->pending_count++] = (struct pending_attempt){0, &fact->attempt};
        return 0;
    case FACT_PEER:
        bind_peer(writes[WRITE_PEER], &fact->peer);
        return write_row(store, WRITE_PEER, error);
    case FACT_TOKEN:
        bind_token(writes[WRITE_TOKEN], &fact->token);
        return write_row(store, WRITE_TOKEN, error);
    case FACT_AUDIT:
        bind_audit(writes[WRITE_AUDIT], &fact->audit);
        return write_row(store, WRITE_AUDIT, error);
    case FACT_CONNECTION:
        return write_connection(store, &fact->connection, error);
    case FACT_LATE: /* after the attempts */
    case FACT_SWEPT:
        return 0;
    case FACT_KIND_COUNT:
        break;
    }
    abort();
}

static int compare_numbers(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_keys(const struct pending_attempt *a, const struct pending_attempt *b)
{
    int order = compare_numbers((uint64_t)a->run, (uint64_t)b->run);
    if (order == 0)
        order = compare_numbers(a->row->id.task, b->row->id.task);
    if (order == 0)
        order = compare_numbers(a->row->id.map, b->row->id.map);
    if (order == 0)
        order = compare_numbers(a->row->id.attempt, b->row->id.attempt);
    return order;
}

/* Rows lie in one array, so that their addresses tell which is newer. */
static int compare_pending(const void *left, const void *right)
{
    const struct pending_attempt *a = left, *b = right;
    int order = compare_keys(a, b);
    return order != 0 ? order : compare_numbers((uintptr_t)a->row, (uintptr_t)b->row);
}

static int write_attempts(struct store *store, struct error *error)
{
    size_t count = store->pending_count;
    struct pending_attempt *pending = store->pending;
    for (size_t i = 0; i < count; i++) {
        int rc = find_run_id(store, pending[i].row->id.run, &pending[i].run, error);
        if (rc != 0)
            return rc;
    }
    if (count > 1)
        qsort(pending, count, sizeof *pending, compare_pending);
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && compare_keys(&pending[i], &pending[i + 1]) == 0)
            continue;
        bind_attempt(store->writes[WRITE_ATTEMPT], pending[i].run, pending[i].row);
        int rc = write_row(store, WRITE_ATTEMPT, error);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int write_swept(struct store *store, const struct swept_row *row, struct error *error)
{
    static const enum write_statement steps[] = {WRITE_SWEPT_SESSIONS, WRITE_SWEPT};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof steps / sizeof steps[0]; i++) {
        bind_swept(store->writes[steps[i]], row);
        rc = write_row(store, steps[i], error);
    }
    return rc;
}

/* They look at the rows of attempts, those of this batch too. */
static int write_late(struct store *store, const struct effects *batch, struct error *error)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < batch->fact_count; i++) {
        const struct fact *fact = &batch->facts[i];
        if (fact->kind == FACT_SWEPT)
            rc = write_swept(store, &fact->swept, error);
        if (fact->kind != FACT_LATE)
            continue;
        bind_late(store->writes[WRITE_LATE], &fact->late);
        rc = write_row(store, WRITE_LATE, error);
    }
    return rc;
}

/* The batch's number, and the check that nobody else leads, are one update. */
static int write_fence(struct store *store, struct error *error)
{
    sqlite3_stmt *statement = store->writes[WRITE_FENCE];
    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)(store->batch + 1));
    (void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)store->identity.epoch);
    (void)sqlite3_bind_int64(statement, 3, (sqlite3_int64)store->identity.leader);
    int rc = store_run_statement(store, store->writer, statement, "the epoch", error);
    if (rc == 0 && sqlite3_changes(store->writer) != 1)
        rc = error_set(error, ERR_REFUSED,
            "%s: another master leads (epoch %llu is over); this one must end", store->path,
            (unsigned long long)store->identity.epoch);
    return rc;
}

/* The oldest answers, and the oldest rows of the audit log, go as newer ones come. */
static int prune(struct store *store, const struct effects *batch, struct error *error)
{
    int64_t requests = 0, audits = 0, now = 0;
    for (size_t i = 0; i < batch->fact_count; i++) {
        const struct fact *fact = &batch->facts[i];
        requests += fact->kind == FACT_REQUEST;
        audits += fact->kind == FACT_AUDIT;
        if (fact->kind == FACT_AUDIT)
            now = fact->audit.at;
    }
    int rc = 0;
    if (requests > 0) {
        (void)sqlite3_bind_int64(store->writes[WRITE_PRUNE], 1, STORE_REQUESTS_MAX);
        rc = store_run_statement(
            store, store->writer, store->writes[WRITE_PRUNE], "old requests", error);
    }
    if (rc == 0 && audits > 0) {
        sqlite3_stmt *statement = store->writes[WRITE_PRUNE_AUDIT];
        (void)sqlite3_bind_int64(statement, 1, STORE_AUDIT_MAX);
        (void)sqlite3_bind_int64(statement, 2, now - STORE_AUDIT_DAYS * DAY_MS);
        (void)sqlite3_bind_int64(statement, 3, audits + STORE_AUDIT_PRUNE_ROWS);
        rc = store_run_statement(store, store->writer, statement, "the old audit log", error);
    }
    return rc;
}

static int write_facts(struct store *store, const struct effects *batch, struct error *error)
{
    int rc = write_fence(store, error);
    store->pending_count = 0;
    for (size_t i = 0; rc == 0 && i < batch->fact_count; i++)
        rc = write_fact(store, &batch->facts[i], error);
    if (rc == 0)
        rc = write_attempts(store, error);
    if (rc == 0)
        rc = write_late(store, batch, error);
    return rc == 0 ? prune(store, batch, error) : rc;
}

int store_write_batch(struct store *store, const struct effects *batch, struct error *error)
{
    if (batch->fact_count == 0)
        return 0;
    int rc = store_run_statement(
        store, store->writer, store->writes[WRITE_BEGIN], "a transaction", error);
    if (rc == 0)
        rc = write_facts(store, batch, error);
    stop_here(STOP_ROWS_WRITTEN);
    if (rc == 0)
        rc = store_run_statement(
            store, store->writer, store->writes[WRITE_COMMIT], "the commit", error);
    if (rc == 0) {
        stop_here(STOP_COMMITTED);
        store->batch++;
        return 0;
    }
    /* sqlite rolls some failures back by itself. What was remembered may be of rows that are gone.
     */
    if (sqlite3_get_autocommit(store->writer) == 0)
        (void)store_run_statement(
            store, store->writer, store->writes[WRITE_ROLLBACK], "the rollback", NULL);
    table_fini(&store->run_ids);
    return rc;
}
