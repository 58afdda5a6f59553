/*
 * store.h - the master's durable state behind one interface; store_sqlite*.c is the embedded
 * default. One data directory, one leader: store_open takes its lock.
 *
 * Writing: batches of effects are handed over in order and committed by the store's own thread, one
 * transaction and one fsync a batch; committed batches come back in the same order. Nothing is
 * rolled back: out of space, the same batch is tried again (store_state says so); after any other
 * failed write the process must end (store_state), and a restart reads the disk. Reading: a
 * connection of its own on the caller's thread; it sees what was committed.
 */
#ifndef MASTER_STORE_STORE_H
#define MASTER_STORE_STORE_H

#include "common/error.h"
#include "master/core/effects.h"

struct store;

enum { STORE_CLUSTER_MAX = 37, STORE_BATCHES_IN_FLIGHT = 2 };

struct store_identity {
    char cluster[STORE_CLUSTER_MAX]; /* the store's id, a UUID as text, made once */
    uint64_t epoch;
    uint64_t leader;
    uint32_t restores;       /* how often a person brought an older one back */
    uint64_t restored_order; /* of the last run that was in it then */
    bool restoring;          /* what the fleet held then is still waited out */
};

/* What such a store leaves out of numbers, so that none is given twice: of epochs, of runs, and of
 * the attempts of the runs in it. */
enum { STORE_RESTORE_GAP = 1000 };

/*
 * Opens (or makes) DIR/store.db: lock, version check and migrations, before anything is touched in
 * it. Refused by name: a directory in use, of a later version, not writable, on a full disk, on a
 * network file system, a file that is damaged or is no store of ours. `wake` is called from the
 * store's thread when a batch has committed or failed.
 */
int store_open(const char *folder, void (*wake)(void *context), void *context,
    struct store **ret_store, struct error *error);
/* Waits for the batches in flight. */
void store_close(struct store *store);

/* Begins a leadership: the epoch grows by one, in a transaction of its own. */
int store_lead(struct store *store, uint64_t leader, int64_t now_wall,
    struct store_identity *ret_identity, struct error *error);

/* Before store_lead: the store is an older one, and its numbers were given once more since. */
void store_accept_restore(struct store *store);

/* ---- writing ---- */

/* Hands over a batch; at most STORE_BATCHES_IN_FLIGHT may be out (asserted). It checks the epoch in
 * the transaction. */
void store_commit(struct store *store, struct effects *batch);
uint32_t store_in_flight(const struct store *store);
/* The oldest batch that has committed, given back to the caller, or NULL. */
struct effects *store_take_committed(struct store *store);

enum store_state {
    STORE_OK,
    STORE_FULL,  /* out of space: it goes on trying; refuse new work by name */
    STORE_FAILED /* the process must end */
};
enum store_state store_state(struct store *store, struct error *error);

/* ---- loading ---- */

/* One run as it lies in the store. Everything is borrowed for the call. */
struct store_run {
    struct run_row run;
    const struct span_row *spans; /* by order */
    size_t span_count;
    const struct attempt_row *attempts; /* by task, map, attempt */
    size_t attempt_count;
    const struct note_row *notes; /* likewise, and by number */
    size_t note_count;
};

struct store_loader {
    void *context;
    void (*dag)(void *context, const struct dag_row *row);
    void (*worker)(void *context, const struct worker_row *row);
    void (*session)(void *context, const struct session_row *row);
    int (*run)(void *context, const struct store_run *run, struct error *error);
    void (*peer)(void *context, const struct peer_row *row);
    void (*token)(void *context, const struct token_row *row);
    void (*connection)(void *context, const struct connection_row *row);
};

/* What a restart needs: all dags, workers, peers, tokens and connections, the sessions that live
 * attempts name, the live runs by order. History is not read. */
int store_load(struct store *store, const struct store_loader *loader, struct error *error);
/* One run, live or ended. ERR_NOT_FOUND. */
int store_load_run(
    struct store *store, uint64_t run, const struct store_loader *loader, struct error *error);

/* ---- questions; all answered from committed rows ---- */

/* Rows' texts borrow `arena`. */
int store_find_run(struct store *store, struct slice dag, uint32_t number, struct arena *arena,
    struct run_row *ret_run, struct error *error);
/* The newest run of a DAG; an empty name: of all. */
int store_last_run(struct store *store, struct slice dag, struct arena *arena,
    struct run_row *ret_run, struct error *error);
/* A run of this dag with this key text, or with this given date. ERR_NOT_FOUND. */
int store_find_key(struct store *store, struct slice dag, struct slice key_text,
    struct arena *arena, struct run_row *ret_run, struct error *error);
int store_find_date(struct store *store, struct slice dag, int64_t logical_date,
    struct arena *arena, struct run_row *ret_run, struct error *error);
/* The answer that was given to a request; ERR_NOT_FOUND. */
int store_find_request(struct store *store, uint64_t request, struct arena *arena,
    struct slice *ret_answer, struct error *error);

struct store_runs_filter {
    struct slice dag; /* empty: all */
    uint32_t state;   /* 0: all */
    int64_t since;    /* wall; 0: all */
    uint32_t limit;
};
/* Newest first; the array lies in the arena. */
int store_list_runs(struct store *store, const struct store_runs_filter *filter,
    struct arena *arena, struct run_row **ret_runs, size_t *ret_count, struct error *error);
struct store_attempts_filter {
    uint64_t run;
    uint32_t first, last; /* tasks, the last one too */
};
/* By task, map, attempt. */
int store_list_attempts(struct store *store, const struct store_attempts_filter *filter,
    struct arena *arena, struct attempt_row **ret_attempts, size_t *ret_count, struct error *error);
/* What was said late of these attempts; by task, map, attempt. */
int store_list_late(struct store *store, const struct store_attempts_filter *filter,
    struct arena *arena, struct late_row **ret_rows, size_t *ret_count, struct error *error);
/* What was said at that moment, of any run; at most so many. */
enum { STORE_LATE_TOLD_MAX = 100 };
int store_list_late_told(struct store *store, int64_t told_at, struct arena *arena,
    struct late_row **ret_rows, size_t *ret_count, struct error *error);
int store_list_spans(struct store *store, uint64_t run, struct arena *arena,
    struct span_row **ret_spans, size_t *ret_count, struct error *error);
/* Every dag that ever ran, by name. */
int store_list_dags(struct store *store, struct arena *arena, struct dag_row **ret_dags,
    size_t *ret_count, struct error *error);
struct store_audit_filter {
    int64_t since;   /* wall; 0: all */
    uint64_t before; /* lower numbers only; 0: all */
    uint32_t limit;
};
/* Newest first; the array and its texts lie in the arena. */
int store_list_audit(struct store *store, const struct store_audit_filter *filter,
    struct arena *arena, struct audit_row **ret_rows, size_t *ret_count, struct error *error);
/* The highest number of an audit row, or 0. */
int store_last_audit(struct store *store, uint64_t *ret_number, struct error *error);
/* The worker of an attempt that was ever assigned: its number. ERR_NOT_FOUND. */
int store_attempt_worker(
    struct store *store, const struct attempt_id *id, uint32_t *ret_worker, struct error *error);

#endif
