/*
 * What was said of attempts' ends when that counted no more.
 */
#include "master/store/store_column.h"
#include "master/store/store_sqlite.h"

static int read_any_late(
    sqlite3_stmt *statement, struct arena *arena, void *ret_row, struct error *error)
{
    return read_late(statement, arena, ret_row, error);
}

/* The rows of a bound statement, which it resets. */
static int take_rows(struct store *store, sqlite3_stmt *statement, struct arena *arena,
    struct late_row **ret_rows, size_t *ret_count, struct error *error)
{
    static const struct row_kind kind = {read_any_late, sizeof(struct late_row)};
    struct taken_rows rows = {0};
    int rc = store_take_rows(store, statement, &kind, arena, &rows, error);
    (void)sqlite3_reset(statement);
    if (rc != 0)
        return rc;
    *ret_rows = rows.items;
    *ret_count = rows.count;
    return 0;
}

int store_list_late(struct store *store, const struct store_attempts_filter *filter,
    struct arena *arena, struct late_row **ret_rows, size_t *ret_count, struct error *error)
{
    struct run_ref ref;
    sqlite3_stmt *statement = store->reads[READ_LATE];
    int rc = store_find_ref(store, filter->run, arena, &ref, error);
    if (rc != 0)
        return rc;
    (void)sqlite3_bind_int64(statement, 1, ref.id);
    bind_number(statement, 2, filter->first);
    bind_number(statement, 3, filter->last);
    return take_rows(store, statement, arena, ret_rows, ret_count, error);
}

int store_list_late_told(struct store *store, int64_t told_at, struct arena *arena,
    struct late_row **ret_rows, size_t *ret_count, struct error *error)
{
    sqlite3_stmt *statement = store->reads[READ_LATE_TOLD];
    bind_number(statement, 1, told_at);
    bind_number(statement, 2, STORE_LATE_TOLD_MAX);
    return take_rows(store, statement, arena, ret_rows, ret_count, error);
}
