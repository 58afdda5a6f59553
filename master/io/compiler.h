/*
 * compiler.h - the thread that reads DAG files, so that a large file or a slow disk never holds up
 * the loop. Jobs are done one after another and taken back by the loop's thread in the same order.
 */
#ifndef MASTER_IO_COMPILER_H
#define MASTER_IO_COMPILER_H

#include "common/loop.h"
#include "master/io/dag_files.h"
#include "master/io/submission.h"

struct compiler;

/* What is given is borrowed until the job comes back. */
struct compile_job {
    struct compiler *compiler; /* compiler_post sets it */
    void *owner;               /* the loop's */
    /* A DAG of the master to be found and submitted, a file to be submitted, or the DAGs to be
     * listed. */
    struct slice dag;
    bool list;
    struct submission submission;
    struct dag_lines lines; /* in the submission's arena */
};

int compiler_create(struct blob_store *blobs, const char *const *folders, size_t folder_count,
    struct loop *loop, struct compiler **ret_compiler, struct error *error);
/* Waits for the job that is being done; the others are dropped. */
void compiler_destroy(struct compiler *compiler);

/* Takes the job. */
void compiler_post(struct compiler *compiler, struct compile_job *job);
/* The next job that is done, or NULL. The loop is woken when one is. */
struct compile_job *compiler_take(struct compiler *compiler);
void compile_job_free(struct compile_job *job);

#endif
