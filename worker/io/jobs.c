#include "worker/io/jobs.h"

#include "common/memory.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

/* Copies and hashes with buffers of their own on the heap. */
enum { STACK_BYTES = 256 * 1024 };

struct job {
    struct job *next;
    job_fn work, done;
    void *context;
};

struct queue {
    struct job *first, *last;
};

struct jobs {
    struct loop *loop;
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* Under the mutex: */
    struct queue waiting, finished;
    bool ending;
};

static void push(struct queue *queue, struct job *job)
{
    job->next = NULL;
    if (queue->last != NULL)
        queue->last->next = job;
    else
        queue->first = job;
    queue->last = job;
}

static struct job *pop(struct queue *queue)
{
    struct job *job = queue->first;
    if (job == NULL)
        return NULL;
    queue->first = job->next;
    if (queue->first == NULL)
        queue->last = NULL;
    return job;
}

struct jobs *jobs_create(struct loop *loop)
{
    struct jobs *jobs = xcalloc(1, sizeof *jobs);
    jobs->loop = loop;
    (void)pthread_mutex_init(&jobs->mutex, NULL);
    (void)pthread_cond_init(&jobs->changed, NULL);
    return jobs;
}

static void *run(void *context)
{
    struct jobs *jobs = context;
    (void)pthread_mutex_lock(&jobs->mutex);
    for (;;) {
        while (jobs->waiting.first == NULL && !jobs->ending)
            (void)pthread_cond_wait(&jobs->changed, &jobs->mutex);
        if (jobs->ending)
            break;
        struct job *job = pop(&jobs->waiting);
        (void)pthread_mutex_unlock(&jobs->mutex);
        job->work(job->context);
        (void)pthread_mutex_lock(&jobs->mutex);
        push(&jobs->finished, job);
        loop_wake(jobs->loop);
    }
    (void)pthread_mutex_unlock(&jobs->mutex);
    return NULL;
}

static void start(struct jobs *jobs)
{
    pthread_attr_t attributes;
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int rc = pthread_create(&jobs->thread, &attributes, run, jobs);
    assert(rc == 0 && "a thread can be made, or a restart is the way out");
    (void)rc;
    (void)pthread_attr_destroy(&attributes);
    jobs->started = true;
}

void jobs_run(struct jobs *jobs, job_fn work, job_fn done, void *context)
{
    struct job *job = xmalloc(sizeof *job);
    *job = (struct job){.work = work, .done = done, .context = context};
    if (!jobs->started)
        start(jobs);
    (void)pthread_mutex_lock(&jobs->mutex);
    push(&jobs->waiting, job);
    (void)pthread_cond_signal(&jobs->changed);
    (void)pthread_mutex_unlock(&jobs->mutex);
}

bool jobs_take(struct jobs *jobs)
{
    bool any = false;
    if (!jobs->started)
        return false;
    for (;;) {
        (void)pthread_mutex_lock(&jobs->mutex);
        struct job *job = pop(&jobs->finished);
        (void)pthread_mutex_unlock(&jobs->mutex);
        if (job == NULL)
            return any;
        any = true;
        if (job->done != NULL)
            job->done(job->context);
        else
            free(job->context);
        free(job);
    }
}

static void drop(struct queue *queue)
{
    for (struct job *job = pop(queue); job != NULL; job = pop(queue)) {
        if (job->done == NULL)
            free(job->context);
        free(job);
    }
}

void jobs_destroy(struct jobs *jobs)
{
    if (jobs == NULL)
        return;
    (void)pthread_mutex_lock(&jobs->mutex);
    jobs->ending = true;
    (void)pthread_cond_signal(&jobs->changed);
    (void)pthread_mutex_unlock(&jobs->mutex);
    if (jobs->started)
        (void)pthread_join(jobs->thread, NULL);
    drop(&jobs->waiting);
    drop(&jobs->finished);
    (void)pthread_cond_destroy(&jobs->changed);
    (void)pthread_mutex_destroy(&jobs->mutex);
    free(jobs);
}
