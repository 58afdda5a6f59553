/*
 * When a content was used last is its file's modification time, in boot time: the order survives
 * the agent, no clock step disturbs it, and no index has to be kept true.
 */
#include "worker/io/cache.h"

#include "common/file.h"
#include "common/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A content in the cache. */
struct entry {
    char *path;
    uint64_t bytes, used_ms;
};

struct entries {
    struct entry *items;
    size_t count, capacity;
    uint64_t bytes;
};

void cache_path(const char *root, const struct hash *hash, char ret_path[CACHE_PATH_MAX])
{
    char hex[HASH_HEX_MAX];
    hash_hex(hash, hex);
    (void)snprintf(ret_path, CACHE_PATH_MAX, "%s/%.2s/%s", root, hex, hex + 2);
}

static struct timespec time_of(uint64_t now_ms)
{
    return (struct timespec){(time_t)(now_ms / 1000), (long)(now_ms % 1000) * 1000000};
}

void cache_mark_used(int fd, uint64_t now_ms)
{
    const struct timespec used = time_of(now_ms);
    (void)futimens(fd, (struct timespec[]){used, used});
}

bool cache_use(const char *root, const struct hash *hash, uint64_t now_ms)
{
    char path[CACHE_PATH_MAX];
    const struct timespec used = time_of(now_ms);
    struct stat status;
    cache_path(root, hash, path);
    /* What is no file is fetched anew. */
    if (lstat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return false;
    return utimensat(AT_FDCWD, path, (struct timespec[]){used, used}, AT_SYMLINK_NOFOLLOW) == 0;
}

int cache_make_room(const char *root, const struct hash *hash, struct error *error)
{
    char path[CACHE_PATH_MAX];
    cache_path(root, hash, path);
    *strrchr(path, '/') = '\0';
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    return error_set_errno(error, error_write_code(errno), errno, "%s", path);
}

/* ---- what lies there ---- */

static bool is_hex(const char *text, size_t length)
{
    return strlen(text) == length && strspn(text, "0123456789abcdef") == length;
}

static void add_entry(struct entries *entries, int folder, const char *path, const char *name)
{
    struct stat status;
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode))
        return;
    vector_reserve(&entries->items, entries->count, &entries->capacity);
    entries->items[entries->count++] = (struct entry){
        .path = xasprintf("%s/%s", path, name),
        .bytes = (uint64_t)status.st_size,
        .used_ms =
            (uint64_t)status.st_mtim.tv_sec * 1000 + (uint64_t)status.st_mtim.tv_nsec / 1000000,
    };
    entries->bytes += (uint64_t)status.st_size;
}

/* `drop_others`: what is no content is what a killed agent was writing. */
static void list_folder(struct entries *entries, const char *path, bool drop_others)
{
    DIR *stream = opendir(path);
    if (stream == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (is_hex(entry->d_name, HASH_HEX_MAX - 3))
            add_entry(entries, dirfd(stream), path, entry->d_name);
        else if (drop_others && entry->d_name[0] != '.')
            (void)unlinkat(dirfd(stream), entry->d_name, 0);
    }
    (void)closedir(stream);
}

static void list_all(struct entries *entries, const char *path, bool drop_others)
{
    DIR *stream = opendir(path);
    if (stream == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (!is_hex(entry->d_name, 2))
            continue;
        char *folder = xasprintf("%s/%s", path, entry->d_name);
        list_folder(entries, folder, drop_others);
        free(folder);
    }
    (void)closedir(stream);
}

static void entries_free(struct entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        free(entries->items[i].path);
    free(entries->items);
}

static int compare_used(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    return (a->used_ms > b->used_ms) - (a->used_ms < b->used_ms);
}

uint64_t cache_evict(const char *path, uint64_t max_bytes, uint64_t keep_ms)
{
    struct entries entries = {0};
    list_all(&entries, path, false);
    if (entries.count > 1)
        qsort(entries.items, entries.count, sizeof *entries.items, compare_used);
    uint64_t left = entries.bytes;
    for (size_t i = 0; i < entries.count && left > max_bytes; i++) {
        const struct entry *entry = &entries.items[i];
        if (entry->used_ms >= keep_ms)
            break;
        if (unlink(entry->path) == 0)
            left -= entry->bytes;
    }
    entries_free(&entries);
    return left;
}

/* ---- at the start ---- */

static int empty(const char *path, const unsigned char boot[BOOT_BYTES], struct error *error)
{
    char *mark = xasprintf("%s/boot", path);
    int rc = file_remove_tree(path, error);
    if (rc == 0)
        rc = file_make_folder(path, 0700, error);
    if (rc == 0)
        rc = file_replace(mark, slice_make(boot, BOOT_BYTES), 0600, error);
    free(mark);
    return rc;
}

int cache_open(const char *path, const unsigned char boot[BOOT_BYTES], uint64_t *ret_bytes,
    struct error *error)
{
    struct buffer last = {0};
    struct entries entries = {0};
    char *mark = xasprintf("%s/boot", path);
    int rc = file_read(mark, BOOT_BYTES, &last, NULL);
    if (rc != 0 || !slice_equal(buffer_slice(&last), slice_make(boot, BOOT_BYTES)))
        rc = empty(path, boot, error);
    list_all(&entries, path, true);
    *ret_bytes = entries.bytes;
    entries_free(&entries);
    buffer_fini(&last);
    free(mark);
    return rc;
}
