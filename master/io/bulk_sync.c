#include "master/io/bulk_sync.h"

#include "common/jobs.h"
#include "common/memory.h"

#include <stdlib.h>

enum { SYNC_THREADS = 4 };

struct bulk_sync {
    struct blob_store *blobs;
    struct jobs *jobs;
};

static void do_job(void *context)
{
    struct sync_job *job = context;
    if (job->upload != NULL)
        job->code = blob_upload_finish(job->upload, &job->error);
    else
        job->code = log_finish(job->blobs, &job->log, job->length, &job->error);
}

int bulk_sync_create(
    struct blob_store *blobs, struct loop *loop, struct bulk_sync **ret_sync, struct error *error)
{
    struct jobs *jobs;
    int rc = jobs_start(loop, SYNC_THREADS, "sync logs", &jobs, error);
    if (rc != 0)
        return rc;
    struct bulk_sync *sync = xmalloc(sizeof *sync);
    *sync = (struct bulk_sync){.blobs = blobs, .jobs = jobs};
    *ret_sync = sync;
    return 0;
}

void bulk_sync_destroy(struct bulk_sync *sync)
{
    if (sync == NULL)
        return;
    jobs_destroy(sync->jobs);
    free(sync);
}

void bulk_sync_post(struct bulk_sync *sync, struct sync_job *job)
{
    job->blobs = sync->blobs;
    jobs_post(sync->jobs, do_job, free, job);
}

struct sync_job *bulk_sync_take(struct bulk_sync *sync)
{
    return jobs_next(sync->jobs);
}
