/*
 * What a restart reads: everything that is small, and of the runs those that live. The partial
 * index run_live keeps a long history out of its way.
 */
#include "common/memory.h"
#include "master/store/store_sqlite.h"

#include <stdlib.h>

static int damaged(const struct store *store, const char *what, struct error *error)
{
    return error_set(error, ERR_CORRUPT, "%s: damaged: %s", store->path, what);
}

static bool follows(const struct attempt_id *before, const struct attempt_id *id)
{
    if (before->task != id->task)
        return before->task < id->task;
    if (before->map != id->map)
        return before->map < id->map;
    return before->attempt < id->attempt;
}

int load_attempts(struct store *store, const struct run_ref *run, const uint32_t range[2],
    struct arena *arena, struct store_run *ret, struct error *error)
{
    sqlite3_stmt *statement = store->reads[READ_ATTEMPTS];
    (void)sqlite3_bind_int64(statement, 1, run->id);
    (void)sqlite3_bind_int64(statement, 2, range[0]);
    (void)sqlite3_bind_int64(statement, 3, range[1]);
    struct attempt_row *rows = NULL;
    size_t count = 0, capacity = 0;
    int rc;
    while ((rc = store_next_row(store, statement, error)) == 1) {
        vector_reserve(&rows, count, &capacity);
        rc = read_attempt(statement, arena, run->key, &rows[count], error);
        if (rc == 0 && rows[count].id.task >= run->task_count)
            rc = damaged(store, "an attempt of a task that its run lacks", error);
        if (rc == 0 && count > 0 && !follows(&rows[count - 1].id, &rows[count].id))
            rc = damaged(store, "attempts are out of order", error);
        if (rc != 0)
            break;
        count++;
    }
    (void)sqlite3_reset(statement);
    if (rc == 0) {
        ret->attempts = rows;
        ret->attempt_count = count;
    } else {
        free(rows);
    }
    return rc;
}

int load_spans(struct store *store, const struct run_ref *run, struct arena *arena,
    struct store_run *ret, struct error *error)
{
    sqlite3_stmt *statement = store->reads[READ_SPANS];
    (void)sqlite3_bind_int64(statement, 1, run->id);
    struct span_row *rows = NULL;
    size_t count = 0, capacity = 0;
    int rc;
    while ((rc = store_next_row(store, statement, error)) == 1) {
        vector_reserve(&rows, count, &capacity);
        rc = read_span(statement, arena, run->key, &rows[count], error);
        if (rc == 0 && rows[count].last >= run->task_count)
            rc = damaged(store, "a span of tasks that its run lacks", error);
        if (rc == 0 && count > 0 && rows[count].order <= rows[count - 1].order)
            rc = damaged(store, "spans are out of order", error);
        if (rc != 0)
            break;
        count++;
    }
    (void)sqlite3_reset(statement);
    if (rc == 0) {
        ret->spans = rows;
        ret->span_count = count;
    } else {
        free(rows);
    }
    return rc;
}

static int load_notes(struct store *store, const struct run_ref *run, struct arena *arena,
    struct store_run *ret, struct error *error)
{
    sqlite3_stmt *statement = store->reads[READ_NOTES];
    (void)sqlite3_bind_int64(statement, 1, run->id);
    struct note_row *rows = NULL;
    size_t count = 0, capacity = 0;
    int rc;
    while ((rc = store_next_row(store, statement, error)) == 1) {
        vector_reserve(&rows, count, &capacity);
        rc = read_note(statement, arena, run->key, &rows[count], error);
        if (rc == 0 && rows[count].id.task >= run->task_count)
            rc = damaged(store, "a note of a task that its run lacks", error);
        if (rc != 0)
            break;
        count++;
    }
    (void)sqlite3_reset(statement);
    if (rc == 0) {
        ret->notes = rows;
        ret->note_count = count;
    } else {
        free(rows);
    }
    return rc;
}

/* The run of the statement's present row, to the loader. */
static int load_run(struct store *store, sqlite3_stmt *statement, const struct store_loader *loader,
    struct arena *arena, struct error *error)
{
    static const uint32_t all[2] = {0, UINT32_MAX};
    struct store_run run = {0};
    struct run_ref ref = {0};
    int rc = read_run(statement, arena, &ref.id, &run.run, error);
    if (rc != 0)
        return rc;
    ref.key = run.run.key;
    ref.task_count = run.run.task_count;
    rc = load_attempts(store, &ref, all, arena, &run, error);
    if (rc == 0)
        rc = load_spans(store, &ref, arena, &run, error);
    if (rc == 0)
        rc = load_notes(store, &ref, arena, &run, error);
    if (rc == 0)
        rc = loader->run(loader->context, &run, error);
    free((void *)(uintptr_t)run.attempts);
    free((void *)(uintptr_t)run.spans);
    free((void *)(uintptr_t)run.notes);
    return rc;
}

static int load_runs(struct store *store, sqlite3_stmt *statement,
    const struct store_loader *loader, struct arena *arena, struct error *error)
{
    int rc;
    while ((rc = store_next_row(store, statement, error)) == 1) {
        rc = load_run(store, statement, loader, arena, error);
        if (rc != 0)
            break;
        arena_reset(arena);
    }
    (void)sqlite3_reset(statement);
    return rc;
}

static int load_dags(struct store *store, const struct store_loader *loader, struct arena *arena,
    struct error *error)
{
    sqlite3_stmt *statement = store->reads[READ_DAGS];
    struct dag_row row;
    int rc;
    while ((rc = store_next_row(store, statement, error)) == 1) {
        rc = read_dag(statement, arena, &row, error);
        if (rc != 0)
            break;
        loader->dag(loader->context, &row);
    }
    (void)sqlite3_reset(statement);
    return rc;
}

static int load_workers(struct store *store, const struct store_loader *loader, struct arena *arena,
    struct error *error)
{
    sqlite3_stmt *statement = store->reads[READ_WORKERS];
    struct worker_row row;
    int rc;
    while ((rc = store_next_row(store, statement, error)) == 1) {
        rc = read_worker(statement, arena, &row, error);
        if (rc != 0)
            break;
        loader->worker(loader->context, &row);
    }
    (void)sqlite3_reset(statement);
    return rc;
}

static int load_sessions(
    struct store *store, const struct store_loader *loader, struct error *error)
{
    sqlite3_stmt *statement = store->reads[READ_SESSIONS];
    struct session_row row;
    int rc;
    while ((rc = store_next_row(store, statement, error)) == 1) {
        rc = read_session(statement, &row, error);
        if (rc != 0)
            break;
        loader->session(loader->context, &row);
    }
    (void)sqlite3_reset(statement);
    return rc;
}

static int load_peers(struct store *store, const struct store_loader *loader, struct arena *arena,
    struct error *error)
{
    sqlite3_stmt *statement = store->reads[READ_PEERS];
    struct peer_row row;
    int rc;
    while ((rc = store_next_row(store, statement, error)) == 1) {
        rc = read_peer(statement, arena, &row, error);
        if (rc != 0)
            break;
        if (loader->peer != NULL)
            loader->peer(loader->context, &row);
    }
    (void)sqlite3_reset(statement);
    return rc;
}

static int load_tokens(struct store *store, const struct store_loader *loader, struct arena *arena,
    struct error *error)
{
    sqlite3_stmt *statement = store->reads[READ_TOKENS];
    struct token_row row;
    int rc;
    while ((rc = store_next_row(store, statement, error)) == 1) {
        rc = read_token(statement, arena, &row, error);
        if (rc != 0)
            break;
        if (loader->token != NULL)
            loader->token(loader->context, &row);
    }
    (void)sqlite3_reset(statement);
    return rc;
}

static int load_connections(struct store *store, const struct store_loader *loader,
    struct arena *arena, struct error *error)
{
    sqlite3_stmt *statement = store->reads[READ_CONNECTIONS];
    struct connection_row row;
    int rc;
    while ((rc = store_next_row(store, statement, error)) == 1) {
        rc = read_connection(statement, arena, &row, error);
        if (rc != 0)
            break;
        if (loader->connection != NULL)
            loader->connection(loader->context, &row);
    }
    (void)sqlite3_reset(statement);
    return rc;
}

int store_load(struct store *store, const struct store_loader *loader, struct error *error)
{
    struct arena arena = {0};
    int rc = load_dags(store, loader, &arena, error);
    if (rc == 0)
        rc = load_workers(store, loader, &arena, error);
    if (rc == 0)
        rc = load_tokens(store, loader, &arena, error);
    if (rc == 0)
        rc = load_peers(store, loader, &arena, error);
    if (rc == 0)
        rc = load_connections(store, loader, &arena, error);
    if (rc == 0)
        rc = load_sessions(store, loader, error);
    arena_reset(&arena);
    if (rc == 0)
        rc = load_runs(store, store->reads[READ_LIVE_RUNS], loader, &arena, error);
    arena_fini(&arena);
    return rc;
}

int store_load_run(
    struct store *store, uint64_t run, const struct store_loader *loader, struct error *error)
{
    sqlite3_stmt *statement = store->reads[READ_RUN];
    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)run);
    struct arena arena = {0};
    int rc = store_next_row(store, statement, error);
    if (rc == 0)
        rc = error_set(error, ERR_NOT_FOUND, "no such run");
    else if (rc == 1)
        rc = load_run(store, statement, loader, &arena, error);
    (void)sqlite3_reset(statement);
    arena_fini(&arena);
    return rc;
}
