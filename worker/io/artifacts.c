#include "worker/io/artifacts.h"

#include "common/file.h"
#include "common/limits.h"
#include "common/memory.h"
#include "common/table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Folders in folders of one artifact. */
enum { DEPTH_MAX = 64 };

struct finder {
    const char *folder;
    char root[PATH_MAX]; /* the same, without links */
    struct arena *arena;
    struct artifacts *found;
    struct names known; /* paths, once each */
    size_t path_capacity;
};

static int refuse(const char *path, const char *why, struct error *error)
{
    return error_set(error, ERR_INVALID, "artifact \"%.300s\": %s", path, why);
}

/* ---- one file ---- */

static int hash_file(const char *path, uint64_t size, struct hash *hash, struct error *error)
{
    struct slice bytes = {0};
    int rc = size > 0 ? file_map(path, &bytes, error) : 0;
    if (rc != 0)
        return rc;
    hash_of(bytes, hash);
    if (size > 0)
        file_unmap(bytes);
    return 0;
}

/* `name` is the path below the folder, `real` where it lies once links are followed. */
static int add_file(struct finder *finder, const char *name, const char *real, struct error *error)
{
    struct manifest *manifest = &finder->found->manifest;
    struct stat status;
    if (names_get(&finder->known, slice_of(name), NULL))
        return 0;
    if (manifest->count == BUNDLE_FILES_MAX)
        return error_set(error, ERR_INVALID, "more than %d artifacts", BUNDLE_FILES_MAX);
    if (stat(real, &status) != 0)
        return error_set_errno(error, ERR_IO, errno, "artifact \"%.300s\"", name);
    struct manifest_file file = {
        .path = arena_copy(finder->arena, slice_of(name)),
        .mode = (status.st_mode & 0111) != 0 ? 0755 : 0644,
        .size = (uint64_t)status.st_size,
    };
    int rc = hash_file(real, file.size, &file.hash, error);
    if (rc != 0)
        return error_prefix(error, "artifact \"%.300s\"", name);
    names_set(&finder->known, slice_of(name), manifest->count);
    vector_reserve(&manifest->files, manifest->count, &manifest->capacity);
    vector_reserve(&finder->found->paths, manifest->count, &finder->path_capacity);
    finder->found->paths[manifest->count] = arena_copy(finder->arena, slice_of(real));
    manifest->files[manifest->count++] = file;
    return 0;
}

static bool is_below(const struct finder *finder, const char *real)
{
    size_t length = strlen(finder->root);
    return strncmp(real, finder->root, length) == 0 && real[length] == '/';
}

static int add_path(struct finder *finder, const char *name, int depth, struct error *error);

static int add_folder(struct finder *finder, const char *name, int depth, struct error *error)
{
    char *path = xasprintf("%s/%s", finder->folder, name);
    DIR *stream = opendir(path);
    int rc = 0;
    if (stream == NULL)
        rc = error_set_errno(error, ERR_IO, errno, "artifact \"%.300s\"", name);
    for (struct dirent *entry; rc == 0 && (entry = readdir(stream)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *inner = xasprintf("%s/%s", name, entry->d_name);
        rc = add_path(finder, inner, depth + 1, error);
        free(inner);
    }
    if (stream != NULL)
        (void)closedir(stream);
    free(path);
    return rc;
}

/* NOLINTNEXTLINE(misc-no-recursion): bounded by DEPTH_MAX */
static int add_path(struct finder *finder, const char *name, int depth, struct error *error)
{
    char real[PATH_MAX];
    struct stat own, status;
    char *path = xasprintf("%s/%s", finder->folder, name);
    bool there = lstat(path, &own) == 0 && realpath(path, real) != NULL && stat(real, &status) == 0;
    int error_number = errno;
    free(path);
    if (depth > DEPTH_MAX)
        return refuse(name, "lies too deep", error);
    if (!there)
        return error_set_errno(error, ERR_INVALID, error_number, "artifact \"%.300s\"", name);
    if (!is_below(finder, real))
        return refuse(name, "is a link out of the task's folder", error);
    if (S_ISREG(status.st_mode))
        return add_file(finder, name, real, error);
    if (S_ISDIR(status.st_mode) && S_ISLNK(own.st_mode))
        return refuse(name, "is a link to a folder", error);
    if (S_ISDIR(status.st_mode))
        return add_folder(finder, name, depth, error);
    return refuse(name, "is no file", error);
}

/* ---- patterns ---- */

static int check_pattern(struct slice pattern, struct error *error)
{
    const char *text = pattern.ptr;
    if (pattern.length == 0 || strlen(text) != pattern.length)
        return refuse(text != NULL ? text : "", "is no path", error);
    if (text[0] == '/')
        return refuse(text, "is an absolute path; name it by its path in the task's folder", error);
    for (const char *part = text; *part != '\0';) {
        size_t length = strcspn(part, "/");
        if (length == 2 && strncmp(part, "..", 2) == 0)
            return refuse(text, "leaves the task's folder by \"..\"", error);
        part += length + (part[length] == '/');
    }
    return 0;
}

/* The folder's own path in a pattern stands for itself. */
static char *pattern_below(const char *folder, const char *pattern)
{
    struct buffer text = {0};
    for (const char *at = folder; *at != '\0'; at++) {
        if (strchr("*?[]\\", *at) != NULL)
            buffer_append(&text, "\\", 1);
        buffer_append(&text, at, 1);
    }
    buffer_printf(&text, "/%s", pattern);
    char *whole = xstrdup(buffer_text(&text));
    buffer_fini(&text);
    return whole;
}

static int add_matches(struct finder *finder, const char *pattern, struct error *error)
{
    glob_t matches = {0};
    size_t skip = strlen(finder->folder) + 1;
    char *whole = pattern_below(finder->folder, pattern);
    int found = glob(whole, 0, NULL, &matches);
    int rc = 0;
    if (found == GLOB_NOMATCH)
        rc = refuse(pattern, "the task left no such file", error);
    else if (found != 0)
        rc = refuse(pattern, "cannot be looked for", error);
    for (size_t i = 0; rc == 0 && i < matches.gl_pathc; i++) {
        char *name = matches.gl_pathv[i] + skip;
        size_t length = strlen(name);
        /* A folder that was named "dir/". */
        if (length > 1 && name[length - 1] == '/')
            name[length - 1] = '\0';
        rc = add_path(finder, name, 0, error);
    }
    globfree(&matches);
    free(whole);
    return rc;
}

static int add_pattern(struct finder *finder, struct slice pattern, struct error *error)
{
    struct slice text = arena_copy(finder->arena, pattern);
    int rc = check_pattern(text, error);
    /* "./x" is the same file as "x", and the manifest knows only the latter. */
    const char *name = text.ptr;
    while (rc == 0 && strncmp(name, "./", 2) == 0)
        name += 2;
    return rc == 0 ? add_matches(finder, name, error) : rc;
}

/* Sorting the manifest must carry the paths with it: they are found again by name. */
static void sort_paths(struct finder *finder)
{
    struct artifacts *found = finder->found;
    struct slice *sorted = arena_alloc(finder->arena, (found->manifest.count + 1) * sizeof *sorted);
    for (size_t i = 0; i < found->manifest.count; i++) {
        uint64_t index = 0;
        (void)names_get(&finder->known, found->manifest.files[i].path, &index);
        sorted[i] = found->paths[index];
    }
    free(found->paths);
    found->paths = sorted;
}

int artifacts_find(const char *folder, const struct texts *patterns, struct arena *arena,
    struct artifacts *ret_artifacts, struct error *error)
{
    struct artifacts found = {0};
    struct finder finder = {.folder = folder, .arena = arena, .found = &found};
    int rc = 0;
    if (realpath(folder, finder.root) == NULL)
        rc = error_set_errno(error, ERR_IO, errno, "%s", folder);
    for (uint32_t i = 0; rc == 0 && i < patterns->count; i++)
        rc = add_pattern(&finder, patterns->items[i], error);
    if (rc == 0) {
        manifest_write(&found.manifest, &found.text);
        hash_of(buffer_slice(&found.text), &found.hash);
        sort_paths(&finder);
        *ret_artifacts = found;
    } else {
        free(found.paths);
        free(found.manifest.files);
    }
    names_fini(&finder.known);
    return rc;
}

void artifacts_fini(struct artifacts *artifacts)
{
    free(artifacts->manifest.files);
    buffer_fini(&artifacts->text);
    *artifacts = (struct artifacts){0};
}
