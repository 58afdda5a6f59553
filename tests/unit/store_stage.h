/*
 * store_stage.h - a store in a folder of its own, rows to write, and a loader that counts. Every
 * helper fails the test when what it does or waits for does not come about.
 */
#ifndef TESTS_STORE_STAGE_H
#define TESTS_STORE_STAGE_H

#include "master/store/store.h"

struct fixture {
    char folder[64];
    int woken;
    struct store *store;
    struct store_identity identity;
};

int set_up_store(void **state);
int tear_down_store(void **state);
/* The store's, for a test that opens one by itself. */
void wake(void *context);
void wait_for_wake(struct fixture *fixture);
void open_store(struct fixture *fixture);
void lead_store(struct fixture *fixture);
void close_store(struct fixture *fixture);
/* Owned. */
char *store_path(const struct fixture *fixture);
/* Hands over the batch, waits for it and gives it back to the heap. */
void commit(struct fixture *fixture, struct effects *batch);
/* Runs SQL on the file, behind the store's back. */
void run_sql(struct fixture *fixture, const char *sql);

/* Run `number` of salaries, of 1,000 tasks, submitted at 1000 + number. */
struct run_row make_run(uint64_t key, uint32_t number, uint32_t run_state);
struct attempt_row make_attempt(
    uint64_t run, uint32_t task, uint32_t attempt, uint32_t attempt_state);
void add_run(struct effects *batch, struct run_row row);
void add_attempt(struct effects *batch, struct attempt_row row);
/* Of worker 3. */
void add_session(struct effects *batch, uint64_t session);

/* What a loader saw. */
struct seen {
    uint32_t dags, workers, sessions, runs;
    uint64_t keys[16];
    uint64_t session;
    size_t attempts, spans, notes;
    uint32_t last_number;
    int refuse;
};

struct store_loader loader_into(struct seen *seen);

#endif
