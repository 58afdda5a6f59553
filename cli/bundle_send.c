#include "cli/bundle_send.h"

#include "cli/bundle_local.h"
#include "cli/upload.h"
#include "common/memory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

int bundle_send(struct client *client, const char *path, const struct dag_file *file,
    struct bundle_sent *ret_sent, struct error *error)
{
    const char *slash = strrchr(path, '/');
    struct plan plan;
    struct bundle bundle;
    assert(slash != NULL);
    int rc = plan_open(buffer_slice(&file->plan), &plan, error);
    if (rc != 0)
        return rc;
    char *folder = slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
    struct upload *upload = upload_create(folder);
    const struct bundle_sink sink = upload_sink(upload);
    rc = bundle_local_make(path, &plan, &sink, &bundle, error);
    if (rc == 0)
        rc = bundle_check_files(&plan, upload_bytes(upload, &bundle.manifest), error);
    if (rc == 0)
        rc = upload_run(upload, client, error);
    if (rc == 0) {
        ret_sent->manifest = bundle.manifest;
        (void)snprintf(ret_sent->file, sizeof ret_sent->file, "%s", slash + 1);
    }
    upload_destroy(upload);
    free(folder);
    return rc;
}
