#include "master/store/history.h"

#include "common/memory.h"
#include "master/store/store_file.h"
#include "master/store/store_pages.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

struct history {
    char *path;
    sqlite3 *db;
    sqlite3_stmt *run_end;
};

static int prepare(
    struct history *history, const char *sql, sqlite3_stmt **ret_statement, struct error *error)
{
    if (sqlite3_prepare_v2(history->db, sql, -1, ret_statement, NULL) != SQLITE_OK)
        return store_fail(history->path, history->db, "cannot be read", error);
    return 0;
}

int history_open(const char *folder, struct history **ret_history, struct error *error)
{
    struct history *history = xcalloc(1, sizeof *history);
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    history->path = xasprintf("%s/store.db", folder);
    int rc = 0;
    if (sqlite3_open_v2(history->path, &history->db, flags, store_pages_vfs()) != SQLITE_OK)
        rc = store_fail(history->path, history->db, "cannot be opened", error);
    if (rc == 0)
        rc = prepare(history, "SELECT ended_at FROM run WHERE key = ?1", &history->run_end, error);
    if (rc != 0) {
        history_close(history);
        return rc;
    }
    *ret_history = history;
    return 0;
}

void history_close(struct history *history)
{
    if (history == NULL)
        return;
    (void)sqlite3_finalize(history->run_end);
    (void)sqlite3_close(history->db);
    free(history->path);
    free(history);
}

int history_run_end(
    struct history *history, uint64_t run, int64_t *ret_ended_at, struct error *error)
{
    (void)sqlite3_bind_int64(history->run_end, 1, (sqlite3_int64)run);
    int step = sqlite3_step(history->run_end);
    int rc = 0;
    if (step == SQLITE_ROW)
        *ret_ended_at = sqlite3_column_int64(history->run_end, 0);
    else if (step == SQLITE_DONE)
        rc = error_set(error, ERR_NOT_FOUND, "no such run");
    else
        rc = store_fail(history->path, history->db, "reading", error);
    (void)sqlite3_reset(history->run_end);
    return rc;
}

/* What is no hash names nothing. */
static int visit_rows(struct history *history, sqlite3_stmt *statement, enum history_kind kind,
    history_fn visit, void *context, struct error *error)
{
    int rc = 0, step = SQLITE_DONE;
    while (rc == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW) {
        struct hash hash;
        if (sqlite3_column_bytes(statement, 0) != sizeof hash.bytes)
            continue;
        memcpy(hash.bytes, sqlite3_column_blob(statement, 0), sizeof hash.bytes);
        rc = visit(context, kind, &hash);
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = store_fail(history->path, history->db, "reading", error);
    return rc;
}

int history_each_blob(struct history *history, history_fn visit, void *context, struct error *error)
{
    static const struct {
        enum history_kind kind;
        const char *sql;
    } sources[] = {
        {HISTORY_PLAN, "SELECT DISTINCT plan FROM run"},
        {HISTORY_MANIFEST, "SELECT DISTINCT bundle FROM run WHERE bundle IS NOT NULL"},
        {HISTORY_MANIFEST, "SELECT DISTINCT artifacts FROM attempt WHERE artifacts IS NOT NULL"},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof sources / sizeof sources[0] && rc == 0; i++) {
        sqlite3_stmt *statement = NULL;
        rc = prepare(history, sources[i].sql, &statement, error);
        if (rc == 0)
            rc = visit_rows(history, statement, sources[i].kind, visit, context, error);
        (void)sqlite3_finalize(statement);
    }
    return rc;
}
