#include "cli/bundle_send.h"

#include "cli/upload.h"
#include "common/memory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* The bundle, its content in `upload`. */
static int make(struct upload *upload, const char *path, const struct plan *plan,
    struct bundle *ret_bundle, struct error *error)
{
    const struct bundle_sink sink = upload_sink(upload);
    const uint32_t *items = plan_items(plan, plan->header->files);
    uint32_t count = plan->header->files.count;
    struct slice *only = xcalloc(count + 1, sizeof *only);
    struct bundle_wish wish = {.path = path, .only = only, .only_count = count};
    for (uint32_t i = 0; i < count; i++)
        only[i] = plan_string(plan, items[i]);
    /* `files: []`: the DAG's own file travels alone. */
    if ((plan->header->flags & PLAN_FILES_IN_FOLDER) == 0) {
        only[0] = slice_of(strrchr(path, '/') + 1);
        wish.only_count = 1;
    }
    struct seen_files *seen = seen_files_create();
    int rc = bundle_make(&wish, seen, &sink, ret_bundle, error);
    seen_files_destroy(seen);
    free(only);
    return rc;
}

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
    rc = make(upload, path, &plan, &bundle, error);
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
