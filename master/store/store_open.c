/*
 * Opening costs the same for an empty store and for a history of a million tasks: the file's header
 * and length, the schema (each statement is prepared), the one row of meta. Pages are not walked; a
 * damaged one is met as sqlite's error, and rows are checked, when they are read.
 */
#include "common/file.h"
#include "common/memory.h"
#include "common/stop_point.h"
#include "master/store/store_file.h"
#include "master/store/store_pages.h"
#include "master/store/store_seal.h"
#include "master/store/store_sqlite.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int store_run_statement(struct store *store, sqlite3 *db, sqlite3_stmt *statement, const char *what,
    struct error *error)
{
    int step = sqlite3_step(statement);
    int rc = step == SQLITE_DONE ? 0 : store_fail(store->path, db, what, error);
    (void)sqlite3_reset(statement);
    return rc;
}

int store_next_row(struct store *store, sqlite3_stmt *statement, struct error *error)
{
    int step = sqlite3_step(statement);
    if (step == SQLITE_ROW)
        return 1;
    int rc = step == SQLITE_DONE ? 0 : store_fail(store->path, store->reader, "reading", error);
    (void)sqlite3_reset(statement);
    return rc;
}

static int connect_to(
    struct store *store, sqlite3 **ret_db, const char *settings, struct error *error)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (sqlite3_open_v2(store->path, ret_db, flags, store_pages_vfs()) != SQLITE_OK)
        return store_fail(store->path, *ret_db, "cannot be opened", error);
    /* A store that we refuse is left as it lies: its log is not copied into it when we close. */
    (void)sqlite3_db_config(*ret_db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    /* Debian's sqlite overwrites what was deleted; nothing here is secret. */
    int rc = store_exec(store->path, *ret_db,
        "PRAGMA secure_delete = OFF; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF",
        error);
    return rc != 0 ? rc : store_exec(store->path, *ret_db, settings, error);
}

static int prepare_all(struct store *store, sqlite3 *db, const char *const *sql,
    sqlite3_stmt **statements, int count, struct error *error)
{
    for (int i = 0; i < count; i++) {
        int rc =
            sqlite3_prepare_v3(db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &statements[i], NULL);
        if (rc != SQLITE_OK)
            return store_fail(store->path, db, "not the store that it says to be", error);
    }
    return 0;
}

static int read_meta(struct store *store, struct error *error)
{
    sqlite3_stmt *statement = store->reads[READ_META];
    int rc = store_next_row(store, statement, error);
    if (rc < 0)
        return rc;
    const unsigned char *cluster = rc == 1 ? sqlite3_column_text(statement, 0) : NULL;
    if (cluster == NULL || sqlite3_column_bytes(statement, 0) != STORE_CLUSTER_MAX - 1) {
        (void)sqlite3_reset(statement);
        return error_set(error, ERR_CORRUPT,
            "%s: damaged: it has lost its identity; restore a backup", store->path);
    }
    memcpy(store->identity.cluster, cluster, STORE_CLUSTER_MAX);
    store->identity.epoch = (uint64_t)sqlite3_column_int64(statement, 1);
    store->identity.leader = (uint64_t)sqlite3_column_int64(statement, 2);
    store->batch = (uint64_t)sqlite3_column_int64(statement, 3);
    store->identity.restores = (uint32_t)sqlite3_column_int(statement, 4);
    store->identity.restored_order = (uint64_t)sqlite3_column_int64(statement, 5);
    store->identity.restoring = sqlite3_column_int(statement, 6) != 0;
    (void)sqlite3_reset(statement);
    return 0;
}

static int open_database(struct store *store, struct error *error)
{
    bool exists;
    int rc = store_check_file(store->path, &exists, error);
    if (rc == 0 && !exists)
        rc = store_create_file(store->folder, store->path, error);
    else if (rc == 0)
        rc = store_seal_check(store->path, error);
    if (rc == 0)
        rc = connect_to(store, &store->writer,
            "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -32768;"
            "PRAGMA journal_size_limit = 67108864",
            error);
    if (rc == 0)
        rc = store_migrate(store->path, store->writer, error);
    if (rc == 0)
        rc = prepare_all(store, store->writer, store_write_sql, store->writes, WRITE_COUNT, error);
    if (rc == 0)
        rc = connect_to(
            store, &store->reader, "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0", error);
    if (rc == 0)
        rc = prepare_all(store, store->reader, store_read_sql, store->reads, READ_COUNT, error);
    return rc != 0 ? rc : read_meta(store, error);
}

static void init_waiting(struct store *store)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&store->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&store->mutex, NULL);
}

static int lock_folder(struct store *store, struct error *error)
{
    int rc = file_make_folder(store->folder, 0700, error);
    if (rc == 0)
        rc = file_check_local(store->folder, error);
    if (rc != 0)
        return rc;
    char *path = xasprintf("%s/lock", store->folder);
    rc = file_lock(path, &store->lock_fd, error);
    free(path);
    return rc;
}

int store_open(const char *folder, void (*wake)(void *context), void *context,
    struct store **ret_store, struct error *error)
{
    struct store *store = xcalloc(1, sizeof *store);
    store->folder = xstrdup(folder);
    store->path = xasprintf("%s/store.db", folder);
    store->lock_fd = -1;
    store->wake = wake;
    store->wake_context = context;
    init_waiting(store);
    int rc = lock_folder(store, error);
    if (rc == 0)
        rc = open_database(store, error);
    if (rc != 0) {
        store_close(store);
        return rc;
    }
    *ret_store = store;
    return 0;
}

static void free_batches(struct effects *list)
{
    while (list != NULL) {
        struct effects *next = list->next;
        effects_destroy(list);
        list = next;
    }
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    store_thread_stop(store);
    for (int i = 0; i < READ_COUNT; i++)
        (void)sqlite3_finalize(store->reads[i]);
    for (int i = 0; i < WRITE_COUNT; i++)
        (void)sqlite3_finalize(store->writes[i]);
    (void)sqlite3_close(store->reader);
    /* After a failed write nothing more is done to the file: the next start reads what is there. */
    if (store->identity.epoch != 0 && store->state != STORE_FAILED)
        (void)sqlite3_db_config(store->writer, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    (void)sqlite3_close(store->writer);
    if (store->identity.epoch != 0 && store->state != STORE_FAILED)
        store_seal_end(store->path);
    free_batches(store->queue);
    free_batches(store->committed);
    table_fini(&store->run_ids);
    free(store->pending);
    (void)pthread_cond_destroy(&store->changed);
    (void)pthread_mutex_destroy(&store->mutex);
    if (store->lock_fd >= 0)
        (void)close(store->lock_fd);
    free(store->path);
    free(store->folder);
    free(store);
}

static int write_leader(struct store *store, uint64_t leader, int64_t now_wall, struct error *error)
{
    sqlite3_stmt *statement = store->writes[WRITE_LEAD];
    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)leader);
    (void)sqlite3_bind_int64(statement, 2, now_wall);
    int rc = store_run_statement(store, store->writer, statement, "taking the epoch", error);
    if (rc == 0 && sqlite3_changes(store->writer) != 1)
        rc = error_set(error, ERR_CORRUPT,
            "%s: damaged: it has lost its identity; restore a backup", store->path);
    return rc;
}

void store_accept_restore(struct store *store)
{
    store->accepts_restore = true;
}

/* All of it or nothing: a gap in one kind of number alone would be forgotten. */
static int write_restore(struct store *store, struct error *error)
{
    static const char what[] = "accepting a restored store";
    static const int steps[] = {WRITE_BEGIN, WRITE_RESTORE, WRITE_RESTORE_DAGS, WRITE_COMMIT};
    int rc = 0;
    (void)sqlite3_bind_int(store->writes[WRITE_RESTORE], 1, STORE_RESTORE_GAP);
    (void)sqlite3_bind_int(store->writes[WRITE_RESTORE_DAGS], 1, STORE_RESTORE_GAP);
    for (size_t i = 0; rc == 0 && i < sizeof steps / sizeof steps[0]; i++)
        rc = store_run_statement(store, store->writer, store->writes[steps[i]], what, error);
    store->accepts_restore = false;
    return rc;
}

int store_lead(struct store *store, uint64_t leader, int64_t now_wall,
    struct store_identity *ret_identity, struct error *error)
{
    assert(!store->thread_runs);
    /* One statement is a transaction of its own. */
    stop_here(STOP_LEADING);
    int rc = store_seal_begin(store->path, error);
    if (rc == 0 && store->accepts_restore)
        rc = write_restore(store, error);
    if (rc == 0)
        rc = write_leader(store, leader, now_wall, error);
    stop_here(STOP_LEADS);
    if (rc == 0)
        rc = read_meta(store, error);
    if (rc == 0 && store->identity.leader != leader)
        rc = error_set(error, ERR_REFUSED, "%s: another master took the lead", store->path);
    if (rc == 0)
        rc = store_thread_start(store, error);
    if (rc == 0)
        *ret_identity = store->identity;
    return rc;
}
