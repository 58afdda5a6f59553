#include "master/io/compiler.h"

#include "common/jobs.h"
#include "common/memory.h"

#include <stdlib.h>

struct compiler {
    struct jobs *jobs; /* on one thread */
    struct blob_store *blobs;
    struct dag_files files; /* the thread's alone */
};

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

static void do_job(void *context)
{
    struct compile_job *job = context;
    struct compiler *compiler = job->compiler;
    if (job->list) {
        dag_files_scan(&compiler->files);
        dag_files_list(&compiler->files, &job->submission.arena, &job->lines);
    } else if (job->dag.length > 0) {
        find_and_prepare(compiler, job);
    } else {
        submission_prepare(&job->submission, compiler->blobs);
    }
}

static void scan(void *context)
{
    struct compiler *compiler = context;
    dag_files_scan(&compiler->files);
}

static void scanned(void *context)
{
    (void)context;
}

int compiler_create(struct blob_store *blobs, const char *const *folders, size_t folder_count,
    struct loop *loop, struct compiler **ret_compiler, struct error *error)
{
    struct compiler *compiler = xcalloc(1, sizeof *compiler);
    compiler->blobs = blobs;
    dag_files_init(&compiler->files, folders, folder_count);
    int rc = jobs_start(loop, 1, "read DAG files", &compiler->jobs, error);
    if (rc != 0) {
        compiler_destroy(compiler);
        return rc;
    }
    /* So that the first question about DAGs need not wait for all files to be read. */
    jobs_run(compiler->jobs, scan, scanned, compiler);
    *ret_compiler = compiler;
    return 0;
}

void compiler_destroy(struct compiler *compiler)
{
    if (compiler == NULL)
        return;
    jobs_destroy(compiler->jobs);
    dag_files_fini(&compiler->files);
    free(compiler);
}

static void drop(void *job)
{
    compile_job_free(job);
}

void compiler_post(struct compiler *compiler, struct compile_job *job)
{
    job->compiler = compiler;
    jobs_post(compiler->jobs, do_job, drop, job);
}

struct compile_job *compiler_take(struct compiler *compiler)
{
    return jobs_next(compiler->jobs);
}
