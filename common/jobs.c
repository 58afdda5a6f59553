#include "common/jobs.h"

#include "common/memory.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

/* Of jobs_create: copies and hashes with buffers of their own on the heap. */
enum { STACK_BYTES = 256 * 1024 };

struct job {
    struct job *next;
    job_fn work;
    job_fn done; /* NULL: posted, its context is given back */
    job_fn drop; /* NULL: the context is another's */
    void *context;
};

struct queue {
    struct job *first, *last;
};

struct jobs {
    struct loop *loop;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* Under the mutex: */
    struct queue waiting, finished;
    bool ending;
    /* The loop's again: */
    size_t stack_bytes; /* 0: the system's */
    int thread_count, started;
    pthread_t threads[];
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

static struct jobs *make(struct loop *loop, int thread_count, size_t stack_bytes)
{
    assert(thread_count > 0);
    size_t threads_bytes = (size_t)thread_count * sizeof(pthread_t);
    struct jobs *jobs = xcalloc(1, sizeof *jobs + threads_bytes);
    jobs->loop = loop;
    jobs->thread_count = thread_count;
    jobs->stack_bytes = stack_bytes;
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

/* Returns 0 or an errno; those that were started stay so. */
static int start(struct jobs *jobs)
{
    pthread_attr_t attributes;
    int rc = 0;
    (void)pthread_attr_init(&attributes);
    if (jobs->stack_bytes > 0)
        (void)pthread_attr_setstacksize(&attributes, jobs->stack_bytes);
    while (rc == 0 && jobs->started < jobs->thread_count) {
        rc = pthread_create(&jobs->threads[jobs->started], &attributes, run, jobs);
        if (rc == 0)
            jobs->started++;
    }
    (void)pthread_attr_destroy(&attributes);
    return rc;
}

struct jobs *jobs_create(struct loop *loop)
{
    return make(loop, 1, STACK_BYTES);
}

int jobs_start(struct loop *loop, int thread_count, const char *purpose, struct jobs **ret_jobs,
    struct error *error)
{
    struct jobs *jobs = make(loop, thread_count, 0);
    int rc = start(jobs);
    if (rc != 0) {
        jobs_destroy(jobs);
        return error_set_errno(error, ERR_IO, rc, "no thread to %s", purpose);
    }
    *ret_jobs = jobs;
    return 0;
}

static void ask(struct jobs *jobs, const struct job *given)
{
    struct job *job = xmalloc(sizeof *job);
    *job = *given;
    if (jobs->started == 0) {
        int rc = start(jobs);
        assert(rc == 0 && "a thread can be made, or a restart is the way out");
        (void)rc;
    }
    (void)pthread_mutex_lock(&jobs->mutex);
    push(&jobs->waiting, job);
    (void)pthread_cond_signal(&jobs->changed);
    (void)pthread_mutex_unlock(&jobs->mutex);
}

void jobs_run(struct jobs *jobs, job_fn work, job_fn done, void *context)
{
    struct job job = {.work = work, .done = done, .context = context};
    if (done == NULL)
        job.done = job.drop = free;
    ask(jobs, &job);
}

void jobs_post(struct jobs *jobs, job_fn work, job_fn drop, void *context)
{
    ask(jobs, &(struct job){.work = work, .drop = drop, .context = context});
}

static struct job *pop_finished(struct jobs *jobs)
{
    if (jobs->started == 0)
        return NULL;
    (void)pthread_mutex_lock(&jobs->mutex);
    struct job *job = pop(&jobs->finished);
    (void)pthread_mutex_unlock(&jobs->mutex);
    return job;
}

bool jobs_take(struct jobs *jobs)
{
    bool any = false;
    for (struct job *job; (job = pop_finished(jobs)) != NULL; free(job)) {
        assert(job->done != NULL && "what was posted is for jobs_next");
        job->done(job->context);
        any = true;
    }
    return any;
}

void *jobs_next(struct jobs *jobs)
{
    for (struct job *job; (job = pop_finished(jobs)) != NULL;) {
        const struct job ended = *job;
        free(job);
        if (ended.done == NULL)
            return ended.context;
        ended.done(ended.context);
    }
    return NULL;
}

static void drop(struct queue *queue)
{
    for (struct job *job = pop(queue); job != NULL; job = pop(queue)) {
        if (job->drop != NULL)
            job->drop(job->context);
        free(job);
    }
}

void jobs_destroy(struct jobs *jobs)
{
    if (jobs == NULL)
        return;
    (void)pthread_mutex_lock(&jobs->mutex);
    jobs->ending = true;
    (void)pthread_cond_broadcast(&jobs->changed);
    (void)pthread_mutex_unlock(&jobs->mutex);
    for (int i = 0; i < jobs->started; i++)
        (void)pthread_join(jobs->threads[i], NULL);
    drop(&jobs->waiting);
    drop(&jobs->finished);
    (void)pthread_cond_destroy(&jobs->changed);
    (void)pthread_mutex_destroy(&jobs->mutex);
    free(jobs);
}
