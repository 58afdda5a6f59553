#include "worker/io/trees.h"

#include "common/file.h"
#include "common/log.h"
#include "common/manifest.h"
#include "common/memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MANIFEST_MAX_BYTES = 64 * 1024 * 1024,
    /* A manifest has to come before it is known what else is missing: so it takes three looks, and
       one when the cache was emptied in between. */
    LOOKS_MAX = 4,
};

/* At this size the cache is emptied as soon as nothing is being laid out. */
#define CACHE_MAX_BYTES (UINT64_C(1) << 30)

struct trees {
    char *cache;
    char *bundles; /* or NULL */
    struct blob_client *blobs;
    struct jobs *jobs;
    struct tree_job *at_work;
    uint64_t cached_bytes;
};

struct missing {
    struct hash hash;
    uint64_t size;
};

/* The thread has it between jobs_run and its `done`. */
struct tree_job {
    struct tree_job *next, *previous;
    struct trees *trees;
    char *bundles; /* as it was at the start */
    struct tree *list;
    size_t count;
    trees_fn done;
    void *context;
    struct missing *missing;
    size_t missing_count, missing_capacity;
    size_t waiting; /* fetches that were not answered */
    uint32_t looks;
    bool cancelled;
    struct error error;
};

static void blob_path(char *path, size_t size, const char *root, const struct hash *hash)
{
    char hex[HASH_HEX_MAX];
    hash_hex(hash, hex);
    (void)snprintf(path, size, "%s/%.2s/%s", root, hex, hex + 2);
}

static const char *root_of(const struct tree_job *job, const struct tree *tree)
{
    return tree->is_bundle && job->bundles != NULL ? job->bundles : job->trees->cache;
}

/* ---- on the thread ---- */

static void add_missing(struct tree_job *job, const struct hash *hash, uint64_t size)
{
    for (size_t i = 0; i < job->missing_count; i++) {
        if (memcmp(&job->missing[i].hash, hash, sizeof *hash) == 0)
            return;
    }
    vector_reserve(&job->missing, job->missing_count, &job->missing_capacity);
    job->missing[job->missing_count++] = (struct missing){*hash, size};
}

/* The manifest's text lies in the arena. ERR_NOT_FOUND: it is not in the root. */
static int read_manifest(const char *root, const struct hash *hash, struct arena *arena,
    struct manifest *manifest, struct error *error)
{
    char path[4096];
    struct buffer text = {0};
    blob_path(path, sizeof path, root, hash);
    int rc = file_read(path, MANIFEST_MAX_BYTES, &text, error);
    if (rc == 0)
        rc = manifest_parse(arena_copy(arena, buffer_slice(&text)), arena, manifest, error);
    buffer_fini(&text);
    return rc;
}

/* Notes what the cache lacks of one tree. */
static int look(struct tree_job *job, const struct tree *tree)
{
    const char *root = root_of(job, tree);
    struct arena arena = {0};
    struct manifest manifest = {0};
    if (root != job->trees->cache)
        return 0;
    int rc = read_manifest(root, &tree->manifest, &arena, &manifest, &job->error);
    for (size_t i = 0; rc == 0 && i < manifest.count; i++) {
        char path[4096];
        blob_path(path, sizeof path, root, &manifest.files[i].hash);
        if (access(path, F_OK) != 0)
            add_missing(job, &manifest.files[i].hash, manifest.files[i].size);
    }
    if (rc == ERR_NOT_FOUND)
        add_missing(job, &tree->manifest, 0);
    arena_fini(&arena);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int forbid_writing(const struct manifest *manifest, const char *folder, struct error *error)
{
    for (size_t i = 0; i < manifest->count; i++) {
        const struct manifest_file *file = &manifest->files[i];
        char *path = xasprintf("%s/%.*s", folder, SLICE_PRINT(file->path));
        int rc = S_ISLNK(file->mode) ? 0 : chmod(path, file->mode & 0555);
        if (rc != 0)
            rc = error_set_errno(error, ERR_IO, errno, "%s", path);
        free(path);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int lay(struct tree_job *job, const struct tree *tree)
{
    const char *root = root_of(job, tree);
    struct arena arena = {0};
    struct manifest manifest = {0};
    int rc = file_make_folder(tree->folder, 0700, &job->error);
    if (rc == 0)
        rc = read_manifest(root, &tree->manifest, &arena, &manifest, &job->error);
    if (rc == 0)
        rc = manifest_materialize(&manifest, root, tree->folder, &job->error);
    if (rc == 0 && tree->read_only)
        rc = forbid_writing(&manifest, tree->folder, &job->error);
    arena_fini(&arena);
    return rc;
}

static void look_and_lay(void *context)
{
    struct tree_job *job = context;
    int rc = 0;
    job->missing_count = 0;
    job->looks++;
    for (size_t i = 0; rc == 0 && i < job->count; i++)
        rc = look(job, &job->list[i]);
    if (rc != 0)
        job->missing_count = 0;
    if (rc != 0 || job->missing_count > 0)
        return;
    job->error = (struct error){0};
    for (size_t i = 0; rc == 0 && i < job->count; i++)
        rc = lay(job, &job->list[i]);
}

static void empty_cache(void *context)
{
    const struct trees *trees = context;
    struct error error = {0};
    if (file_remove_tree(trees->cache, &error) != 0 ||
        file_make_folder(trees->cache, 0700, &error) != 0)
        log_warn("the cache of files cannot be emptied: %s", error.text);
}

/* ---- in the loop ---- */

static void nothing(void *context)
{
    (void)context;
}

static void tree_job_free(struct tree_job *job)
{
    *(job->previous != NULL ? &job->previous->next : &job->trees->at_work) = job->next;
    if (job->next != NULL)
        job->next->previous = job->previous;
    for (size_t i = 0; i < job->count; i++)
        free((char *)(uintptr_t)job->list[i].folder);
    free(job->list);
    free(job->missing);
    free(job->bundles);
    free(job);
}

static void finish(struct tree_job *job)
{
    struct trees *trees = job->trees;
    struct error error = job->error;
    trees_fn done = job->done;
    void *work = job->context;
    tree_job_free(job);
    /* Whoever comes later looks after this. */
    if (trees->at_work == NULL && trees->cached_bytes > CACHE_MAX_BYTES) {
        trees->cached_bytes = 0;
        jobs_run(trees->jobs, empty_cache, nothing, trees);
    }
    done(work, error.code != 0 ? &error : NULL);
}

static void looked(void *context);

static void fetched(void *context, const struct error *error)
{
    struct tree_job *job = context;
    if (error != NULL && job->error.code == 0)
        job->error = *error;
    if (--job->waiting > 0)
        return;
    if (job->error.code != 0 || job->cancelled)
        finish(job);
    else
        jobs_run(job->trees->jobs, look_and_lay, looked, job);
}

static int fetch(struct tree_job *job, const struct missing *missing)
{
    char path[4096];
    blob_path(path, sizeof path, job->trees->cache, &missing->hash);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return error_set_errno(&job->error, ERR_IO, errno, "%s", path);
    *slash = '/';
    job->waiting++;
    job->trees->cached_bytes += missing->size;
    blob_fetch(job->trees->blobs, &missing->hash, path, fetched, job);
    return 0;
}

static void looked(void *context)
{
    struct tree_job *job = context;
    bool done = job->missing_count == 0 || job->cancelled;
    if (!done && job->looks == LOOKS_MAX)
        (void)error_set(&job->error, ERR_IO, "files from the master do not stay in the cache");
    if (done || job->looks == LOOKS_MAX) {
        finish(job);
        return;
    }
    job->error = (struct error){0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < job->missing_count; i++)
        rc = fetch(job, &job->missing[i]);
    if (job->waiting == 0)
        finish(job);
}

struct tree_job *trees_lay(
    struct trees *trees, const struct tree *list, size_t count, trees_fn done, void *context)
{
    struct tree_job *job = xcalloc(1, sizeof *job);
    job->trees = trees;
    job->bundles = trees->bundles != NULL ? xstrdup(trees->bundles) : NULL;
    job->list = xcalloc(count, sizeof *job->list);
    job->count = count;
    job->done = done;
    job->context = context;
    for (size_t i = 0; i < count; i++) {
        job->list[i] = list[i];
        job->list[i].folder = xstrdup(list[i].folder);
    }
    job->next = trees->at_work;
    if (job->next != NULL)
        job->next->previous = job;
    trees->at_work = job;
    jobs_run(trees->jobs, look_and_lay, looked, job);
    return job;
}

void trees_cancel(struct tree_job *job, trees_fn gone)
{
    job->cancelled = true;
    job->done = gone;
}

struct trees *trees_create(const char *cache, struct blob_client *blobs, struct jobs *jobs)
{
    struct trees *trees = xcalloc(1, sizeof *trees);
    trees->cache = xstrdup(cache);
    trees->blobs = blobs;
    trees->jobs = jobs;
    empty_cache(trees);
    return trees;
}

void trees_destroy(struct trees *trees)
{
    if (trees == NULL)
        return;
    for (struct tree_job *job = trees->at_work, *next; job != NULL; job = next) {
        next = job->next;
        tree_job_free(job);
    }
    free(trees->cache);
    free(trees->bundles);
    free(trees);
}

void trees_set_bundles(struct trees *trees, struct slice folder)
{
    free(trees->bundles);
    trees->bundles = folder.length > 0 ? xstrndup(folder.ptr, folder.length) : NULL;
}
