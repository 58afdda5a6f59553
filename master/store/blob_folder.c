/*
 * The folders blobs/00 … blobs/ff, made as they are needed. A name lasts once its folder was synced
 * after it was given; so who finds a blob there may rely on it only when no name is on its way in
 * that folder, and the folder was synced at least once by this process: an earlier one may have
 * died between the two.
 */
#include "common/file.h"
#include "common/memory.h"
#include "master/store/blob_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FOLDERS = 256 };

struct blob_folders {
    pthread_mutex_t mutex;
    struct {
        uint32_t naming; /* names that were given and not yet synced */
        bool synced;
    } of[FOLDERS];
};

struct blob_folders *blob_folders_create(void)
{
    struct blob_folders *folders = xcalloc(1, sizeof *folders);
    (void)pthread_mutex_init(&folders->mutex, NULL);
    return folders;
}

void blob_folders_destroy(struct blob_folders *folders)
{
    if (folders == NULL)
        return;
    (void)pthread_mutex_destroy(&folders->mutex);
    free(folders);
}

static int make_folder(const struct blob_store *store, unsigned char first, struct error *error)
{
    char *path = xasprintf("%s/%02x", store->blobs, first);
    int rc = 0;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        rc = blob_fail(path, error);
    free(path);
    return rc != 0 ? rc : file_sync_folder(store->blobs, error);
}

int blob_name(
    struct blob_store *store, const char *path, const struct hash *hash, struct error *error)
{
    char target[BLOB_PATH_MAX];
    unsigned char first = hash->bytes[0];
    int rc = 0;
    blob_path(store, hash, target);
    /* Held while the folder is made, so that nobody names a blob in one that does not last yet. */
    (void)pthread_mutex_lock(&store->folders->mutex);
    if (rename(path, target) != 0) {
        rc = errno == ENOENT ? make_folder(store, first, error) : blob_fail(target, error);
        if (rc == 0 && rename(path, target) != 0)
            rc = blob_fail(target, error);
    }
    store->folders->of[first].naming += rc == 0;
    (void)pthread_mutex_unlock(&store->folders->mutex);
    return rc;
}

static int sync_folder(const struct blob_store *store, unsigned char first, struct error *error)
{
    char *path = xasprintf("%s/%02x", store->blobs, first);
    int rc = file_sync_folder(path, error);
    free(path);
    return rc;
}

int blob_sync_names(
    struct blob_store *store, unsigned char first, uint32_t names, struct error *error)
{
    int rc = sync_folder(store, first, error);
    (void)pthread_mutex_lock(&store->folders->mutex);
    store->folders->of[first].naming -= names;
    store->folders->of[first].synced = rc == 0;
    (void)pthread_mutex_unlock(&store->folders->mutex);
    return rc;
}

void blob_names_lock(const struct blob_store *store)
{
    (void)pthread_mutex_lock(&store->folders->mutex);
}

void blob_names_unlock(const struct blob_store *store)
{
    (void)pthread_mutex_unlock(&store->folders->mutex);
}

bool blob_name_lasts(const struct blob_store *store, const struct hash *hash)
{
    unsigned char first = hash->bytes[0];
    struct blob_folders *folders = store->folders;
    (void)pthread_mutex_lock(&folders->mutex);
    bool lasts = folders->of[first].synced && folders->of[first].naming == 0;
    (void)pthread_mutex_unlock(&folders->mutex);
    if (lasts)
        return true;
    if (sync_folder(store, first, NULL) != 0)
        return false;
    (void)pthread_mutex_lock(&folders->mutex);
    folders->of[first].synced = true;
    (void)pthread_mutex_unlock(&folders->mutex);
    return true;
}
