#include "master/io/sent_bundle.h"

#include "common/file.h"
#include "common/limits.h"

#include <inttypes.h>

enum { LINK_TARGET_MAX = 4096 };

static const struct manifest_file *find(const struct manifest *manifest, struct slice path)
{
    size_t low = 0, high = manifest->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(manifest->files[middle].path, path);
        if (order == 0)
            return &manifest->files[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Whether a folder above it is a file or link of the manifest. */
static bool lies_in_a_file(const struct manifest *manifest, struct slice path)
{
    for (size_t i = path.length; i > 0; i--) {
        if (path.ptr[i - 1] == '/' && find(manifest, slice_make(path.ptr, i - 1)) != NULL)
            return true;
    }
    return false;
}

static int check_link(
    const struct blob_store *blobs, const struct manifest_file *file, struct error *error)
{
    struct buffer target = {0};
    struct blob_range all = {0, LINK_TARGET_MAX};
    uint64_t bytes;
    int rc = blob_read(blobs, &file->hash, &all, &target, &bytes, error);
    if (rc == 0 && !manifest_link_stays(file->path, buffer_slice(&target)))
        rc = error_set(error, ERR_INVALID, "%.*s: a link that leaves the DAG's folder",
            SLICE_PRINT(file->path));
    buffer_fini(&target);
    return rc;
}

static int check_file(const struct blob_store *blobs, const struct manifest *manifest,
    const struct manifest_file *file, struct error *error)
{
    uint64_t bytes;
    if (lies_in_a_file(manifest, file->path))
        return error_set(
            error, ERR_INVALID, "%.*s: what it lies in is no folder", SLICE_PRINT(file->path));
    if (!blob_has(blobs, &file->hash, &bytes))
        return error_set(error, ERR_NOT_FOUND,
            "%.*s: its content has not come to the master: send the files first",
            SLICE_PRINT(file->path));
    if (bytes != file->size)
        return error_set(error, ERR_INVALID,
            "%.*s: the bundle says %" PRIu64 " bytes, its content has %" PRIu64,
            SLICE_PRINT(file->path), file->size, bytes);
    return file->mode == MANIFEST_MODE_LINK ? check_link(blobs, file, error) : 0;
}

static int check(
    const struct blob_store *blobs, const struct manifest *manifest, struct error *error)
{
    uint64_t total = 0;
    int rc = 0;
    for (size_t i = 0; i < manifest->count && rc == 0; i++) {
        rc = check_file(blobs, manifest, &manifest->files[i], error);
        total += manifest->files[i].size;
    }
    if (rc == 0 && total > BUNDLE_MAX_BYTES)
        rc = error_set(error, ERR_TOO_BIG,
            "the DAG's folder has %" PRIu64 " bytes, at most %d are sent along: put the DAG in a "
            "folder of its own, or set `files`",
            total, BUNDLE_MAX_BYTES);
    return rc;
}

int sent_bundle_open(const struct blob_store *blobs, struct slice hash, struct arena *arena,
    struct sent_bundle *ret_bundle, struct error *error)
{
    if (hash.length != sizeof ret_bundle->hash.bytes)
        return error_set(error, ERR_MALFORMED, "a bundle's hash has %zu bytes, this one %zu",
            sizeof ret_bundle->hash.bytes, hash.length);
    memcpy(ret_bundle->hash.bytes, hash.ptr, hash.length);
    int rc = blob_map(blobs, &ret_bundle->hash, &ret_bundle->text, error);
    if (rc == ERR_NOT_FOUND)
        return error_set(
            error, rc, "the DAG's files have not come to the master: send the files first");
    if (rc == 0)
        rc = manifest_parse(ret_bundle->text, arena, &ret_bundle->manifest, error);
    if (rc == ERR_CORRUPT)
        return error->code = ERR_INVALID;
    return rc == 0 ? check(blobs, &ret_bundle->manifest, error) : rc;
}

int sent_bundle_read(const struct blob_store *blobs, const struct sent_bundle *bundle,
    struct slice path, struct buffer *out, struct error *error)
{
    const struct manifest_file *file = find(&bundle->manifest, path);
    struct slice text;
    if (file == NULL || file->mode == MANIFEST_MODE_LINK)
        return error_set(
            error, ERR_NOT_FOUND, "%.*s: is not among the files that were sent", SLICE_PRINT(path));
    if (file->size == 0)
        return 0;
    int rc = blob_map(blobs, &file->hash, &text, error);
    if (rc != 0)
        return rc;
    buffer_append_slice(out, text);
    file_unmap(text);
    return 0;
}

void sent_bundle_close(struct sent_bundle *bundle)
{
    if (bundle->text.length > 0)
        file_unmap(bundle->text);
    *bundle = (struct sent_bundle){0};
}
