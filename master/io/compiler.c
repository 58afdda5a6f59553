#include "master/io/compiler.h"

#include "common/memory.h"

#include <pthread.h>
#include <stdlib.h>

struct jobs {
    struct compile_job *first, *last;
};

struct compiler {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct jobs asked, done;
    bool stopping;
    struct blob_store *blobs;
    struct loop *loop;
    struct dag_files files; /* the thread's alone */
};

static void append(struct jobs *jobs, struct compile_job *job)
{
    job->next = NULL;
    if (jobs->last != NULL)
        jobs->last->next = job;
    else
        jobs->first = job;
    jobs->last = job;
}

static struct compile_job *pop(struct jobs *jobs)
{
    struct compile_job *job = jobs->first;
    if (job == NULL)
        return NULL;
    jobs->first = job->next;
    if (jobs->first == NULL)
        jobs->last = NULL;
    job->next = NULL;
    return job;
}

void compile_job_free(struct compile_job *job)
{
    submission_fini(&job->submission);
    free(job);
}

static void find_and_prepare(struct compiler *compiler, struct compile_job *job)
{
    struct error error = {0};
    const char *path;
    dag_files_scan(&compiler->files);
    int rc = dag_files_find(&compiler->files, job->dag, &path, &error);
    if (rc != 0) {
        job->submission.code = rc;
        buffer_append_text(&job->submission.why, error.text);
        return;
    }
    job->submission.path = slice_of(path);
    submission_prepare(&job->submission, compiler->blobs);
}

static void do_job(struct compiler *compiler, struct compile_job *job)
{
    if (job->list) {
        dag_files_scan(&compiler->files);
        dag_files_list(&compiler->files, &job->submission.arena, &job->lines);
    } else if (job->dag.length > 0) {
        find_and_prepare(compiler, job);
    } else {
        submission_prepare(&job->submission, compiler->blobs);
    }
}

static void *run_thread(void *context)
{
    struct compiler *compiler = context;
    /* So that the first question about DAGs need not wait for all files to be read. */
    dag_files_scan(&compiler->files);
    (void)pthread_mutex_lock(&compiler->mutex);
    while (!compiler->stopping) {
        struct compile_job *job = pop(&compiler->asked);
        if (job == NULL) {
            (void)pthread_cond_wait(&compiler->changed, &compiler->mutex);
            continue;
        }
        (void)pthread_mutex_unlock(&compiler->mutex);
        do_job(compiler, job);
        (void)pthread_mutex_lock(&compiler->mutex);
        append(&compiler->done, job);
        loop_wake(compiler->loop);
    }
    (void)pthread_mutex_unlock(&compiler->mutex);
    return NULL;
}

int compiler_create(struct blob_store *blobs, const char *const *folders, size_t folder_count,
    struct loop *loop, struct compiler **ret_compiler, struct error *error)
{
    struct compiler *compiler = xcalloc(1, sizeof *compiler);
    compiler->blobs = blobs;
    compiler->loop = loop;
    dag_files_init(&compiler->files, folders, folder_count);
    (void)pthread_mutex_init(&compiler->mutex, NULL);
    (void)pthread_cond_init(&compiler->changed, NULL);
    int rc = pthread_create(&compiler->thread, NULL, run_thread, compiler);
    if (rc != 0) {
        free(compiler);
        return error_set_errno(error, ERR_IO, rc, "no thread to read DAG files");
    }
    *ret_compiler = compiler;
    return 0;
}

static void free_jobs(struct jobs *jobs)
{
    for (struct compile_job *job; (job = pop(jobs)) != NULL;)
        compile_job_free(job);
}

void compiler_destroy(struct compiler *compiler)
{
    if (compiler == NULL)
        return;
    (void)pthread_mutex_lock(&compiler->mutex);
    compiler->stopping = true;
    (void)pthread_cond_signal(&compiler->changed);
    (void)pthread_mutex_unlock(&compiler->mutex);
    (void)pthread_join(compiler->thread, NULL);
    free_jobs(&compiler->asked);
    free_jobs(&compiler->done);
    dag_files_fini(&compiler->files);
    (void)pthread_cond_destroy(&compiler->changed);
    (void)pthread_mutex_destroy(&compiler->mutex);
    free(compiler);
}

void compiler_post(struct compiler *compiler, struct compile_job *job)
{
    (void)pthread_mutex_lock(&compiler->mutex);
    append(&compiler->asked, job);
    (void)pthread_cond_signal(&compiler->changed);
    (void)pthread_mutex_unlock(&compiler->mutex);
}

struct compile_job *compiler_take(struct compiler *compiler)
{
    (void)pthread_mutex_lock(&compiler->mutex);
    struct compile_job *job = pop(&compiler->done);
    (void)pthread_mutex_unlock(&compiler->mutex);
    return job;
}
