#include "common/copy.h"
#include "common/file.h"
#include "common/memory.h"
#include "common/random.h"
#include "common/stop_point.h"
#include "master/store/blob_store.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

int blob_stage_init(struct blob_stage *stage, struct blob_store *store, struct error *error)
{
    *stage = (struct blob_stage){.store = store};
    stage->fd = open(store->staging, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return stage->fd < 0 ? blob_fail(store->staging, error) : 0;
}

/* A new file in the staging folder; *ret_path is owned by the caller. */
static int make_temporary(
    struct blob_stage *stage, int *ret_fd, char **ret_path, struct error *error)
{
    char *path =
        xasprintf("%s/" FILE_TEMPORARY_PREFIX "%016" PRIx64, stage->store->staging, random_id());
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        int rc = blob_fail(path, error);
        free(path);
        return rc;
    }
    *ret_fd = fd;
    *ret_path = path;
    return 0;
}

/* Takes fd and path, a written file of this hash. */
static int keep(
    struct blob_stage *stage, int fd, char *path, const struct hash *hash, struct error *error)
{
    int rc = 0;
    if (stage->count < BLOB_SYNC_EACH_MAX && fsync(fd) != 0)
        rc = blob_fail(path, error);
    if (close(fd) != 0 && rc == 0)
        rc = blob_fail(path, error);
    if (rc != 0) {
        (void)unlink(path);
        free(path);
        return rc;
    }
    vector_reserve(&stage->items, stage->count, &stage->capacity);
    stage->items[stage->count++] = (struct staged_blob){path, *hash};
    return 0;
}

static void drop(int fd, char *path)
{
    (void)close(fd);
    (void)unlink(path);
    free(path);
}

int blob_stage_bytes(
    struct blob_stage *stage, struct slice bytes, struct hash *ret_hash, struct error *error)
{
    struct hash hash;
    hash_of(bytes, &hash);
    int rc = 0;
    if (!blob_has(stage->store, &hash, NULL)) {
        char *path;
        int fd;
        rc = make_temporary(stage, &fd, &path, error);
        if (rc != 0)
            return rc;
        rc = file_write_all(fd, bytes.ptr, bytes.length, error);
        if (rc == 0)
            rc = keep(stage, fd, path, &hash, error);
        else
            drop(fd, path);
    }
    if (rc == 0)
        *ret_hash = hash;
    return rc;
}

int blob_stage_descriptor(struct blob_stage *stage, int fd, uint64_t max_bytes,
    struct manifest_file *ret_file, struct error *error)
{
    char *path;
    struct hash hash;
    uint64_t bytes;
    int copy;
    int rc = make_temporary(stage, &copy, &path, error);
    if (rc != 0)
        return rc;
    /* The copy is hashed and not the source, which may change at any time. */
    rc = copy_descriptor(fd, copy, max_bytes, NULL, error);
    if (rc == 0)
        rc = blob_hash_file(path, &hash, &bytes, error);
    if (rc != 0 || blob_has(stage->store, &hash, NULL))
        drop(copy, path);
    else
        rc = keep(stage, copy, path, &hash, error);
    if (rc == 0) {
        ret_file->hash = hash;
        ret_file->size = bytes;
    }
    return rc;
}

int blob_stage_commit(struct blob_stage *stage, struct error *error)
{
    uint32_t named[256] = {0};
    int rc = 0;
    if (stage->count > BLOB_SYNC_EACH_MAX && syncfs(stage->fd) != 0)
        rc = blob_fail(stage->store->staging, error);
    stop_here(STOP_BLOBS_STAGED);
    for (size_t i = 0; rc == 0 && i < stage->count; i++) {
        struct staged_blob *item = &stage->items[i];
        rc = blob_name(stage->store, item->path, &item->hash, error);
        named[item->hash.bytes[0]] += rc == 0;
    }
    stop_here(STOP_BLOBS_NAMED);
    /* After an error too: what was named is there, and others may rely on it. */
    for (unsigned i = 0; i < 256; i++) {
        int synced =
            named[i] > 0 ? blob_sync_names(stage->store, (unsigned char)i, named[i], error) : 0;
        rc = rc != 0 ? rc : synced;
    }
    return rc;
}

void blob_stage_fini(struct blob_stage *stage)
{
    for (size_t i = 0; i < stage->count; i++) {
        (void)unlink(stage->items[i].path);
        free(stage->items[i].path);
    }
    free(stage->items);
    if (stage->fd >= 0)
        (void)close(stage->fd);
}
