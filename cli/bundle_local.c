#include "cli/bundle_local.h"

#include "common/buffer.h"
#include "common/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int bundle_local_make(const char *path, const struct plan *plan, const struct bundle_sink *sink,
    struct bundle *ret_bundle, struct error *error)
{
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
    int rc = bundle_make(&wish, seen, sink, ret_bundle, error);
    seen_files_destroy(seen);
    free(only);
    return rc;
}

/* ---- a look: a sink that keeps the last text, which is the manifest, and no content ---- */

static bool has_nothing(void *context, const struct hash *hash, uint64_t *ret_bytes)
{
    (void)context;
    (void)hash;
    (void)ret_bytes;
    return false;
}

static int pass_file(
    void *context, int fd, uint64_t max_bytes, struct manifest_file *file, struct error *error)
{
    struct stat status;
    (void)context;
    if (fstat(fd, &status) != 0)
        return error_set_errno(error, ERR_IO, errno, "fstat");
    file->hash = (struct hash){0};
    file->size = (uint64_t)status.st_size;
    return file->size <= max_bytes ? 0 : error_set(error, ERR_TOO_BIG, "it is too big");
}

static int keep_text(void *context, struct slice bytes, struct hash *ret_hash, struct error *error)
{
    struct buffer *text = context;
    (void)error;
    buffer_clear(text);
    buffer_append_slice(text, bytes);
    *ret_hash = (struct hash){0};
    return 0;
}

int bundle_local_check(const char *path, const struct plan *plan, struct error *error)
{
    struct buffer manifest = {0};
    struct bundle bundle;
    const struct bundle_sink sink = {&manifest, has_nothing, pass_file, keep_text};
    int rc = bundle_local_make(path, plan, &sink, &bundle, error);
    if (rc == 0)
        rc = bundle_check_files(plan, buffer_slice(&manifest), error);
    buffer_fini(&manifest);
    return rc;
}
