#include "master/io/retention.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum {
    /* The first look comes when those that were away are back. */
    FIRST_S = 600,
    /* Logs are looked at so often, but never for more than a part of the time; blobs, which are
       many and cheap to keep, seldom. */
    LOGS_EVERY_S = 60,
    LOGS_SHARE = 20,
    BLOBS_EVERY_S = 6 * 3600,
};

/* ---- logs ---- */

struct kept_run {
    uint64_t run, bytes;
    int64_t ended_at;
};

struct kept_runs {
    struct kept_run *items;
    size_t count, capacity;
};

static void keep_run(void *context, uint64_t run, uint64_t bytes)
{
    struct kept_runs *runs = context;
    vector_reserve(&runs->items, runs->count, &runs->capacity);
    runs->items[runs->count++] = (struct kept_run){.run = run, .bytes = bytes};
}

static int by_end(const void *a, const void *b)
{
    const struct kept_run *one = a, *two = b;
    return (one->ended_at > two->ended_at) - (one->ended_at < two->ended_at);
}

/* Live runs, and those that have no row here, have no end: they stay. */
static int read_ends(struct kept_runs *runs, struct history *history, struct error *error)
{
    int rc = 0;
    for (size_t i = 0; i < runs->count && rc == 0; i++) {
        rc = history_run_end(history, runs->items[i].run, &runs->items[i].ended_at, error);
        if (rc == ERR_NOT_FOUND)
            rc = 0;
    }
    return rc;
}

static bool must_go(const struct retention_config *config, const struct kept_run *run,
    int64_t now_wall, uint64_t left_bytes)
{
    if (run->ended_at == 0)
        return false;
    return (config->keep_logs_ms != 0 &&
               now_wall - run->ended_at > (int64_t)config->keep_logs_ms) ||
           (config->logs_max_bytes != 0 && left_bytes > config->logs_max_bytes);
}

int retention_logs(const struct retention_config *config, struct history *history, int64_t now_wall,
    struct retention_result *ret_result, struct error *error)
{
    struct kept_runs runs = {0};
    *ret_result = (struct retention_result){0};
    int rc = log_each_run(config->blobs, keep_run, &runs, error);
    if (rc == 0)
        rc = read_ends(&runs, history, error);
    if (runs.count > 1)
        qsort(runs.items, runs.count, sizeof *runs.items, by_end);
    for (size_t i = 0; i < runs.count; i++)
        ret_result->left_bytes += runs.items[i].bytes;
    for (size_t i = 0; i < runs.count && rc == 0; i++) {
        if (!must_go(config, &runs.items[i], now_wall, ret_result->left_bytes))
            continue;
        rc = log_expire(config->blobs, runs.items[i].run, error);
        ret_result->runs++;
        ret_result->bytes += runs.items[i].bytes;
        ret_result->left_bytes -= runs.items[i].bytes;
    }
    free(runs.items);
    return rc;
}

/* ---- blobs ---- */

struct marking {
    const struct retention_config *config;
    struct named_blobs named;
    struct error error;
};

static int mark(void *context, enum history_kind kind, const struct hash *hash)
{
    struct marking *marking = context;
    if (kind == HISTORY_MANIFEST)
        return named_blobs_add_manifest(
            &marking->named, marking->config->blobs, hash, &marking->error);
    named_blobs_add(&marking->named, hash);
    return 0;
}

/* Nothing is swept by a list that is not whole. */
int retention_blobs(const struct retention_config *config, struct history *history,
    bool (*go_on)(void *context), void *context, struct blob_swept *ret_swept)
{
    struct marking marking = {.config = config};
    *ret_swept = (struct blob_swept){0};
    int rc = history_each_blob(history, mark, &marking, &marking.error);
    if (rc == 0)
        blob_sweep(config->blobs, &marking.named, go_on, context, ret_swept);
    else
        log_warn("unused files are not removed: %s", marking.error.text);
    named_blobs_fini(&marking.named);
    return rc;
}

/* ---- the thread ---- */

struct retention {
    struct retention_config config;
    struct history *history;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t stopped;
    bool stopping;
    bool told_full;
};

static bool goes_on(void *context)
{
    struct retention *retention = context;
    (void)pthread_mutex_lock(&retention->mutex);
    bool stopping = retention->stopping;
    (void)pthread_mutex_unlock(&retention->mutex);
    return !stopping;
}

/* False: it is to end. */
static bool wait_for(struct retention *retention, uint64_t seconds)
{
    struct timespec until;
    int rc = 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)seconds;
    (void)pthread_mutex_lock(&retention->mutex);
    while (!retention->stopping && rc == 0)
        rc = pthread_cond_timedwait(&retention->stopped, &retention->mutex, &until);
    bool stopping = retention->stopping;
    (void)pthread_mutex_unlock(&retention->mutex);
    return !stopping;
}

static void tidy_logs(struct retention *retention)
{
    const struct retention_config *config = &retention->config;
    struct retention_result result;
    struct error error = {0};
    if (config->keep_logs_ms == 0 && config->logs_max_bytes == 0)
        return;
    if (retention_logs(config, retention->history, clock_wall_ms(), &result, &error) != 0)
        log_warn("old logs are not removed: %s", error.text);
    if (result.runs > 0)
        log_info("removed the logs of %llu ended runs, %llu MiB", (unsigned long long)result.runs,
            (unsigned long long)(result.bytes >> 20));
    bool full = config->logs_max_bytes != 0 && result.left_bytes > config->logs_max_bytes;
    if (full && !retention->told_full)
        log_warn("the logs of runs that have not ended take %llu MiB, more than --logs-max",
            (unsigned long long)(result.left_bytes >> 20));
    retention->told_full = full;
}

static void tidy_blobs(struct retention *retention)
{
    struct blob_swept swept;
    if (retention_blobs(&retention->config, retention->history, goes_on, retention, &swept) == 0 &&
        swept.blobs > 0)
        log_info("removed %llu files that no run needs, %llu MiB", (unsigned long long)swept.blobs,
            (unsigned long long)(swept.bytes >> 20));
}

static void *run_thread(void *context)
{
    struct retention *retention = context;
    uint64_t blobs_ms = 0, pause_s = FIRST_S;
    while (wait_for(retention, pause_s)) {
        uint64_t begun_ms = clock_boot_ms();
        tidy_logs(retention);
        pause_s = (clock_boot_ms() - begun_ms) * LOGS_SHARE / 1000;
        if (pause_s < LOGS_EVERY_S)
            pause_s = LOGS_EVERY_S;
        if (blobs_ms == 0 || begun_ms > blobs_ms + BLOBS_EVERY_S * UINT64_C(1000)) {
            blobs_ms = begun_ms;
            tidy_blobs(retention);
        }
    }
    return NULL;
}

static void destroy(struct retention *retention)
{
    history_close(retention->history);
    (void)pthread_cond_destroy(&retention->stopped);
    (void)pthread_mutex_destroy(&retention->mutex);
    free(retention);
}

int retention_start(
    const struct retention_config *config, struct retention **ret_retention, struct error *error)
{
    struct retention *retention = xcalloc(1, sizeof *retention);
    pthread_condattr_t attributes;
    retention->config = *config;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&retention->stopped, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&retention->mutex, NULL);
    int rc = history_open(config->folder, &retention->history, error);
    int thread_rc = rc == 0 ? pthread_create(&retention->thread, NULL, run_thread, retention) : 0;
    if (thread_rc != 0)
        rc = error_set_errno(error, ERR_IO, thread_rc, "no thread to remove what is old");
    if (rc != 0) {
        destroy(retention);
        return rc;
    }
    *ret_retention = retention;
    return 0;
}

void retention_stop(struct retention *retention)
{
    if (retention == NULL)
        return;
    (void)pthread_mutex_lock(&retention->mutex);
    retention->stopping = true;
    (void)pthread_cond_signal(&retention->stopped);
    (void)pthread_mutex_unlock(&retention->mutex);
    (void)pthread_join(retention->thread, NULL);
    destroy(retention);
}
