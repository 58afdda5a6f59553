#include "worker/io/trees.h"

#include "common/clock.h"
#include "common/file.h"
#include "common/manifest.h"
#include "common/memory.h"
#include "common/table.h"
#include "worker/io/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MANIFEST_MAX_BYTES = 64 * 1024 * 1024,
    /* A manifest has to come before it is known what else is missing: so it takes three looks. */
    LOOKS_MAX = 3,
};

struct trees {
    char *cache;
    uint64_t cache_max;
    char *bundles; /* or NULL */
    struct fetcher *fetcher;
    struct jobs *jobs;
    struct tree_job *at_work;
    uint64_t cached_bytes; /* at most; what two jobs fetched is counted twice until it is counted
                              anew */
    bool evicting;         /* the thread has what follows */
    uint64_t keep_ms, left_bytes;
};

struct missing {
    struct hash hash;
    int64_t size; /* or FETCH_SIZE_UNKNOWN */
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
    uint64_t began_ms; /* what it found or fetched since then is not evicted */
    struct missing *missing;
    size_t missing_count, missing_capacity;
    struct names noted; /* hashes of `missing` */
    size_t waiting;     /* fetches that were not answered */
    uint32_t looks;
    bool cancelled;
    struct error error;
};

static const char *root_of(const struct tree_job *job, const struct tree *tree)
{
    return tree->is_bundle && job->bundles != NULL ? job->bundles : job->trees->cache;
}

/* ---- on the thread ---- */

static void add_missing(struct tree_job *job, const struct hash *hash, int64_t size)
{
    struct slice key = slice_make(hash->bytes, sizeof hash->bytes);
    if (names_get(&job->noted, key, NULL))
        return;
    names_set(&job->noted, key, 1);
    vector_reserve(&job->missing, job->missing_count, &job->missing_capacity);
    job->missing[job->missing_count++] = (struct missing){*hash, size};
}

/* The manifest's text lies in the arena. ERR_NOT_FOUND: it is not in the root. */
static int read_manifest(const char *root, const struct hash *hash, struct arena *arena,
    struct manifest *manifest, struct error *error)
{
    char path[CACHE_PATH_MAX];
    struct buffer text = {0};
    cache_path(root, hash, path);
    int rc = file_read_own(path, MANIFEST_MAX_BYTES, &text, error);
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
    uint64_t now_ms = clock_boot_ms();
    (void)cache_use(root, &tree->manifest, now_ms);
    int rc = read_manifest(root, &tree->manifest, &arena, &manifest, &job->error);
    for (size_t i = 0; rc == 0 && i < manifest.count; i++) {
        const struct manifest_file *file = &manifest.files[i];
        if (!cache_use(root, &file->hash, now_ms))
            add_missing(job, &file->hash, (int64_t)file->size);
    }
    if (rc == ERR_NOT_FOUND)
        add_missing(job, &tree->manifest, FETCH_SIZE_UNKNOWN);
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
    names_fini(&job->noted);
    job->noted = (struct names){0};
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

static void evict(void *context)
{
    struct trees *trees = context;
    /* A little more, so that the next fetch is not followed by the next count of all. */
    trees->left_bytes =
        cache_evict(trees->cache, trees->cache_max - trees->cache_max / 10, trees->keep_ms);
}

/* ---- in the loop ---- */

static void evicted(void *context)
{
    struct trees *trees = context;
    trees->evicting = false;
    trees->cached_bytes = trees->left_bytes;
}

/* What a job has found, or fetched, stays until it is over. */
static void check_size(struct trees *trees)
{
    if (trees->evicting || trees->cached_bytes <= trees->cache_max)
        return;
    trees->evicting = true;
    trees->keep_ms = UINT64_MAX;
    for (const struct tree_job *job = trees->at_work; job != NULL; job = job->next) {
        if (job->began_ms < trees->keep_ms)
            trees->keep_ms = job->began_ms;
    }
    jobs_run(trees->jobs, evict, evicted, trees);
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
    names_fini(&job->noted);
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
    check_size(trees);
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
    char path[CACHE_PATH_MAX];
    struct trees *trees = job->trees;
    int rc = cache_make_room(trees->cache, &missing->hash, &job->error);
    if (rc != 0)
        return rc;
    cache_path(trees->cache, &missing->hash, path);
    job->waiting++;
    if (missing->size > 0)
        trees->cached_bytes += (uint64_t)missing->size;
    struct fetch_wish wish = {.hash = missing->hash, .size = missing->size, .path = path};
    fetcher_get(trees->fetcher, &wish, fetched, job);
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
    job->began_ms = clock_boot_ms();
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

int trees_create(const struct trees_config *config, const unsigned char boot[BOOT_BYTES],
    struct trees **ret_trees, struct error *error)
{
    uint64_t bytes;
    int rc = cache_open(config->cache, boot, &bytes, error);
    if (rc != 0)
        return rc;
    struct trees *trees = xcalloc(1, sizeof *trees);
    trees->cache = xstrdup(config->cache);
    trees->cache_max = config->cache_max;
    trees->cached_bytes = bytes;
    trees->fetcher = config->fetcher;
    trees->jobs = config->jobs;
    *ret_trees = trees;
    return 0;
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
