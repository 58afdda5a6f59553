/*
 * store_sqlite.h - what the files of the embedded store share; nobody else includes it.
 *
 * Two connections: `writer` belongs to store_open and store_lead, then to the store's thread;
 * `reader` to the caller's thread. Neither holds a statement open between calls: an open read would
 * keep the write-ahead log from being reused.
 */
#ifndef MASTER_STORE_STORE_SQLITE_H
#define MASTER_STORE_STORE_SQLITE_H

#include "common/table.h"
#include "master/store/store.h"

#include <pthread.h>
#include <sqlite3.h>

/* "reev": tells our files from other programs'. */
enum { STORE_APPLICATION_ID = 0x72656576 };

enum {
    /* Answers of requests that are kept; the oldest go. */
    STORE_REQUESTS_MAX = 100000,
    /* Rows of the audit log that are kept, and for how long; a batch that adds one takes away at
     * most so many more than it adds. */
    STORE_AUDIT_MAX = 1000000,
    STORE_AUDIT_DAYS = 400,
    STORE_AUDIT_PRUNE_ROWS = 64,
    /* Run keys whose local id is remembered; at the bound all are forgotten and looked up again. */
    STORE_RUN_IDS_MAX = 65536,
    /* A full disk is tried again so often. */
    STORE_RETRY_MS = 1000,
    /*
     * Pages of 4 KiB in the write-ahead log at which it is copied into the database (8 MiB), after
     * a batch was given back. Larger: a page that many batches touch is copied once. Smaller: the
     * log is written over sooner, and a sync of a file that does not grow is cheaper.
     */
    STORE_CHECKPOINT_PAGES = 2048,
};

enum write_statement {
    WRITE_BEGIN,
    WRITE_COMMIT,
    WRITE_ROLLBACK,
    WRITE_LEAD,
    WRITE_RESTORE,
    WRITE_RESTORE_DAGS,
    WRITE_RESTORED,
    WRITE_FENCE,
    WRITE_DAG,
    WRITE_WORKER,
    WRITE_SESSION,
    WRITE_RUN,
    WRITE_RUN_ID,
    WRITE_ATTEMPT,
    WRITE_SPAN,
    WRITE_NOTE,
    WRITE_LATE,
    WRITE_SWEPT_SESSIONS,
    WRITE_SWEPT,
    WRITE_REQUEST,
    WRITE_PRUNE,
    WRITE_PEER,
    WRITE_TOKEN,
    WRITE_AUDIT,
    WRITE_CONNECTION,
    WRITE_DROP_CONNECTION,
    WRITE_PRUNE_AUDIT,
    WRITE_COUNT
};

enum read_statement {
    READ_META,
    READ_DAGS,
    READ_WORKERS,
    READ_SESSIONS,
    READ_LIVE_RUNS,
    READ_RUN,
    READ_RUN_BY_NAME,
    READ_RUN_BY_KEY_TEXT,
    READ_RUN_BY_DATE,
    READ_LAST_RUN,
    READ_LAST_RUN_OF_DAG,
    READ_ATTEMPTS,
    READ_SPANS,
    READ_NOTES,
    READ_REQUEST,
    READ_PEERS,
    READ_TOKENS,
    READ_CONNECTIONS,
    READ_LAST_AUDIT,
    READ_ATTEMPT_WORKER,
    READ_LATE,
    READ_LATE_TOLD,
    READ_COUNT
};

/* An attempt to be written, with its run's local id. */
struct pending_attempt {
    sqlite3_int64 run;
    const struct attempt_row *row;
};

struct store {
    char *folder, *path;
    int lock_fd; /* -1: not taken */
    sqlite3 *writer, *reader;
    sqlite3_stmt *writes[WRITE_COUNT];
    sqlite3_stmt *reads[READ_COUNT];
    struct store_identity identity;
    bool accepts_restore;
    uint64_t batch; /* number of the last one that committed; the writer's */

    /* The writer's. */
    struct table run_ids;
    struct pending_attempt *pending;
    size_t pending_count, pending_capacity;
    int wal_pages;

    void (*wake)(void *context);
    void *wake_context;
    uint32_t out; /* handed over and not taken back; the caller's */

    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    struct effects *queue, *committed; /* oldest first */
    bool stopping;
    enum store_state state;
    struct error error;
};

/* store_rows.c: each kind of row, its columns once. */

extern const char *const store_write_sql[WRITE_COUNT];
extern const char *const store_read_sql[READ_COUNT];
/* A SELECT's columns for read_run, in their order. */
extern const char store_run_columns[];
extern const char store_audit_columns[]; /* for read_audit */

void bind_dag(sqlite3_stmt *statement, const struct dag_row *row);
void bind_worker(sqlite3_stmt *statement, const struct worker_row *row);
void bind_session(sqlite3_stmt *statement, const struct session_row *row);
void bind_run(sqlite3_stmt *statement, const struct run_row *row);
void bind_attempt(sqlite3_stmt *statement, sqlite3_int64 run, const struct attempt_row *row);
void bind_span(sqlite3_stmt *statement, sqlite3_int64 run, const struct span_row *row);
void bind_note(sqlite3_stmt *statement, sqlite3_int64 run, const struct note_row *row);
void bind_late(sqlite3_stmt *statement, const struct late_row *row);
void bind_swept(sqlite3_stmt *statement, const struct swept_row *row);
void bind_request(sqlite3_stmt *statement, const struct request_row *row);
void bind_peer(sqlite3_stmt *statement, const struct peer_row *row);
void bind_token(sqlite3_stmt *statement, const struct token_row *row);
void bind_audit(sqlite3_stmt *statement, const struct audit_row *row);
void bind_connection(sqlite3_stmt *statement, const struct connection_row *row);
void bind_connection_id(sqlite3_stmt *statement, const struct connection_row *row);

/* The statement's present row; texts are copied into the arena. ERR_CORRUPT for what can be no row
 * of ours. */
int read_dag(
    sqlite3_stmt *statement, struct arena *arena, struct dag_row *ret_row, struct error *error);
int read_worker(
    sqlite3_stmt *statement, struct arena *arena, struct worker_row *ret_row, struct error *error);
int read_session(sqlite3_stmt *statement, struct session_row *ret_row, struct error *error);
int read_run(sqlite3_stmt *statement, struct arena *arena, sqlite3_int64 *ret_id,
    struct run_row *ret_row, struct error *error);
int read_attempt(sqlite3_stmt *statement, struct arena *arena, uint64_t run,
    struct attempt_row *ret_row, struct error *error);
int read_note(sqlite3_stmt *statement, struct arena *arena, uint64_t run, struct note_row *ret_row,
    struct error *error);
int read_span(sqlite3_stmt *statement, struct arena *arena, uint64_t run, struct span_row *ret_row,
    struct error *error);
int read_late(
    sqlite3_stmt *statement, struct arena *arena, struct late_row *ret_row, struct error *error);
int read_peer(
    sqlite3_stmt *statement, struct arena *arena, struct peer_row *ret_row, struct error *error);
int read_token(
    sqlite3_stmt *statement, struct arena *arena, struct token_row *ret_row, struct error *error);
int read_connection(sqlite3_stmt *statement, struct arena *arena, struct connection_row *ret_row,
    struct error *error);
int read_audit(
    sqlite3_stmt *statement, struct arena *arena, struct audit_row *ret_row, struct error *error);

/* store_open.c */

/* Steps a statement that yields no row, and resets it. */
int store_run_statement(struct store *store, sqlite3 *db, sqlite3_stmt *statement, const char *what,
    struct error *error);
/* 1: a row, 0: no more (the statement is reset), or an error (reset too). */
int store_next_row(struct store *store, sqlite3_stmt *statement, struct error *error);

/* store_write.c */

/* Commits the batch's facts in one transaction. ERR_NO_SPACE: rolled back, may be tried again. */
int store_write_batch(struct store *store, const struct effects *batch, struct error *error);

/* store_ask.c */

struct run_ref {
    sqlite3_int64 id;
    uint64_t key;
    uint32_t task_count;
};

int store_find_ref(struct store *store, uint64_t run, struct arena *arena, struct run_ref *ret_ref,
    struct error *error);
/* An array that grew on the heap, moved into the arena. */
void *store_move_to_arena(struct arena *arena, void *items, size_t size);

/* How a row of one kind is read: read_dag and its like, by any row. */
struct row_kind {
    int (*read)(sqlite3_stmt *statement, struct arena *arena, void *ret_row, struct error *error);
    size_t size;
};
struct taken_rows {
    void *items; /* in the arena */
    size_t count;
};
/* All rows that the statement has left; it is to be reset or finalized afterwards. */
int store_take_rows(struct store *store, sqlite3_stmt *statement, const struct row_kind *kind,
    struct arena *arena, struct taken_rows *ret_rows, struct error *error);

/* store_load.c: rows of one run; the array is owned by the caller, texts lie in the arena. Every
 * row is of a task below task_count. */

int load_attempts(struct store *store, const struct run_ref *run, const uint32_t range[2],
    struct arena *arena, struct store_run *ret, struct error *error);
int load_spans(struct store *store, const struct run_ref *run, struct arena *arena,
    struct store_run *ret, struct error *error);

/* store_thread.c */

int store_thread_start(struct store *store, struct error *error);
/* Waits for what is out, but for a full disk. */
void store_thread_stop(struct store *store);

#endif
