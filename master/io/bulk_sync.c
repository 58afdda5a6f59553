#include "master/io/bulk_sync.h"

#include "common/memory.h"

#include <pthread.h>
#include <stdlib.h>

enum { SYNC_THREADS = 4 };

struct jobs {
    struct sync_job *first, *last;
};

struct bulk_sync {
    struct blob_store *blobs;
    struct loop *loop;
    pthread_t threads[SYNC_THREADS];
    int thread_count;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct jobs asked, done;
    bool stopping;
};

static void append(struct jobs *jobs, struct sync_job *job)
{
    job->next = NULL;
    if (jobs->last != NULL)
        jobs->last->next = job;
    else
        jobs->first = job;
    jobs->last = job;
}

static struct sync_job *pop(struct jobs *jobs)
{
    struct sync_job *job = jobs->first;
    if (job == NULL)
        return NULL;
    jobs->first = job->next;
    if (jobs->first == NULL)
        jobs->last = NULL;
    job->next = NULL;
    return job;
}

static void do_job(struct bulk_sync *sync, struct sync_job *job)
{
    if (job->upload != NULL)
        job->code = blob_upload_finish(job->upload, &job->error);
    else
        job->code = log_finish(sync->blobs, &job->log, job->length, &job->error);
}

static void *run_thread(void *context)
{
    struct bulk_sync *sync = context;
    (void)pthread_mutex_lock(&sync->mutex);
    while (!sync->stopping) {
        struct sync_job *job = pop(&sync->asked);
        if (job == NULL) {
            (void)pthread_cond_wait(&sync->changed, &sync->mutex);
            continue;
        }
        (void)pthread_mutex_unlock(&sync->mutex);
        do_job(sync, job);
        (void)pthread_mutex_lock(&sync->mutex);
        append(&sync->done, job);
        loop_wake(sync->loop);
    }
    (void)pthread_mutex_unlock(&sync->mutex);
    return NULL;
}

int bulk_sync_create(
    struct blob_store *blobs, struct loop *loop, struct bulk_sync **ret_sync, struct error *error)
{
    struct bulk_sync *sync = xcalloc(1, sizeof *sync);
    sync->blobs = blobs;
    sync->loop = loop;
    (void)pthread_mutex_init(&sync->mutex, NULL);
    (void)pthread_cond_init(&sync->changed, NULL);
    for (int i = 0; i < SYNC_THREADS; i++) {
        int rc = pthread_create(&sync->threads[i], NULL, run_thread, sync);
        if (rc != 0) {
            bulk_sync_destroy(sync);
            return error_set_errno(error, ERR_IO, rc, "no thread to sync logs");
        }
        sync->thread_count++;
    }
    *ret_sync = sync;
    return 0;
}

static void free_jobs(struct jobs *jobs)
{
    for (struct sync_job *job; (job = pop(jobs)) != NULL;)
        free(job);
}

void bulk_sync_destroy(struct bulk_sync *sync)
{
    if (sync == NULL)
        return;
    (void)pthread_mutex_lock(&sync->mutex);
    sync->stopping = true;
    (void)pthread_cond_broadcast(&sync->changed);
    (void)pthread_mutex_unlock(&sync->mutex);
    for (int i = 0; i < sync->thread_count; i++)
        (void)pthread_join(sync->threads[i], NULL);
    free_jobs(&sync->asked);
    free_jobs(&sync->done);
    (void)pthread_cond_destroy(&sync->changed);
    (void)pthread_mutex_destroy(&sync->mutex);
    free(sync);
}

void bulk_sync_post(struct bulk_sync *sync, struct sync_job *job)
{
    (void)pthread_mutex_lock(&sync->mutex);
    append(&sync->asked, job);
    (void)pthread_cond_signal(&sync->changed);
    (void)pthread_mutex_unlock(&sync->mutex);
}

struct sync_job *bulk_sync_take(struct bulk_sync *sync)
{
    (void)pthread_mutex_lock(&sync->mutex);
    struct sync_job *job = pop(&sync->done);
    (void)pthread_mutex_unlock(&sync->mutex);
    return job;
}
