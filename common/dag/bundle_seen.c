#include "common/dag/bundle_seen.h"

#include "common/memory.h"
#include "common/table.h"

#include <pthread.h>
#include <stdlib.h>

struct seen_file {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
    struct seen_fact fact;
};

struct seen_files {
    pthread_mutex_t mutex;
    struct table index; /* of device and inode; of two with one hash the later stays */
    struct seen_file *items;
    size_t count, capacity;
};

struct seen_files *seen_files_create(void)
{
    struct seen_files *seen = xcalloc(1, sizeof *seen);
    (void)pthread_mutex_init(&seen->mutex, NULL);
    return seen;
}

void seen_files_destroy(struct seen_files *seen)
{
    if (seen == NULL)
        return;
    (void)pthread_mutex_destroy(&seen->mutex);
    table_fini(&seen->index);
    free(seen->items);
    free(seen);
}

static uint64_t key_of(const struct stat *status)
{
    return hash_mix(hash_mix((uint64_t)status->st_dev) ^ (uint64_t)status->st_ino);
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_unchanged(const struct seen_file *file, const struct stat *status)
{
    return file->device == status->st_dev && file->inode == status->st_ino &&
           file->size == status->st_size && same_time(file->modified, status->st_mtim) &&
           same_time(file->changed, status->st_ctim);
}

/* The mutex is held. */
static struct seen_file *find(struct seen_files *seen, const struct stat *status)
{
    uint64_t i;
    return table_get(&seen->index, key_of(status), &i) ? &seen->items[i] : NULL;
}

struct seen_fact seen_files_get(struct seen_files *seen, const struct stat *status)
{
    struct seen_fact fact = {0};
    (void)pthread_mutex_lock(&seen->mutex);
    const struct seen_file *file = find(seen, status);
    if (file != NULL && is_unchanged(file, status))
        fact = file->fact;
    (void)pthread_mutex_unlock(&seen->mutex);
    return fact;
}

/* A place for the file. The mutex is held. */
static struct seen_file *make(struct seen_files *seen, const struct stat *status)
{
    if (seen->count >= SEEN_FILES_MAX) {
        table_fini(&seen->index);
        seen->count = 0;
    }
    vector_reserve(&seen->items, seen->count, &seen->capacity);
    table_set(&seen->index, key_of(status), seen->count);
    seen->items[seen->count] = (struct seen_file){0};
    return &seen->items[seen->count++];
}

void seen_files_add(
    struct seen_files *seen, const struct stat *status, time_t now, const struct seen_fact *fact)
{
    if (status->st_mtim.tv_sec > now - SEEN_AGE_SECONDS ||
        status->st_ctim.tv_sec > now - SEEN_AGE_SECONDS)
        return;
    (void)pthread_mutex_lock(&seen->mutex);
    struct seen_file *file = find(seen, status);
    if (file == NULL)
        file = make(seen, status);
    else if (!is_unchanged(file, status))
        file->fact = (struct seen_fact){0};
    struct seen_fact known = file->fact;
    if (fact->hashed) {
        known.hashed = true;
        known.hash = fact->hash;
    }
    if (fact->sniffed) {
        known.sniffed = true;
        known.is_dag = fact->is_dag;
    }
    *file = (struct seen_file){
        status->st_dev, status->st_ino, status->st_size, status->st_mtim, status->st_ctim, known};
    (void)pthread_mutex_unlock(&seen->mutex);
}
