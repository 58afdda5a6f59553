/*
 * The thread that commits. The write-ahead log is copied into the database here and not by sqlite's
 * own autocheckpoint, for two reasons: that one runs inside the commit, before the batch is given
 * back, and it ignores a failed fsync, after which a second one may well say that all is fine.
 */
#include "master/store/store_file.h"
#include "master/store/store_sqlite.h"

#include "common/stop_point.h"

#include <assert.h>
#include <string.h>
#include <time.h>

static void append(struct effects **list, struct effects *batch)
{
    while (*list != NULL)
        list = &(*list)->next;
    batch->next = NULL;
    *list = batch;
}

/* Waits until the retry is due or the store is to close. The mutex is held. */
static void wait_to_retry(struct store *store)
{
    struct timespec due;
    (void)clock_gettime(CLOCK_MONOTONIC, &due);
    due.tv_sec += STORE_RETRY_MS / 1000;
    due.tv_nsec += (long)(STORE_RETRY_MS % 1000) * 1000000;
    if (due.tv_nsec >= 1000000000) {
        due.tv_sec++;
        due.tv_nsec -= 1000000000;
    }
    while (!store->stopping && pthread_cond_timedwait(&store->changed, &store->mutex, &due) == 0)
        continue;
}

static int checkpoint(struct store *store, struct error *error)
{
    if (store->wal_pages < STORE_CHECKPOINT_PAGES)
        return 0;
    stop_here(STOP_CHECKPOINTING);
    int rc = sqlite3_wal_checkpoint_v2(store->writer, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    stop_here(STOP_CHECKPOINTED);
    /* A reader, or a full disk, is in the way: the next batch tries again. */
    if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED)
        return 0;
    rc = store_fail(store->path, store->writer, "copying the write-ahead log", error);
    return rc == ERR_NO_SPACE ? 0 : rc;
}

/* What became of the oldest batch. The mutex is held. */
static void settle(struct store *store, int rc, const struct error *error)
{
    if (rc == 0) {
        struct effects *batch = store->queue;
        store->queue = batch->next;
        append(&store->committed, batch);
        store->state = STORE_OK;
        return;
    }
    store->state = rc == ERR_NO_SPACE ? STORE_FULL : STORE_FAILED;
    store->error = *error;
}

/* Commits the oldest batch; false when the thread is to end. The mutex is held, but not meanwhile.
 */
static bool commit_oldest(struct store *store)
{
    struct effects *batch = store->queue;
    struct error error = {0};
    (void)pthread_mutex_unlock(&store->mutex);
    int rc = store_write_batch(store, batch, &error);
    (void)pthread_mutex_lock(&store->mutex);
    settle(store, rc, &error);
    (void)pthread_mutex_unlock(&store->mutex);
    store->wake(store->wake_context);
    int checkpoint_rc = rc == 0 ? checkpoint(store, &error) : 0;
    (void)pthread_mutex_lock(&store->mutex);
    if (checkpoint_rc != 0) {
        settle(store, checkpoint_rc, &error);
        (void)pthread_mutex_unlock(&store->mutex);
        store->wake(store->wake_context);
        (void)pthread_mutex_lock(&store->mutex);
    }
    if (store->state == STORE_FULL && !store->stopping)
        wait_to_retry(store);
    else if (store->state == STORE_FULL)
        return false;
    return store->state != STORE_FAILED;
}

static void *run_thread(void *context)
{
    struct store *store = context;
    (void)pthread_mutex_lock(&store->mutex);
    for (;;) {
        while (store->queue == NULL && !store->stopping)
            (void)pthread_cond_wait(&store->changed, &store->mutex);
        if (store->queue == NULL || !commit_oldest(store))
            break;
    }
    (void)pthread_mutex_unlock(&store->mutex);
    return NULL;
}

static int note_wal_pages(void *context, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    ((struct store *)context)->wal_pages = pages;
    return SQLITE_OK;
}

int store_thread_start(struct store *store, struct error *error)
{
    (void)sqlite3_wal_hook(store->writer, note_wal_pages, store);
    int rc = pthread_create(&store->thread, NULL, run_thread, store);
    if (rc != 0)
        return error_set_errno(error, ERR_IO, rc, "%s: no thread", store->path);
    store->thread_runs = true;
    return 0;
}

void store_thread_stop(struct store *store)
{
    if (!store->thread_runs)
        return;
    (void)pthread_mutex_lock(&store->mutex);
    store->stopping = true;
    (void)pthread_cond_signal(&store->changed);
    (void)pthread_mutex_unlock(&store->mutex);
    (void)pthread_join(store->thread, NULL);
    store->thread_runs = false;
}

void store_commit(struct store *store, struct effects *batch)
{
    assert(store->thread_runs && store->out < STORE_BATCHES_IN_FLIGHT);
    store->out++;
    (void)pthread_mutex_lock(&store->mutex);
    append(&store->queue, batch);
    (void)pthread_cond_signal(&store->changed);
    (void)pthread_mutex_unlock(&store->mutex);
}

uint32_t store_in_flight(const struct store *store)
{
    return store->out;
}

struct effects *store_take_committed(struct store *store)
{
    (void)pthread_mutex_lock(&store->mutex);
    struct effects *batch = store->committed;
    if (batch != NULL)
        store->committed = batch->next;
    (void)pthread_mutex_unlock(&store->mutex);
    if (batch == NULL)
        return NULL;
    batch->next = NULL;
    assert(store->out > 0);
    store->out--;
    return batch;
}

enum store_state store_state(struct store *store, struct error *error)
{
    (void)pthread_mutex_lock(&store->mutex);
    enum store_state state = store->state;
    if (state != STORE_OK && error != NULL)
        *error = store->error;
    (void)pthread_mutex_unlock(&store->mutex);
    return state;
}
