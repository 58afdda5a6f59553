/*
 * What is done after an attempt has ended: the rest of its log, its outputs, its artifacts.
 * Artifacts go up file by file, their manifest last; the result waits for that, however long the
 * master is away.
 */
#include "worker/io/artifacts.h"
#include "worker/io/attempts_state.h"
#include "worker/io/outputs.h"

#include "common/file.h"
#include "common/limits.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct collection {
    struct work *work;
    bool success;
    struct arena arena;
    struct place place;
    struct texts patterns;
    struct buffer outputs;
    struct artifacts artifacts;
    size_t sent; /* files that the master has */
    enum reason reason;
    struct error error;
    struct slice said; /* what its operator says of its failure, or empty */
    bool no_retry;
};

static void collection_destroy(struct collection *collection)
{
    artifacts_fini(&collection->artifacts);
    buffer_fini(&collection->outputs);
    arena_fini(&collection->arena);
    free(collection);
}

void collection_free(struct work *work)
{
    if (work->collection != NULL)
        collection_destroy(work->collection);
    work->collection = NULL;
}

static void finish(struct collection *collection)
{
    struct work *work = collection->work;
    const struct attempts_events *events = &work->attempts->config.events;
    bool well = collection->reason == REASON_NONE;
    struct collected collected = {
        .id = work->id,
        .log_bytes = work->log_bytes,
        .reason = collection->reason,
        .error = well ? collection->said : slice_of(collection->error.text),
        .no_retry = collection->no_retry,
    };
    if (well)
        collected.outputs = buffer_slice(&collection->outputs);
    if (well && collection->patterns.count > 0)
        collected.artifacts =
            slice_make(collection->artifacts.hash.bytes, sizeof collection->artifacts.hash.bytes);
    work->collection = NULL;
    events->collected(events->context, &collected);
    collection_destroy(collection);
}

/* ---- artifacts ---- */

static void send_next(struct collection *collection);

static void kept(void *context, const struct error *error)
{
    struct collection *collection = context;
    if (error == NULL && collection->sent <= collection->artifacts.manifest.count) {
        send_next(collection);
        return;
    }
    if (error != NULL) {
        collection->reason = REASON_ARTIFACT;
        collection->error = *error;
        (void)error_prefix(&collection->error, "its artifacts could not be kept");
    }
    finish(collection);
}

/* Files first: who has the manifest can have all that it names. */
static void send_next(struct collection *collection)
{
    const struct artifacts *artifacts = &collection->artifacts;
    size_t index = collection->sent++;
    struct blob_source source = {.hash = artifacts->hash, .bytes = buffer_slice(&artifacts->text)};
    if (index < artifacts->manifest.count) {
        source.hash = artifacts->manifest.files[index].hash;
        source.size = artifacts->manifest.files[index].size;
        source.path = artifacts->paths[index].ptr;
    } else {
        source.size = source.bytes.length;
    }
    blob_upload(collection->work->attempts->config.blobs, &source, kept, collection);
}

static void find(void *context)
{
    struct collection *collection = context;
    struct task_guise guise;
    if (task_guise_take(collection->place.folder.ptr, &guise, &collection->error) != 0) {
        collection->reason = REASON_ARTIFACT;
        return;
    }
    if (artifacts_find(collection->place.files.ptr, &collection->patterns, &collection->arena,
            &collection->artifacts, &collection->error) != 0)
        collection->reason = REASON_ARTIFACT;
    task_guise_drop(&guise);
}

static void found(void *context)
{
    struct collection *collection = context;
    if (collection->reason != REASON_NONE)
        finish(collection);
    else
        send_next(collection);
}

/* ---- outputs ---- */

/* The descriptor, or -1 and errno, or -1 and an error. */
static int open_outputs(const struct collection *collection, struct error *error)
{
    struct task_guise guise;
    if (task_guise_take(collection->place.folder.ptr, &guise, error) != 0)
        return -1;
    int fd = open(collection->place.output.ptr, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int number = errno;
    task_guise_drop(&guise);
    errno = number;
    return fd;
}

static int read_outputs(struct collection *collection)
{
    struct error *error = &collection->error;
    struct stat status;
    struct buffer text = {0};
    if (!work_folder_may_hold(collection->work, &collection->place))
        return 0;
    int fd = open_outputs(collection, error);
    if (fd < 0 && error->code != 0)
        return error->code;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        if (fd >= 0)
            (void)close(fd);
        return error_set(error, ERR_INVALID, "outputs: $REEVE_OUTPUT is no file that can be read");
    }
    ssize_t got = read(fd, buffer_reserve(&text, OUTPUTS_MAX_BYTES + 1), OUTPUTS_MAX_BYTES + 1);
    (void)close(fd);
    text.length = got > 0 ? (size_t)got : 0;
    int rc = got < 0 ? error_set_errno(error, ERR_IO, errno, "outputs: cannot be read")
                     : outputs_parse(buffer_slice(&text), &collection->outputs, error);
    buffer_fini(&text);
    return rc;
}

/* ---- what its operator said ---- */

/* What stands in $REEVE_OUTPUT replaces what was said. */
static void merge_outputs(struct collection *collection, const json_t *said)
{
    struct buffer *text = &collection->outputs;
    json_t *all = json_copy((json_t *)(uintptr_t)said);
    json_t *written =
        text->length > 0 ? json_loadb(text->data, text->length, JSON_ALLOW_NUL, NULL) : NULL;
    (void)json_object_update(all, written);
    char *merged = json_dumps(all, JSON_COMPACT);
    size_t length = merged != NULL ? strlen(merged) : 0;
    buffer_clear(text);
    if (length <= OUTPUTS_MAX_BYTES) {
        buffer_append(text, merged, length);
    } else {
        collection->reason = REASON_OUTPUT;
        (void)error_set(&collection->error, ERR_TOO_BIG,
            "outputs: more than %d bytes; hand large data on as an artifact", OUTPUTS_MAX_BYTES);
    }
    free(merged);
    json_decref(written);
    json_decref(all);
}

static void finish_talk(struct collection *collection)
{
    struct talk_end end;
    talk_finish(collection->work->talk, &end);
    collection->said = end.error;
    collection->no_retry = end.no_retry;
    if (end.breach.length > 0) {
        collection->reason = REASON_OPERATOR;
        (void)error_set(&collection->error, ERR_INVALID, "%.*s", SLICE_PRINT(end.breach));
    } else if (collection->success && end.error.length > 0) {
        collection->reason = REASON_OPERATOR;
        (void)error_set(&collection->error, ERR_INVALID, "it ended with 0 after its error: %.*s",
            SLICE_PRINT(end.error));
    } else if (collection->success && collection->reason == REASON_NONE &&
               json_object_size(end.outputs) > 0) {
        merge_outputs(collection, end.outputs);
    }
}

/* ---- the whole ---- */

static void collect(struct collection *collection)
{
    struct work *work = collection->work;
    if (!work_drain(work))
        return;
    if (work->stream != NULL)
        work->log_bytes = ship_end_unsaved(work->attempts->config.ship, work->stream);
    work->stream = NULL;
    if (collection->success && read_outputs(collection) != 0)
        collection->reason = REASON_OUTPUT;
    if (work->talk != NULL)
        finish_talk(collection);
    if (collection->success && collection->reason == REASON_NONE && collection->patterns.count > 0)
        jobs_run(work->attempts->config.jobs, find, found, collection);
    else
        finish(collection);
}

void collection_retry(struct work *work)
{
    collect(work->collection);
}

void attempts_collect(struct attempts *attempts, const struct attempt_id *id,
    const struct msg_assign *assign, bool success)
{
    struct work *work = work_find(attempts, id);
    if (work == NULL)
        work = work_create(attempts, id);
    struct collection *collection = xcalloc(1, sizeof *collection);
    collection->work = work;
    collection->success = success;
    place_make(&collection->place, attempts->config.folder->work, id, &collection->arena);
    collection->patterns.items =
        arena_alloc(&collection->arena, (assign->artifacts.count + 1) * sizeof(struct slice));
    collection->patterns.count = success ? assign->artifacts.count : 0;
    for (uint32_t i = 0; i < collection->patterns.count; i++)
        collection->patterns.items[i] = arena_copy(&collection->arena, assign->artifacts.items[i]);
    work->collection = collection;
    if (work->log_limit == 0)
        work->log_limit = assign->log_limit;
    if (work->stream != NULL)
        spool_set_limit(stream_spool(work->stream), assign->log_limit);
    collect(collection);
}
