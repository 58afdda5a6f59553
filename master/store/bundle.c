#include "master/store/bundle.h"

#include "common/dag/bundle_make.h"
#include "common/file.h"
#include "master/store/blob_store.h"

static bool has(void *context, const struct hash *hash, uint64_t *ret_bytes)
{
    const struct blob_stage *stage = context;
    return blob_has(stage->store, hash, ret_bytes);
}

static int take_file(
    void *context, int fd, uint64_t max_bytes, struct manifest_file *file, struct error *error)
{
    return blob_stage_descriptor(context, fd, max_bytes, file, error);
}

static int take_bytes(void *context, struct slice bytes, struct hash *ret_hash, struct error *error)
{
    return blob_stage_bytes(context, bytes, ret_hash, error);
}

int bundle_snapshot(struct blob_store *store, const char *path, const struct texts *only,
    struct hash *ret_manifest, uint32_t *ret_files, struct error *error)
{
    struct blob_stage stage;
    struct bundle bundle;
    const struct bundle_wish wish = {path, only->items, only->count};
    const struct bundle_sink sink = {&stage, has, take_file, take_bytes};
    int rc = blob_stage_init(&stage, store, error);
    if (rc == 0)
        rc = bundle_make(&wish, store->seen, &sink, &bundle, error);
    if (rc == 0)
        rc = blob_stage_commit(&stage, error);
    blob_stage_fini(&stage);
    if (rc == 0) {
        *ret_manifest = bundle.manifest;
        *ret_files = bundle.files;
    }
    return rc;
}

int bundle_check(const struct blob_store *store, const struct plan *plan,
    const struct hash *manifest, struct error *error)
{
    struct slice text;
    int rc = blob_map(store, manifest, &text, error);
    if (rc != 0)
        return rc;
    rc = bundle_check_files(plan, text, error);
    file_unmap(text);
    return rc;
}
