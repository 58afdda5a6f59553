/*
 * Blobs that nobody names any more: marked by who asks, swept here. A blob that somebody is about
 * to name was asked for before (blob_has), which makes it as new as one that was just put: both are
 * done under the mutex of the names, and so is each removal.
 */
#include "common/clock.h"
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

/* Unsorted ones beyond the sorted, at least; then as many as there are sorted. */
enum { UNSORTED_MIN = 65536 };

static int compare(const void *a, const void *b)
{
    uint64_t one, two;
    memcpy(&one, a, sizeof one);
    memcpy(&two, b, sizeof two);
    return (one > two) - (one < two);
}

static void sort(struct named_blobs *named)
{
    size_t kept = 0;
    if (named->sorted == named->count)
        return;
    qsort(named->prefixes, named->count, sizeof *named->prefixes, compare);
    for (size_t i = 0; i < named->count; i++) {
        if (kept == 0 || named->prefixes[kept - 1] != named->prefixes[i])
            named->prefixes[kept++] = named->prefixes[i];
    }
    named->count = named->sorted = kept;
}

void named_blobs_add(struct named_blobs *named, const struct hash *hash)
{
    if (named->count - named->sorted >= UNSORTED_MIN && named->count >= 2 * named->sorted)
        sort(named);
    vector_reserve(&named->prefixes, named->count, &named->capacity);
    memcpy(&named->prefixes[named->count++], hash->bytes, sizeof *named->prefixes);
}

int named_blobs_add_manifest(struct named_blobs *named, const struct blob_store *store,
    const struct hash *hash, struct error *error)
{
    struct slice text;
    struct arena arena = {0};
    struct manifest manifest;
    named_blobs_add(named, hash);
    int rc = blob_map(store, hash, &text, error);
    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc != 0)
        return rc;
    rc = manifest_parse(text, &arena, &manifest, error);
    for (size_t i = 0; rc == 0 && i < manifest.count; i++)
        named_blobs_add(named, &manifest.files[i].hash);
    arena_fini(&arena);
    file_unmap(text);
    return rc;
}

void named_blobs_fini(struct named_blobs *named)
{
    free(named->prefixes);
    *named = (struct named_blobs){0};
}

static bool is_named(const struct named_blobs *named, const struct hash *hash)
{
    uint64_t prefix;
    memcpy(&prefix, hash->bytes, sizeof prefix);
    return named->count > 0 && bsearch(&prefix, named->prefixes, named->count,
                                   sizeof *named->prefixes, compare) != NULL;
}

static bool is_old(const struct stat *status, int64_t now_wall)
{
    int64_t at = (int64_t)status->st_mtim.tv_sec * 1000 + status->st_mtim.tv_nsec / 1000000;
    return S_ISREG(status->st_mode) && at < now_wall - BLOB_GRACE_MS;
}

/* Looks and removes under the mutex of the names. */
static void remove_old(
    struct blob_store *store, int folder, const char *name, struct blob_swept *swept)
{
    struct stat status;
    blob_names_lock(store);
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        is_old(&status, clock_wall_ms()) && unlinkat(folder, name, 0) == 0) {
        swept->blobs++;
        swept->bytes += (uint64_t)status.st_size;
    }
    blob_names_unlock(store);
}

/* Of blobs/ab, or of blobs/tmp, where nothing is named (`named` NULL). */
static void sweep_folder(struct blob_store *store, const char *path, unsigned first,
    const struct named_blobs *named, struct blob_swept *swept)
{
    DIR *folder = opendir(path);
    if (folder == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char hex[sizeof entry->d_name + 2];
        struct hash hash;
        if (entry->d_name[0] == '.' && named != NULL)
            continue;
        (void)snprintf(hex, sizeof hex, "%02x%s", first & 0xff, entry->d_name);
        if (named == NULL || (hash_parse(slice_of(hex), &hash) && !is_named(named, &hash)))
            remove_old(store, dirfd(folder), entry->d_name, swept);
    }
    (void)closedir(folder);
}

void blob_sweep(struct blob_store *store, struct named_blobs *named, bool (*go_on)(void *context),
    void *context, struct blob_swept *ret_swept)
{
    *ret_swept = (struct blob_swept){0};
    sort(named);
    for (unsigned first = 0; first < 256 && go_on(context); first++) {
        char *path = xasprintf("%s/%02x", store->blobs, first);
        sweep_folder(store, path, first, named, ret_swept);
        free(path);
    }
    sweep_folder(store, store->staging, 0, NULL, ret_swept);
}
