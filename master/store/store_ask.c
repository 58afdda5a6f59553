/*
 * Questions, each by an index: none walks the history.
 */
#include "common/buffer.h"
#include "common/memory.h"
#include "master/store/store_column.h"
#include "master/store/store_file.h"
#include "master/store/store_sqlite.h"

#include <stdlib.h>

void *store_move_to_arena(struct arena *arena, void *items, size_t size)
{
    void *moved = arena_alloc(arena, size);
    if (size > 0)
        memcpy(moved, items, size);
    free(items);
    return moved;
}

int store_take_rows(struct store *store, sqlite3_stmt *statement, const struct row_kind *kind,
    struct arena *arena, struct taken_rows *ret_rows, struct error *error)
{
    void *rows = NULL;
    size_t count = 0, capacity = 0;
    int rc;
    while ((rc = store_next_row(store, statement, error)) == 1) {
        vector_reserve_bytes(&rows, count, &capacity, kind->size);
        rc = kind->read(statement, arena, (char *)rows + count * kind->size, error);
        if (rc != 0)
            break;
        count++;
    }
    if (rc != 0) {
        free(rows);
        return rc;
    }
    *ret_rows = (struct taken_rows){store_move_to_arena(arena, rows, count * kind->size), count};
    return 0;
}

/* The one run that a bound statement yields. */
static int ask_run(struct store *store, sqlite3_stmt *statement, struct arena *arena,
    struct run_row *ret_run, sqlite3_int64 *ret_id, struct error *error)
{
    int rc = store_next_row(store, statement, error);
    if (rc == 0)
        rc = error_set(error, ERR_NOT_FOUND, "no such run");
    else if (rc == 1)
        rc = read_run(statement, arena, ret_id, ret_run, error);
    (void)sqlite3_reset(statement);
    return rc;
}

int store_find_run(struct store *store, struct slice dag, uint32_t number, struct arena *arena,
    struct run_row *ret_run, struct error *error)
{
    sqlite3_int64 id;
    sqlite3_stmt *statement = store->reads[READ_RUN_BY_NAME];
    bind_slice(statement, 1, dag);
    (void)sqlite3_bind_int64(statement, 2, number);
    return ask_run(store, statement, arena, ret_run, &id, error);
}

static int ask_run_by_key(struct store *store, uint64_t run, struct arena *arena,
    struct run_row *ret_run, sqlite3_int64 *ret_id, struct error *error)
{
    sqlite3_stmt *statement = store->reads[READ_RUN];
    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)run);
    return ask_run(store, statement, arena, ret_run, ret_id, error);
}

int store_last_run(struct store *store, struct slice dag, struct arena *arena,
    struct run_row *ret_run, struct error *error)
{
    sqlite3_int64 id;
    sqlite3_stmt *statement = store->reads[dag.length > 0 ? READ_LAST_RUN_OF_DAG : READ_LAST_RUN];
    if (dag.length > 0)
        bind_slice(statement, 1, dag);
    return ask_run(store, statement, arena, ret_run, &id, error);
}

int store_find_key(struct store *store, struct slice dag, struct slice key_text,
    struct arena *arena, struct run_row *ret_run, struct error *error)
{
    sqlite3_int64 id;
    sqlite3_stmt *statement = store->reads[READ_RUN_BY_KEY_TEXT];
    bind_slice(statement, 1, dag);
    bind_slice(statement, 2, key_text);
    return ask_run(store, statement, arena, ret_run, &id, error);
}

int store_find_date(struct store *store, struct slice dag, int64_t logical_date,
    struct arena *arena, struct run_row *ret_run, struct error *error)
{
    sqlite3_int64 id;
    sqlite3_stmt *statement = store->reads[READ_RUN_BY_DATE];
    bind_slice(statement, 1, dag);
    (void)sqlite3_bind_int64(statement, 2, logical_date);
    return ask_run(store, statement, arena, ret_run, &id, error);
}

int store_find_request(struct store *store, uint64_t request, struct arena *arena,
    struct slice *ret_answer, struct error *error)
{
    sqlite3_stmt *statement = store->reads[READ_REQUEST];
    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)request);
    int rc = store_next_row(store, statement, error);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return error_set(error, ERR_NOT_FOUND, "no such request");
    *ret_answer = read_slice(statement, 0, arena);
    (void)sqlite3_reset(statement);
    return 0;
}

/*
 * The most selective index that fits is named, for sqlite keeps no statistics here: a DAG's runs
 * lie by number (which ascends with their order), a state's by order.
 */
static void write_list_sql(const struct store_runs_filter *filter, struct buffer *sql)
{
    const char *index = "run_order", *order = "ordinal";
    if (filter->dag.length > 0) {
        index = "run_name";
        order = "number";
    } else if (filter->since != 0) {
        index = "run_submitted";
    } else if (filter->state != 0) {
        index = "run_state";
    }
    buffer_printf(sql, "SELECT %s FROM run INDEXED BY %s WHERE 1", store_run_columns, index);
    if (filter->dag.length > 0)
        buffer_append_text(sql, " AND dag = ?1");
    if (filter->state != 0)
        buffer_append_text(sql, " AND state = ?2");
    if (filter->since != 0)
        buffer_append_text(sql, " AND submitted_at >= ?3");
    buffer_printf(sql, " ORDER BY %s DESC LIMIT ?4", order);
}

static int prepare_list(struct store *store, const struct store_runs_filter *filter,
    sqlite3_stmt **ret_statement, struct error *error)
{
    struct buffer sql = {0};
    write_list_sql(filter, &sql);
    int rc = sqlite3_prepare_v2(store->reader, buffer_text(&sql), -1, ret_statement, NULL);
    buffer_fini(&sql);
    if (rc != SQLITE_OK)
        return store_fail(store->path, store->reader, "listing runs", error);
    bind_slice(*ret_statement, 1, filter->dag);
    (void)sqlite3_bind_int64(*ret_statement, 2, filter->state);
    (void)sqlite3_bind_int64(*ret_statement, 3, filter->since);
    (void)sqlite3_bind_int64(*ret_statement, 4, filter->limit);
    return 0;
}

static int read_any_run(
    sqlite3_stmt *statement, struct arena *arena, void *ret_row, struct error *error)
{
    sqlite3_int64 id;
    return read_run(statement, arena, &id, ret_row, error);
}

int store_list_runs(struct store *store, const struct store_runs_filter *filter,
    struct arena *arena, struct run_row **ret_runs, size_t *ret_count, struct error *error)
{
    static const struct row_kind kind = {read_any_run, sizeof(struct run_row)};
    sqlite3_stmt *statement;
    int rc = prepare_list(store, filter, &statement, error);
    if (rc != 0)
        return rc;
    struct taken_rows rows = {0};
    rc = store_take_rows(store, statement, &kind, arena, &rows, error);
    (void)sqlite3_finalize(statement);
    if (rc != 0)
        return rc;
    *ret_runs = rows.items;
    *ret_count = rows.count;
    return 0;
}

int store_find_ref(struct store *store, uint64_t run, struct arena *arena, struct run_ref *ret_ref,
    struct error *error)
{
    struct run_row row;
    sqlite3_int64 id;
    int rc = ask_run_by_key(store, run, arena, &row, &id, error);
    if (rc == 0)
        *ret_ref = (struct run_ref){id, run, row.task_count};
    return rc;
}

int store_list_attempts(struct store *store, const struct store_attempts_filter *filter,
    struct arena *arena, struct attempt_row **ret_attempts, size_t *ret_count, struct error *error)
{
    struct run_ref ref;
    struct store_run found = {0};
    int rc = store_find_ref(store, filter->run, arena, &ref, error);
    if (rc == 0)
        rc = load_attempts(
            store, &ref, (uint32_t[]){filter->first, filter->last}, arena, &found, error);
    if (rc != 0)
        return rc;
    *ret_attempts = store_move_to_arena(
        arena, (void *)(uintptr_t)found.attempts, found.attempt_count * sizeof *found.attempts);
    *ret_count = found.attempt_count;
    return 0;
}

int store_list_spans(struct store *store, uint64_t run, struct arena *arena,
    struct span_row **ret_spans, size_t *ret_count, struct error *error)
{
    struct run_ref ref;
    struct store_run found = {0};
    int rc = store_find_ref(store, run, arena, &ref, error);
    if (rc == 0)
        rc = load_spans(store, &ref, arena, &found, error);
    if (rc != 0)
        return rc;
    *ret_spans = store_move_to_arena(
        arena, (void *)(uintptr_t)found.spans, found.span_count * sizeof *found.spans);
    *ret_count = found.span_count;
    return 0;
}

static int read_any_dag(
    sqlite3_stmt *statement, struct arena *arena, void *ret_row, struct error *error)
{
    return read_dag(statement, arena, ret_row, error);
}

int store_list_dags(struct store *store, struct arena *arena, struct dag_row **ret_dags,
    size_t *ret_count, struct error *error)
{
    static const struct row_kind kind = {read_any_dag, sizeof(struct dag_row)};
    sqlite3_stmt *statement = store->reads[READ_DAGS];
    struct taken_rows rows = {0};
    int rc = store_take_rows(store, statement, &kind, arena, &rows, error);
    (void)sqlite3_reset(statement);
    if (rc != 0)
        return rc;
    *ret_dags = rows.items;
    *ret_count = rows.count;
    return 0;
}

/* ---- the audit log ---- */

static int prepare_audit(struct store *store, const struct store_audit_filter *filter,
    sqlite3_stmt **ret_statement, struct error *error)
{
    struct buffer sql = {0};
    buffer_printf(&sql, "SELECT %s FROM audit", store_audit_columns);
    buffer_append_text(
        &sql, filter->since != 0 ? " INDEXED BY audit_at WHERE at >= ?1" : " WHERE 1");
    if (filter->before != 0)
        buffer_append_text(&sql, " AND number < ?2");
    buffer_append_text(&sql, " ORDER BY number DESC LIMIT ?3");
    int rc = sqlite3_prepare_v2(store->reader, buffer_text(&sql), -1, ret_statement, NULL);
    buffer_fini(&sql);
    if (rc != SQLITE_OK)
        return store_fail(store->path, store->reader, "reading the audit log", error);
    bind_number(*ret_statement, 1, filter->since);
    bind_number(
        *ret_statement, 2, filter->before <= INT64_MAX ? (int64_t)filter->before : INT64_MAX);
    bind_number(*ret_statement, 3, filter->limit);
    return 0;
}

static int read_any_audit(
    sqlite3_stmt *statement, struct arena *arena, void *ret_row, struct error *error)
{
    return read_audit(statement, arena, ret_row, error);
}

int store_list_audit(struct store *store, const struct store_audit_filter *filter,
    struct arena *arena, struct audit_row **ret_rows, size_t *ret_count, struct error *error)
{
    static const struct row_kind kind = {read_any_audit, sizeof(struct audit_row)};
    sqlite3_stmt *statement;
    int rc = prepare_audit(store, filter, &statement, error);
    if (rc != 0)
        return rc;
    struct taken_rows rows = {0};
    rc = store_take_rows(store, statement, &kind, arena, &rows, error);
    (void)sqlite3_finalize(statement);
    if (rc != 0)
        return rc;
    *ret_rows = rows.items;
    *ret_count = rows.count;
    return 0;
}

int store_last_audit(struct store *store, uint64_t *ret_number, struct error *error)
{
    sqlite3_stmt *statement = store->reads[READ_LAST_AUDIT];
    int rc = store_next_row(store, statement, error);
    if (rc < 0)
        return rc;
    *ret_number = rc == 1 ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
    (void)sqlite3_reset(statement);
    return 0;
}

/* ---- attempts ---- */

int store_attempt_worker(
    struct store *store, const struct attempt_id *id, uint32_t *ret_worker, struct error *error)
{
    sqlite3_stmt *statement = store->reads[READ_ATTEMPT_WORKER];
    bind_id(statement, 1, id->run);
    bind_number(statement, 2, id->task);
    bind_number(statement, 3, id->map);
    bind_number(statement, 4, id->attempt);
    int rc = store_next_row(store, statement, error);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return error_set(error, ERR_NOT_FOUND, "no such attempt was ever assigned");
    *ret_worker = (uint32_t)sqlite3_column_int64(statement, 0);
    (void)sqlite3_reset(statement);
    return 0;
}
