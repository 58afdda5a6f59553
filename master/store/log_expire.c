/*
 * Logs that retention removes. What is left of them is one file in their run's folder, `expired`:
 * which attempts' logs were there, ascending, so that nobody takes them for logs that have not come
 * yet. It is on disk before the first of them goes, and a log that is still there counts as there:
 * a crash between leaves nothing in doubt, and the next sweep goes on.
 */
#include "common/file.h"
#include "common/memory.h"
#include "master/store/log_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* On disk, in the machine's byte order. */
struct expired {
    uint32_t task, map, attempt;
};

static_assert(sizeof(struct expired) == 12, "expired is on disk");

/* Attempts of a run are bounded by the protocol; a file of this size holds ten million of them. */
enum { EXPIRED_MAX_BYTES = 120000000 };

static int compare(const void *a, const void *b)
{
    const struct expired *one = a, *two = b;
    if (one->task != two->task)
        return one->task < two->task ? -1 : 1;
    if (one->map != two->map)
        return one->map < two->map ? -1 : 1;
    return (one->attempt > two->attempt) - (one->attempt < two->attempt);
}

static char *run_folder(const struct blob_store *store, uint64_t run)
{
    return xasprintf("%s/%016" PRIx64, store->logs, run);
}

bool log_is_expired(const struct blob_store *store, const struct attempt_id *id)
{
    const struct expired wanted = {id->task, id->map, id->attempt};
    struct expired found;
    struct stat status;
    char *path = xasprintf("%s/%016" PRIx64 "/expired", store->logs, id->run);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    off_t low = 0, high = 0;
    bool is = false;
    free(path);
    if (fd < 0)
        return false;
    if (fstat(fd, &status) == 0)
        high = status.st_size / (off_t)sizeof found;
    while (low < high && !is) {
        off_t middle = low + (high - low) / 2;
        if (pread(fd, &found, sizeof found, middle * (off_t)sizeof found) != sizeof found)
            break;
        int order = compare(&found, &wanted);
        is = order == 0;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    (void)close(fd);
    return is;
}

/* "3.0.1.log" and nothing else; "3.0.1.idx" goes with it. */
static bool parse_name(const char *name, struct expired *ret_log)
{
    char again[64];
    struct expired log;
    if (sscanf(name, "%" SCNu32 ".%" SCNu32 ".%" SCNu32, &log.task, &log.map, &log.attempt) != 3)
        return false;
    (void)snprintf(again, sizeof again, "%u.%u.%u.log", log.task, log.map, log.attempt);
    if (strcmp(again, name) != 0)
        return false;
    *ret_log = log;
    return true;
}

struct log_list {
    struct expired *items;
    size_t count, capacity;
};

static int list_logs(const char *path, struct log_list *list, struct error *error)
{
    DIR *folder = opendir(path);
    if (folder == NULL)
        return errno == ENOENT ? 0 : blob_fail(path, error);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        struct expired log;
        if (!parse_name(entry->d_name, &log))
            continue;
        vector_reserve(&list->items, list->count, &list->capacity);
        list->items[list->count++] = log;
    }
    (void)closedir(folder);
    return 0;
}

/* Those that expired before and those of the list, each once. */
static int write_expired(const char *folder, const struct log_list *list, struct error *error)
{
    struct buffer all = {0};
    char *path = xasprintf("%s/expired", folder);
    int rc = file_read(path, EXPIRED_MAX_BYTES, &all, error);
    if (rc == ERR_NOT_FOUND)
        rc = 0;
    all.length -= all.length % sizeof(struct expired);
    buffer_append(&all, list->items, list->count * sizeof *list->items);
    struct expired *items = (struct expired *)(void *)all.data;
    size_t count = all.length / sizeof *items, kept = 0;
    qsort(items, count, sizeof *items, compare);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || compare(&items[kept - 1], &items[i]) != 0)
            items[kept++] = items[i];
    }
    if (rc == 0)
        rc = file_replace(path, slice_make(items, kept * sizeof *items), 0600, error);
    buffer_fini(&all);
    free(path);
    return rc;
}

int log_expire(struct blob_store *store, uint64_t run, struct error *error)
{
    struct log_list list = {0};
    char *folder = run_folder(store, run);
    int rc = list_logs(folder, &list, error);
    if (rc == 0 && list.count > 0)
        rc = write_expired(folder, &list, error);
    for (size_t i = 0; rc == 0 && i < list.count; i++)
        log_file_remove(store, &(struct attempt_id){.run = run,
                                   .task = list.items[i].task,
                                   .map = list.items[i].map,
                                   .attempt = list.items[i].attempt});
    free(list.items);
    free(folder);
    return rc;
}

/* What the logs and their indices take; what has expired takes nothing to speak of. */
static uint64_t bytes_of(const char *path)
{
    uint64_t bytes = 0;
    DIR *folder = opendir(path);
    if (folder == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        struct stat status;
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "expired") != 0 &&
            fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0)
            bytes += (uint64_t)status.st_blocks * 512;
    }
    (void)closedir(folder);
    return bytes;
}

int log_each_run(struct blob_store *store,
    void (*visit)(void *context, uint64_t run, uint64_t bytes), void *context, struct error *error)
{
    DIR *folder = opendir(store->logs);
    if (folder == NULL)
        return blob_fail(store->logs, error);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char *end;
        uint64_t run = strtoull(entry->d_name, &end, 16);
        if (end != entry->d_name + 16 || *end != '\0')
            continue;
        char *path = run_folder(store, run);
        uint64_t bytes = bytes_of(path);
        if (bytes > 0)
            visit(context, run, bytes);
        free(path);
    }
    (void)closedir(folder);
    return 0;
}
