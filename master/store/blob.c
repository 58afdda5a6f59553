#include "common/clock.h"
#include "common/dag/bundle_seen.h"
#include "common/file.h"
#include "common/memory.h"
#include "master/store/blob_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A blob that somebody asks for is not made new again before. */
enum { REFRESH_AFTER_S = 3600 };

int blob_fail(const char *path, struct error *error)
{
    return error_set_errno(error, error_file_code(errno), errno, "%s", path);
}

/* What a crash left half-written goes; an upload, named by its hash, is gone on with. */
static void remove_leftovers(const char *staging)
{
    DIR *folder = opendir(staging);
    if (folder == NULL)
        return;
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        if (strncmp(entry->d_name, FILE_TEMPORARY_PREFIX, strlen(FILE_TEMPORARY_PREFIX)) == 0)
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
    }
    (void)closedir(folder);
}

/* An earlier process may have made folders and died before it synced them. */
static int make_folders(struct blob_store *store, const char *folder, struct error *error)
{
    int rc = file_make_folder(store->staging, 0700, error);
    if (rc == 0)
        rc = file_make_folder(store->logs, 0700, error);
    if (rc == 0)
        rc = file_sync_folder(store->blobs, error);
    return rc != 0 ? rc : file_sync_folder(folder, error);
}

int blob_open(const char *folder, struct blob_store **ret_store, struct error *error)
{
    struct blob_store *store = xcalloc(1, sizeof *store);
    store->blobs = xasprintf("%s/blobs", folder);
    store->staging = xasprintf("%s/blobs/tmp", folder);
    store->logs = xasprintf("%s/logs", folder);
    (void)pthread_mutex_init(&store->mutex, NULL);
    store->folders = blob_folders_create();
    store->seen = seen_files_create();
    int rc = 0;
    /* A blob's path, and a log's, must fit what callers reserve. */
    if (strlen(folder) > BLOB_PATH_MAX - 128)
        rc = error_set(error, ERR_USAGE, "%.80s…: the folder's path is too long", folder);
    if (rc == 0)
        rc = make_folders(store, folder, error);
    if (rc != 0) {
        blob_close(store);
        return rc;
    }
    remove_leftovers(store->staging);
    *ret_store = store;
    return 0;
}

void blob_close(struct blob_store *store)
{
    if (store == NULL)
        return;
    log_files_close(store);
    table_fini(&store->synced_runs);
    blob_folders_destroy(store->folders);
    seen_files_destroy(store->seen);
    (void)pthread_mutex_destroy(&store->mutex);
    free(store->blobs);
    free(store->staging);
    free(store->logs);
    free(store);
}

void blob_path(const struct blob_store *store, const struct hash *hash, char path[BLOB_PATH_MAX])
{
    char hex[HASH_HEX_MAX];
    hash_hex(hash, hex);
    (void)snprintf(path, BLOB_PATH_MAX, "%s/%.2s/%s", store->blobs, hex, hex + 2);
}

bool blob_has(const struct blob_store *store, const struct hash *hash, uint64_t *ret_bytes)
{
    char path[BLOB_PATH_MAX];
    struct stat status;
    blob_path(store, hash, path);
    blob_names_lock(store);
    bool is_there = stat(path, &status) == 0 && S_ISREG(status.st_mode);
    if (is_there && status.st_mtim.tv_sec < clock_wall_ms() / 1000 - REFRESH_AFTER_S)
        (void)utimensat(AT_FDCWD, path, NULL, 0);
    blob_names_unlock(store);
    if (!is_there || !blob_name_lasts(store, hash))
        return false;
    if (ret_bytes != NULL)
        *ret_bytes = (uint64_t)status.st_size;
    return true;
}

/* Maps a file; an empty one gives the empty slice, which file_unmap takes. */
static int map_file(const char *path, struct slice *ret_bytes, struct error *error)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return blob_fail(path, error);
    if (status.st_size == 0) {
        *ret_bytes = slice_make("", 0);
        return 0;
    }
    return file_map(path, ret_bytes, error);
}

int blob_hash_file(
    const char *path, struct hash *ret_hash, uint64_t *ret_bytes, struct error *error)
{
    struct slice bytes;
    int rc = map_file(path, &bytes, error);
    if (rc != 0)
        return rc;
    hash_of(bytes, ret_hash);
    if (ret_bytes != NULL)
        *ret_bytes = bytes.length;
    file_unmap(bytes);
    return 0;
}

int blob_put(
    struct blob_store *store, struct slice bytes, struct hash *ret_hash, struct error *error)
{
    struct blob_stage stage;
    int rc = blob_stage_init(&stage, store, error);
    if (rc == 0)
        rc = blob_stage_bytes(&stage, bytes, ret_hash, error);
    if (rc == 0)
        rc = blob_stage_commit(&stage, error);
    blob_stage_fini(&stage);
    return rc;
}

int blob_map(const struct blob_store *store, const struct hash *hash, struct slice *ret_bytes,
    struct error *error)
{
    char path[BLOB_PATH_MAX];
    struct slice bytes;
    struct hash found;
    blob_path(store, hash, path);
    int rc = map_file(path, &bytes, error);
    if (rc != 0)
        return rc;
    hash_of(bytes, &found);
    if (memcmp(&found, hash, sizeof found) != 0) {
        file_unmap(bytes);
        return error_set(
            error, ERR_CORRUPT, "%s: damaged: its content does not have its hash", path);
    }
    *ret_bytes = bytes;
    return 0;
}

int blob_read(const struct blob_store *store, const struct hash *hash,
    const struct blob_range *range, struct buffer *out, uint64_t *ret_bytes, struct error *error)
{
    char path[BLOB_PATH_MAX];
    blob_path(store, hash, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return blob_fail(path, error);
    int rc = 0;
    struct stat status;
    ssize_t got = 0;
    if (fstat(fd, &status) != 0)
        rc = blob_fail(path, error);
    else if (range->offset < (uint64_t)status.st_size)
        got = pread(fd, buffer_reserve(out, range->limit), range->limit, (off_t)range->offset);
    if (got < 0)
        rc = blob_fail(path, error);
    if (rc == 0) {
        out->length += (size_t)got;
        *ret_bytes = (uint64_t)status.st_size;
    }
    (void)close(fd);
    return rc;
}
