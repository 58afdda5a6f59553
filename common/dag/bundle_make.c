#include "common/dag/bundle_make.h"

#include "common/buffer.h"
#include "common/dag/bundle_walk.h"
#include "common/dag/programs.h"
#include "common/limits.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* As much of a list of files as an error's text has room for. */
enum { FILES_TEXT_MAX = 600 };

static bool is_folder(const char *folder, const char *other)
{
    struct stat a, b;
    return other != NULL && other[0] == '/' && stat(folder, &a) == 0 && stat(other, &b) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int check_folder(const char *folder, struct error *error)
{
    if (is_folder(folder, "/") || is_folder(folder, "/tmp") || is_folder(folder, getenv("HOME")))
        return error_set(error, ERR_REFUSED,
            "%s: all of this folder would travel with each run; put the DAG in a folder of its "
            "own, or set `files`",
            folder);
    return 0;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int changed(const struct bundle_walk *walk, struct slice path, struct error *error)
{
    return error_set(
        error, ERR_AGAIN, "%s/%s: changed while it was read; submit again", walk->folder, path.ptr);
}

/* Opens below the folder, component by component, through no link but the DAG's own file. */
static int open_entry(const struct bundle_walk *walk, const struct bundle_entry *entry)
{
    const int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC;
    const char *name = entry->path.ptr;
    if (slice_equal(entry->path, walk->own))
        return openat(walk->fd, name, flags);
    int fd = fcntl(walk->fd, F_DUPFD_CLOEXEC, 0);
    for (const char *slash; fd >= 0 && (slash = strchr(name, '/')) != NULL; name = slash + 1) {
        char *part = xstrndup(name, (size_t)(slash - name));
        int next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        free(part);
        (void)close(fd);
        fd = next;
    }
    if (fd < 0)
        return -1;
    int file = openat(fd, name, flags | O_NOFOLLOW);
    int errno_value = errno;
    (void)close(fd);
    errno = errno_value;
    return file;
}

static int take_open_file(const struct bundle_sink *sink, const struct bundle_walk *walk,
    const struct bundle_entry *entry, int fd, struct manifest_file *file, struct error *error)
{
    struct stat before, after;
    time_t now = time(NULL);
    if (fstat(fd, &before) != 0)
        return bundle_walk_fail(walk, entry->path.ptr, error);
    if (!is_same(&before, &entry->status))
        return changed(walk, entry->path, error);
    int rc = sink->take_file(sink->context, fd, BUNDLE_MAX_BYTES, file, error);
    if (rc != 0) {
        (void)error_prefix(error, "%s/%s", walk->folder, entry->path.ptr);
        return rc;
    }
    if (fstat(fd, &after) != 0 || !is_same(&before, &after) ||
        file->size != (uint64_t)before.st_size)
        return changed(walk, entry->path, error);
    struct seen_fact fact = {.hashed = true, .hash = file->hash};
    seen_files_add(walk->seen, &before, now, &fact);
    return 0;
}

static int take_file(const struct bundle_sink *sink, const struct bundle_walk *walk,
    const struct bundle_entry *entry, struct manifest_file *file, struct error *error)
{
    file->mode =
        (entry->status.st_mode & S_IXUSR) != 0 ? MANIFEST_MODE_PROGRAM : MANIFEST_MODE_FILE;
    struct seen_fact known = seen_files_get(walk->seen, &entry->status);
    if (known.hashed && sink->has(sink->context, &known.hash, &file->size) &&
        file->size == (uint64_t)entry->status.st_size) {
        file->hash = known.hash;
        return 0;
    }
    int fd = open_entry(walk, entry);
    if (fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENOTDIR))
        return changed(walk, entry->path, error);
    if (fd < 0)
        return bundle_walk_fail(walk, entry->path.ptr, error);
    int rc = take_open_file(sink, walk, entry, fd, file, error);
    (void)close(fd);
    return rc;
}

static int take_link(const struct bundle_sink *sink, const struct bundle_walk *walk,
    const struct bundle_entry *entry, struct manifest_file *file, struct error *error)
{
    char target[PATH_MAX];
    /* The link itself, reached through no other one. */
    char *path = xstrndup(entry->path.ptr, entry->path.length);
    char *slash = strrchr(path, '/');
    int parent = walk->fd;
    if (slash != NULL) {
        *slash = '\0';
        struct bundle_entry above = {.path = slice_of(path)};
        parent = open_entry(walk, &above);
    }
    ssize_t length =
        parent < 0 ? -1
                   : readlinkat(parent, slash != NULL ? slash + 1 : path, target, sizeof target);
    int rc = 0;
    if (length < 0)
        rc = changed(walk, entry->path, error);
    else if (!manifest_link_stays(entry->path, slice_make(target, (size_t)length)))
        rc = error_set(error, ERR_REFUSED, "%s/%s: a link that leaves the folder (to %.*s)",
            walk->folder, entry->path.ptr, (int)length, target);
    if (parent >= 0 && parent != walk->fd)
        (void)close(parent);
    free(path);
    if (rc != 0)
        return rc;
    file->mode = MANIFEST_MODE_LINK;
    file->size = (uint64_t)length;
    return sink->take_bytes(sink->context, slice_make(target, (size_t)length), &file->hash, error);
}

/* Takes all that the walk found, and the manifest of it. */
static int take_all(const struct bundle_sink *sink, const struct bundle_walk *walk,
    struct hash *ret_manifest, struct error *error)
{
    struct manifest manifest = {
        xcalloc(walk->count, sizeof *manifest.files), walk->count, walk->count};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < walk->count; i++) {
        const struct bundle_entry *entry = &walk->entries[i];
        manifest.files[i].path = entry->path;
        if (S_ISLNK(entry->status.st_mode))
            rc = take_link(sink, walk, entry, &manifest.files[i], error);
        else
            rc = take_file(sink, walk, entry, &manifest.files[i], error);
    }
    if (rc == 0) {
        struct buffer text = {0};
        manifest_write(&manifest, &text);
        rc = sink->take_bytes(sink->context, buffer_slice(&text), ret_manifest, error);
        buffer_fini(&text);
    }
    free(manifest.files);
    return rc;
}

int bundle_make(const struct bundle_wish *wish, struct seen_files *seen,
    const struct bundle_sink *sink, struct bundle *ret_bundle, struct error *error)
{
    const char *slash = strrchr(wish->path, '/');
    if (slash == NULL || wish->path[0] != '/' || slash[1] == '\0')
        return error_set(error, ERR_USAGE, "%s: not the absolute path of a file", wish->path);
    char *folder =
        slash == wish->path ? xstrdup("/") : xstrndup(wish->path, (size_t)(slash - wish->path));
    struct bundle_walk walk = {.folder = folder,
        .own = slice_of(slash + 1),
        .only = wish->only,
        .only_count = wish->only_count,
        .seen = seen,
        .fd = -1};
    struct hash manifest;
    int rc = wish->only_count == 0 ? check_folder(folder, error) : 0;
    if (rc == 0)
        rc = bundle_walk_run(&walk, error);
    if (rc == 0)
        rc = take_all(sink, &walk, &manifest, error);
    if (rc == 0)
        *ret_bundle = (struct bundle){manifest, (uint32_t)walk.count - 1};
    bundle_walk_fini(&walk);
    free(folder);
    return rc;
}

/* ---- a plan's files ---- */

static bool has_file(const struct manifest *manifest, struct slice path)
{
    while (path.length > 2 && memcmp(path.ptr, "./", 2) == 0)
        path = slice_make(path.ptr + 2, path.length - 2);
    size_t low = 0, high = manifest->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(manifest->files[middle].path, path);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* The file that an operator program is given by an option, which is a path in the DAG's folder. */
static struct slice program_file(const struct plan *plan, uint32_t task, const json_t *options)
{
    const struct program *program = program_find(plan_program(plan, task));
    const struct program_option *option = NULL;
    while (program != NULL && (option = program_next_option(program, option)) != NULL) {
        const json_t *value = json_object_get(options, option->path);
        if (option->type == OPTION_PATH && json_is_string(value))
            return slice_make(json_string_value(value), json_string_length(value));
    }
    return (struct slice){0};
}

static void check_task(
    const struct plan *plan, uint32_t task, const struct manifest *files, struct buffer *missing)
{
    const struct plan_body *body = plan_body(plan, task);
    struct slice name = plan_string(plan, plan->tasks[task].name);
    struct slice file = plan_string(plan, body->file);
    json_t *options = NULL;
    if (plan->tasks[task].kind == OPERATOR_PROGRAM) {
        struct slice text = plan_string(plan, body->text);
        options = json_loadb(text.ptr, text.length, JSON_ALLOW_NUL, NULL);
        file = program_file(plan, task, options);
    }
    if (file.length > 0 && !has_file(files, file)) {
        if (missing->length == 0)
            buffer_printf(missing,
                "task \"%.*s\": its file \"%.*s\" does not travel with the DAG: it is not in the "
                "DAG's folder, or hidden, ignored or not among `files`",
                SLICE_PRINT(name), SLICE_PRINT(file));
        else if (missing->length < FILES_TEXT_MAX)
            buffer_printf(missing, "; nor does \"%.*s\" of task \"%.*s\"", SLICE_PRINT(file),
                SLICE_PRINT(name));
    }
    json_decref(options);
}

int bundle_check_files(const struct plan *plan, struct slice manifest, struct error *error)
{
    struct arena arena = {0};
    struct manifest files;
    struct buffer missing = {0};
    int rc = manifest_parse(manifest, &arena, &files, error);
    for (uint32_t task = 0; rc == 0 && task < plan_task_count(plan); task++)
        check_task(plan, task, &files, &missing);
    if (missing.length > 0)
        rc = error_set(error, ERR_INVALID, "%s", buffer_text(&missing));
    buffer_fini(&missing);
    arena_fini(&arena);
    return rc;
}
