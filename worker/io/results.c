#include "worker/io/results.h"

#include "common/file.h"
#include "common/memory.h"
#include "common/stop_point.h"
#include "common/table.h"
#include "worker/io/results_file.h"
#include "worker/runner/core.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    /* A result that is settled sooner needs no sync. */
    SYNC_AFTER_MS = 50,
    /* Below this the file is not worth cutting. */
    TRUNCATE_MIN_BYTES = 256 * 1024,
    COMPACT_MIN_BYTES = 16 * 1024 * 1024,
};

/* A pending result, in the order of saving. */
struct result {
    struct result *next, *previous;
    struct attempt_id id;
    struct slice frame; /* owned: the encoded `ended` */
};

struct id_list {
    struct attempt_id *items;
    size_t count, capacity;
};

/* What the thread does. Nothing is written while the file is cut or replaced. */
enum results_job { RESULTS_IDLE, RESULTS_SYNC, RESULTS_CUT, RESULTS_REPLACE };

struct results {
    const char *path;
    struct jobs *jobs;
    int fd;
    uint64_t length; /* of the file: all below was written */
    uint64_t synced; /* all below was synced too */
    uint64_t torn;   /* cut off when it was opened */
    uint64_t sync_due_ms;
    struct names pending;
    struct result *first, *last;
    uint64_t pending_bytes;
    results_fn saved;
    void *context;
    struct buffer next; /* appended, and not written */
    struct id_list next_ids;
    enum results_job job;
    /* What the thread has: */
    struct buffer bytes; /* of the new file */
    uint64_t covered;    /* by the sync */
    int new_fd;
    int new_code;
    int code; /* why nothing can be written; 0: it can */
    struct error error;
};

static struct result *find(const struct results *results, const struct attempt_id *id)
{
    uint64_t value;
    return names_get(&results->pending, attempt_key(id), &value) ? (struct result *)(uintptr_t)value
                                                                 : NULL;
}

static void forget(struct results *results, struct result *result)
{
    *(result->previous != NULL ? &result->previous->next : &results->first) = result->next;
    *(result->next != NULL ? &result->next->previous : &results->last) = result->previous;
    (void)names_remove(&results->pending, attempt_key(&result->id));
    results->pending_bytes -= result->frame.length;
    slice_free(&result->frame);
    free(result);
}

/* Takes the frame's bytes. */
static void remember(struct results *results, const struct attempt_id *id, struct slice frame)
{
    struct result *result = find(results, id);
    if (result != NULL)
        forget(results, result);
    result = xcalloc(1, sizeof *result);
    result->id = *id;
    result->frame = frame;
    result->previous = results->last;
    *(results->last != NULL ? &results->last->next : &results->first) = result;
    results->last = result;
    results->pending_bytes += frame.length;
    names_set(&results->pending, attempt_key(id), (uintptr_t)result);
}

static struct buffer encode(enum message_id number, const void *body)
{
    struct buffer frame = {0};
    struct frame_header header = {.version = PROTOCOL_HOST_VERSION, .number = 1};
    frame_begin(&frame, &header);
    message_encode(&frame, number, body);
    return frame;
}

void results_save(struct results *results, const struct msg_ended *ended)
{
    struct buffer frame = encode(MESSAGE_ended, ended);
    results_file_append(&results->next, buffer_slice(&frame));
    vector_reserve(&results->next_ids.items, results->next_ids.count, &results->next_ids.capacity);
    results->next_ids.items[results->next_ids.count++] = ended->id;
    remember(results, &ended->id, buffer_slice(&frame));
}

void results_drop(struct results *results, const struct attempt_id *id)
{
    struct result *result = find(results, id);
    if (result == NULL)
        return;
    forget(results, result);
    struct msg_settled settled = {.id = *id};
    struct buffer frame = encode(MESSAGE_settled, &settled);
    results_file_append(&results->next, buffer_slice(&frame));
    buffer_fini(&frame);
}

void results_on_saved(struct results *results, results_fn saved, void *context)
{
    results->saved = saved;
    results->context = context;
}

/* ---- in the loop ---- */

/* A full disk: the file is cut back, and the bytes stay for results_retry. */
static int write_next(struct results *results)
{
    struct error *error = &results->error;
    int rc = 0;
    if (lseek(results->fd, (off_t)results->length, SEEK_SET) < 0)
        rc = error_set_errno(error, ERR_IO, errno, "seek failed");
    if (rc == 0)
        rc = file_write_all(results->fd, results->next.data, results->next.length, error);
    if (rc == ERR_NO_SPACE && ftruncate(results->fd, (off_t)results->length) != 0)
        rc = error_set_errno(error, ERR_IO, errno, "cannot be cut back");
    if (rc != 0)
        (void)error_prefix(error, "%s", results->path);
    return rc;
}

static void tell_saved(struct results *results)
{
    struct id_list ids = results->next_ids;
    results->next_ids = (struct id_list){0};
    for (size_t i = 0; i < ids.count; i++)
        results->saved(results->context, &ids.items[i]);
    free(ids.items);
}

void results_write(struct results *results, uint64_t now_ms)
{
    if (results->next.length == 0 || results->code != 0 || results->job == RESULTS_CUT ||
        results->job == RESULTS_REPLACE)
        return;
    results_file_seal(&results->next, 0, results->synced);
    stop_here(STOP_RESULT_MADE);
    results->code = write_next(results);
    if (results->code != 0)
        return;
    stop_here(STOP_RESULT_WRITTEN);
    results->length += results->next.length;
    buffer_clear(&results->next);
    if (results->sync_due_ms == UINT64_MAX)
        results->sync_due_ms = now_ms + SYNC_AFTER_MS;
    tell_saved(results);
}

/* ---- on the thread ---- */

static int cut(struct results *results)
{
    if (ftruncate(results->fd, RESULTS_FILE_HEAD) != 0 || fdatasync(results->fd) != 0)
        return error_set_errno(&results->error, ERR_IO, errno, "cannot be cut");
    return 0;
}

static int replace(struct results *results)
{
    int rc = file_replace(results->path, buffer_slice(&results->bytes), 0600, &results->error);
    if (rc != 0)
        return rc;
    results->new_fd = open(results->path, O_RDWR | O_CLOEXEC);
    if (results->new_fd < 0)
        return error_set_errno(&results->error, ERR_IO, errno, "cannot be opened");
    return 0;
}

static int sync_file(struct results *results)
{
    if (fdatasync(results->fd) != 0)
        return error_set_errno(&results->error, ERR_IO, errno, "fdatasync failed");
    stop_here(STOP_RESULT_SYNCED);
    return 0;
}

static void work(void *context)
{
    struct results *results = context;
    int code = 0;
    if (results->job == RESULTS_SYNC)
        code = sync_file(results);
    else if (results->job == RESULTS_CUT)
        code = cut(results);
    else
        code = replace(results);
    if (code != 0)
        (void)error_prefix(&results->error, "%s", results->path);
    results->new_code = code;
}

/* ---- back in the loop ---- */

static void on_done(void *context)
{
    struct results *results = context;
    enum results_job job = results->job;
    results->job = RESULTS_IDLE;
    if (results->new_code != 0) {
        results->code = results->new_code;
        return;
    }
    if (job == RESULTS_REPLACE) {
        (void)close(results->fd);
        results->fd = results->new_fd;
        results->length = results->bytes.length;
        results->covered = results->length;
        buffer_clear(&results->bytes);
    } else if (job == RESULTS_CUT) {
        results->length = RESULTS_FILE_HEAD;
        results->covered = results->length;
    }
    results->synced = results->covered;
    /* What waited is written by the batch of this round. */
    if (results->length > results->synced)
        results->sync_due_ms = 0;
}

static void begin(struct results *results, enum results_job job)
{
    results->job = job;
    results->covered = results->length;
    results->sync_due_ms = UINT64_MAX;
    jobs_run(results->jobs, work, on_done, results);
}

static void begin_anew(struct results *results)
{
    buffer_clear(&results->bytes);
    results_file_begin(&results->bytes);
    for (struct result *result = results->first; result != NULL; result = result->next)
        results_file_append(&results->bytes, result->frame);
    results_file_seal(&results->bytes, RESULTS_FILE_HEAD, RESULTS_FILE_HEAD);
    begin(results, RESULTS_REPLACE);
}

static bool wants_compaction(const struct results *results)
{
    return results->length > COMPACT_MIN_BYTES && results->pending_bytes < results->length / 2;
}

void results_flush(struct results *results, uint64_t now_ms)
{
    if (results->job != RESULTS_IDLE || results->code != 0 || results->next.length > 0)
        return;
    if (results->first == NULL && results->length >= TRUNCATE_MIN_BYTES)
        begin(results, RESULTS_CUT);
    else if (wants_compaction(results))
        begin_anew(results);
    else if (now_ms >= results->sync_due_ms && results->first != NULL)
        begin(results, RESULTS_SYNC);
    else if (now_ms >= results->sync_due_ms)
        results->sync_due_ms = UINT64_MAX;
}

uint64_t results_due_ms(const struct results *results)
{
    return results->job == RESULTS_IDLE && results->code == 0 ? results->sync_due_ms : UINT64_MAX;
}

int results_state(const struct results *results, struct error *error)
{
    if (results->code != 0 && error != NULL)
        *error = results->error;
    return results->code;
}

void results_retry(struct results *results)
{
    if (results->job == RESULTS_IDLE && results->code == ERR_NO_SPACE)
        results->code = 0;
}

/* ---- opening ---- */

static int take_record(void *context, struct slice frame, struct error *error)
{
    struct results *results = context;
    struct arena arena = {0};
    struct frame_reader reader;
    struct message message = {0};
    int rc = frame_open_host(frame, &arena, &reader, error);
    if (rc == 0)
        rc = frame_next(&reader, &message, error);
    if (rc == 1 && message.number == MESSAGE_ended) {
        const struct msg_ended *ended = message.body;
        remember(results, &ended->id, slice_keep(frame));
    } else if (rc == 1 && message.number == MESSAGE_settled) {
        struct result *result = find(results, &((const struct msg_settled *)message.body)->id);
        if (result != NULL)
            forget(results, result);
    } else if (rc >= 0) {
        rc = error_set(error, ERR_CORRUPT, "holds what is no result");
    }
    arena_fini(&arena);
    return rc < 0 ? rc : 0;
}

static int read_all(struct results *results, struct error *error)
{
    struct buffer bytes = {0};
    int rc = file_read(results->path, SIZE_MAX, &bytes, error);
    if (rc == ERR_NOT_FOUND) {
        results_file_begin(&bytes);
        results->length = bytes.length;
        rc = file_replace(results->path, buffer_slice(&bytes), 0600, error);
    } else if (rc == 0) {
        size_t length;
        rc = results_file_read(buffer_slice(&bytes), take_record, results, &length, error);
        results->length = length;
        results->torn = rc == 0 ? bytes.length - length : 0;
        if (rc != 0)
            (void)error_prefix(error, "%s", results->path);
    }
    buffer_fini(&bytes);
    return rc;
}

/* The torn tail goes now: were it left, the next group would follow it. */
static int open_file(struct results *results, struct error *error)
{
    results->fd = open(results->path, O_RDWR | O_CLOEXEC);
    if (results->fd < 0)
        return error_set_errno(error, ERR_IO, errno, "%s", results->path);
    if (ftruncate(results->fd, (off_t)results->length) != 0 || fsync(results->fd) != 0)
        return error_set_errno(error, ERR_IO, errno, "%s", results->path);
    results->synced = results->length;
    return 0;
}

int results_open(
    const char *path, struct jobs *jobs, struct results **ret_results, struct error *error)
{
    struct results *results = xcalloc(1, sizeof *results);
    results->path = path;
    results->sync_due_ms = UINT64_MAX;
    results->jobs = jobs;
    results->fd = -1;
    int rc = read_all(results, error);
    if (rc == 0)
        rc = open_file(results, error);
    if (rc != 0)
        results_close(results);
    else
        *ret_results = results;
    return rc;
}

uint64_t results_torn_bytes(const struct results *results)
{
    return results->torn;
}

void results_each(const struct results *results, results_loaded_fn loaded, void *context)
{
    struct arena arena = {0};
    for (const struct result *result = results->first; result != NULL; result = result->next) {
        struct frame_reader reader;
        struct message message = {0};
        arena_reset(&arena);
        int rc = frame_open_host(result->frame, &arena, &reader, NULL);
        if (rc == 0)
            rc = frame_next(&reader, &message, NULL);
        assert(rc == 1 && "it was read when it was remembered");
        loaded(context, message.body);
    }
    arena_fini(&arena);
}

void results_close(struct results *results)
{
    if (results == NULL)
        return;
    if (results->fd >= 0 && results->first != NULL && results->synced < results->length)
        (void)fdatasync(results->fd); /* a restart syncs again, and says so when it fails */
    while (results->first != NULL)
        forget(results, results->first);
    names_fini(&results->pending);
    if (results->fd >= 0)
        (void)close(results->fd);
    buffer_fini(&results->next);
    buffer_fini(&results->bytes);
    free(results->next_ids.items);
    free(results);
}
