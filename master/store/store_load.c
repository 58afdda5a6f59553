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

/* ---- what is not of a run ---- */

struct loading {
    const struct store_loader *loader;
    struct arena *arena;
};

static int take_dag(const struct loading *loading, sqlite3_stmt *row, struct error *error)
{
    struct dag_row dag;
    int rc = read_dag(row, loading->arena, &dag, error);
    if (rc == 0)
        loading->loader->dag(loading->loader->context, &dag);
    return rc;
}

static int take_worker(const struct loading *loading, sqlite3_stmt *row, struct error *error)
{
    struct worker_row worker;
    int rc = read_worker(row, loading->arena, &worker, error);
    if (rc == 0)
        loading->loader->worker(loading->loader->context, &worker);
    return rc;
}

static int take_token(const struct loading *loading, sqlite3_stmt *row, struct error *error)
{
    struct token_row token;
    int rc = read_token(row, loading->arena, &token, error);
    if (rc == 0 && loading->loader->token != NULL)
        loading->loader->token(loading->loader->context, &token);
    return rc;
}

static int take_peer(const struct loading *loading, sqlite3_stmt *row, struct error *error)
{
    struct peer_row peer;
    int rc = read_peer(row, loading->arena, &peer, error);
    if (rc == 0 && loading->loader->peer != NULL)
        loading->loader->peer(loading->loader->context, &peer);
    return rc;
}

static int take_connection(const struct loading *loading, sqlite3_stmt *row, struct error *error)
{
    struct connection_row connection;
    int rc = read_connection(row, loading->arena, &connection, error);
    if (rc == 0 && loading->loader->connection != NULL)
        loading->loader->connection(loading->loader->context, &connection);
    return rc;
}

static int take_session(const struct loading *loading, sqlite3_stmt *row, struct error *error)
{
    struct session_row session;
    int rc = read_session(row, &session, error);
    if (rc == 0)
        loading->loader->session(loading->loader->context, &session);
    return rc;
}

/* Workers come before their sessions. */
static const struct table_load {
    enum read_statement statement;
    int (*take)(const struct loading *loading, sqlite3_stmt *row, struct error *error);
} table_loads[] = {
    {READ_DAGS, take_dag},
    {READ_WORKERS, take_worker},
    {READ_TOKENS, take_token},
    {READ_PEERS, take_peer},
    {READ_CONNECTIONS, take_connection},
    {READ_SESSIONS, take_session},
};

static int load_table(struct store *store, const struct table_load *table,
    const struct loading *loading, struct error *error)
{
    sqlite3_stmt *statement = store->reads[table->statement];
    int rc;
    while ((rc = store_next_row(store, statement, error)) == 1) {
        rc = table->take(loading, statement, error);
        if (rc != 0)
            break;
    }
    (void)sqlite3_reset(statement);
    return rc;
}

int store_load(struct store *store, const struct store_loader *loader, struct error *error)
{
    struct arena arena = {0};
    const struct loading loading = {loader, &arena};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof table_loads / sizeof table_loads[0]; i++)
        rc = load_table(store, &table_loads[i], &loading, error);
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
