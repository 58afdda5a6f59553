#include "common/dag/bundle_walk.h"

#include "common/dag/compile.h"
#include "common/limits.h"
#include "common/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    /* Folders in folders; deeper is refused. */
    DEPTH_MAX = 64,
    /* Names looked at, whether they travel or not; more is refused as too many files. */
    NAMES_MAX = 10 * BUNDLE_FILES_MAX,
};

static const char advice[] = "put the DAG in a folder of its own, or set `files`";

int bundle_walk_fail(const struct bundle_walk *walk, const char *path, struct error *error)
{
    if (errno != EACCES && errno != EPERM)
        return error_set_errno(error, ERR_IO, errno, "%s/%s", walk->folder, path);
    return error_set_errno(error, ERR_DENIED, errno,
        "%s/%s: would travel with the run (`files` and .reeveignore say what does)", walk->folder,
        path);
}

static int refuse_size(const struct bundle_walk *walk, struct error *error)
{
    return error_set(error, ERR_REFUSED,
        "%s: more than %d files or %d MiB would travel with each run; %s", walk->folder,
        BUNDLE_FILES_MAX, BUNDLE_MAX_BYTES >> 20, advice);
}

/* All of fd, up to max bytes. False when it cannot be read, or is longer. */
static bool read_all(int fd, size_t max, struct buffer *out)
{
    for (;;) {
        ssize_t got = read(fd, buffer_reserve(out, 65536), 65536);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0;
        out->length += (size_t)got;
        if (out->length > max) {
            errno = EFBIG;
            return false;
        }
    }
}

/* ---- what travels ---- */

static struct slice without_slash(struct slice text)
{
    if (text.length > 2 && memcmp(text.ptr, "./", 2) == 0)
        text = slice_make(text.ptr + 2, text.length - 2);
    while (text.length > 0 && text.ptr[text.length - 1] == '/')
        text.length--;
    return text;
}

/* True when `path` is `folder`, or below it. */
static bool is_below(struct slice path, struct slice folder)
{
    return path.length >= folder.length &&
           (folder.length == 0 || memcmp(path.ptr, folder.ptr, folder.length) == 0) &&
           (path.length == folder.length || path.ptr[folder.length] == '/');
}

/* By `files:` alone. A folder is wanted, too, when something below it is named. */
static bool is_wanted(const struct bundle_walk *walk, struct slice path, bool is_folder)
{
    if (walk->only_count == 0)
        return true;
    for (uint32_t i = 0; i < walk->only_count; i++) {
        struct slice named = without_slash(walk->only[i]);
        if (is_below(path, named) || (is_folder && is_below(named, path)))
            return true;
    }
    return false;
}

static bool is_named(const struct bundle_walk *walk, struct slice path)
{
    for (uint32_t i = 0; i < walk->only_count; i++) {
        if (slice_equal(without_slash(walk->only[i]), path))
            return true;
    }
    return false;
}

static bool ends_with(struct slice text, const char *ending)
{
    size_t length = strlen(ending);
    return text.length >= length && memcmp(text.ptr + text.length - length, ending, length) == 0;
}

/* Another DAG's file stays behind, unless `files:` names it. */
static int find_is_dag(struct bundle_walk *walk, int parent, const struct bundle_entry *entry,
    bool *ret_is_dag, struct error *error)
{
    *ret_is_dag = false;
    if ((!ends_with(entry->path, ".yaml") && !ends_with(entry->path, ".yml")) ||
        is_named(walk, entry->path))
        return 0;
    struct seen_fact fact = seen_files_get(walk->seen, &entry->status);
    if (fact.sniffed) {
        *ret_is_dag = fact.is_dag;
        return 0;
    }
    time_t now = time(NULL);
    const char *slash = strrchr(entry->path.ptr, '/');
    int fd = openat(parent, slash != NULL ? slash + 1 : entry->path.ptr,
        O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return bundle_walk_fail(walk, entry->path.ptr, error);
    struct buffer text = {0};
    int rc = 0;
    if (!read_all(fd, BUNDLE_MAX_BYTES, &text))
        rc = errno == EFBIG ? refuse_size(walk, error)
                            : bundle_walk_fail(walk, entry->path.ptr, error);
    if (rc == 0) {
        *ret_is_dag = dag_is_dag(buffer_slice(&text));
        fact = (struct seen_fact){.sniffed = true, .is_dag = *ret_is_dag};
        seen_files_add(walk->seen, &entry->status, now, &fact);
    }
    buffer_fini(&text);
    (void)close(fd);
    return rc;
}

static int add_entry(
    struct bundle_walk *walk, const struct bundle_entry *entry, struct error *error)
{
    walk->bytes += (uint64_t)entry->status.st_size;
    if (walk->count >= BUNDLE_FILES_MAX || walk->bytes > BUNDLE_MAX_BYTES)
        return refuse_size(walk, error);
    vector_reserve(&walk->entries, walk->count, &walk->capacity);
    walk->entries[walk->count++] = *entry;
    return 0;
}

/* ---- the walk ---- */

static int walk_folder(
    struct bundle_walk *walk, int fd, struct slice prefix, int depth, struct error *error);

static int enter(struct bundle_walk *walk, int parent, const char *name,
    const struct bundle_entry *entry, int depth, struct error *error)
{
    if (depth >= DEPTH_MAX)
        return error_set(
            error, ERR_REFUSED, "%s/%s: too deep; %s", walk->folder, entry->path.ptr, advice);
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return bundle_walk_fail(walk, entry->path.ptr, error);
    struct slice prefix = arena_printf(&walk->arena, "%s/", entry->path.ptr);
    return walk_folder(walk, fd, prefix, depth + 1, error);
}

static int take_name(struct bundle_walk *walk, int parent, struct slice prefix, const char *name,
    int depth, struct error *error)
{
    struct bundle_entry entry;
    entry.path = arena_printf(&walk->arena, "%.*s%s", SLICE_PRINT(prefix), name);
    if (fstatat(parent, name, &entry.status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : bundle_walk_fail(walk, entry.path.ptr, error);
    bool is_folder = S_ISDIR(entry.status.st_mode);
    if (slice_equal(entry.path, walk->own) || !is_wanted(walk, entry.path, is_folder) ||
        ignore_list_matches(&walk->ignored, entry.path, is_folder))
        return 0;
    if (is_folder)
        return enter(walk, parent, name, &entry, depth, error);
    if (S_ISLNK(entry.status.st_mode))
        return add_entry(walk, &entry, error);
    if (!S_ISREG(entry.status.st_mode))
        return error_set(error, ERR_REFUSED,
            "%s/%s: a FIFO, socket or device cannot travel with a run; remove it, or name it in "
            ".reeveignore",
            walk->folder, entry.path.ptr);
    bool is_dag;
    int rc = find_is_dag(walk, parent, &entry, &is_dag, error);
    return rc != 0 || is_dag ? rc : add_entry(walk, &entry, error);
}

static int read_ignored(struct bundle_walk *walk, int fd, struct slice prefix, struct error *error)
{
    int file = openat(fd, ".reeveignore", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0 && errno == ENOENT)
        return 0;
    struct buffer text = {0};
    int rc = 0;
    if (file < 0 || !read_all(file, IGNORE_FILE_MAX_BYTES, &text)) {
        struct slice path = arena_printf(&walk->arena, "%.*s.reeveignore", SLICE_PRINT(prefix));
        rc = bundle_walk_fail(walk, path.ptr, error);
    } else {
        /* The patterns borrow the text. */
        ignore_list_add(
            &walk->ignored, arena_copy(&walk->arena, buffer_slice(&text)), (uint32_t)prefix.length);
    }
    buffer_fini(&text);
    if (file >= 0)
        (void)close(file);
    return rc;
}

/* Takes fd. */
static int walk_folder(
    struct bundle_walk *walk, int fd, struct slice prefix, int depth, struct error *error)
{
    DIR *folder = fdopendir(fd);
    if (folder == NULL) {
        int rc = bundle_walk_fail(walk, prefix.ptr, error);
        (void)close(fd);
        return rc;
    }
    size_t ignored = walk->ignored.count;
    int rc = read_ignored(walk, fd, prefix, error);
    struct dirent *item;
    while (rc == 0 && (errno = 0, item = readdir(folder)) != NULL) {
        if (item->d_name[0] == '.')
            continue;
        if (++walk->met > NAMES_MAX)
            rc = refuse_size(walk, error);
        else
            rc = take_name(walk, fd, prefix, item->d_name, depth, error);
    }
    if (rc == 0 && errno != 0)
        rc = bundle_walk_fail(walk, prefix.ptr, error);
    walk->ignored.count = ignored;
    (void)closedir(folder);
    return rc;
}

/* The DAG's own file may be a link, hidden or ignored: it was asked for by name. */
static int take_own(struct bundle_walk *walk, struct error *error)
{
    struct bundle_entry own = {.path = walk->own};
    if (fstatat(walk->fd, own.path.ptr, &own.status, 0) != 0)
        return bundle_walk_fail(walk, own.path.ptr, error);
    if (!S_ISREG(own.status.st_mode))
        return error_set(
            error, ERR_REFUSED, "%s/%s: not a regular file", walk->folder, own.path.ptr);
    return add_entry(walk, &own, error);
}

/* Every `files:` entry must have brought something. */
static int check_only(const struct bundle_walk *walk, struct error *error)
{
    for (uint32_t i = 0; i < walk->only_count; i++) {
        struct slice named = without_slash(walk->only[i]);
        bool found = false;
        for (size_t k = 0; k < walk->count && !found; k++)
            found = is_below(walk->entries[k].path, named);
        if (!found)
            return error_set(error, ERR_INVALID,
                "files: \"%.*s\" is not in %s, or nothing of it may travel (hidden, ignored)",
                SLICE_PRINT(walk->only[i]), walk->folder);
    }
    return 0;
}

int bundle_walk_run(struct bundle_walk *walk, struct error *error)
{
    walk->fd = open(walk->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (walk->fd < 0)
        return bundle_walk_fail(walk, "", error);
    int rc = take_own(walk, error);
    int fd = rc == 0 ? fcntl(walk->fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (rc == 0 && fd < 0)
        rc = bundle_walk_fail(walk, "", error);
    if (rc == 0)
        rc = walk_folder(walk, fd, slice_make("", 0), 1, error);
    return rc != 0 ? rc : check_only(walk, error);
}

void bundle_walk_fini(struct bundle_walk *walk)
{
    if (walk->fd >= 0)
        (void)close(walk->fd);
    ignore_list_fini(&walk->ignored);
    free(walk->entries);
    arena_fini(&walk->arena);
}
