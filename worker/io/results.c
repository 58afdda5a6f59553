#include "worker/io/results.h"

#include "common/file.h"
#include "common/memory.h"
#include "common/table.h"
#include "worker/io/results_file.h"
#include "worker/runner/core.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
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

struct results {
    const char *path;
    struct jobs *jobs;
    int fd;
    uint64_t length; /* of the file: all below was written and synced */
    struct names pending;
    struct result *first, *last;
    uint64_t pending_bytes;
    results_fn saved;
    void *context;
    struct buffer next; /* appended, and not given to the thread */
    struct id_list next_ids;
    /* What the thread has: */
    bool busy;
    bool anew; /* the file is replaced by `bytes`, not appended to */
    struct buffer bytes;
    struct id_list ids;
    int new_fd;
    int code;
    struct error error;
};

static struct result *find(const struct results *results, const struct attempt_id *id)
{
    uint64_t value;
    return names_get(&results->pending, attempt_key(id), &value) ? (struct result *)(uintptr_t)value
                                                                 : NULL;
}

bool results_has(const struct results *results, const struct attempt_id *id)
{
    return find(results, id) != NULL;
}

static void forget(struct results *results, struct result *result)
{
    *(result->previous != NULL ? &result->previous->next : &results->first) = result->next;
    *(result->next != NULL ? &result->next->previous : &results->last) = result->previous;
    (void)names_remove(&results->pending, attempt_key(&result->id));
    results->pending_bytes -= result->frame.length;
    free((char *)(uintptr_t)result->frame.ptr);
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
    struct frame_header header = {.version = PROTOCOL_VERSION, .number = 1};
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

/* ---- on the thread ---- */

static void append(struct results *results)
{
    struct error *error = &results->error;
    int fd = results->fd;
    if (lseek(fd, (off_t)results->length, SEEK_SET) < 0) {
        results->code = error_set_errno(error, ERR_IO, errno, "seek failed");
        return;
    }
    results->code = file_write_all(fd, results->bytes.data, results->bytes.length, error);
    /* A settled one that is forgotten is told again, and settled again: no sync for it alone. */
    if (results->code == 0 && results->ids.count > 0 && fdatasync(fd) != 0)
        results->code = error_set_errno(error, ERR_IO, errno, "fdatasync failed");
    if (results->code == ERR_NO_SPACE && ftruncate(fd, (off_t)results->length) != 0)
        results->code = error_set_errno(error, ERR_IO, errno, "cannot be cut back");
}

static void replace(struct results *results)
{
    results->code =
        file_replace(results->path, buffer_slice(&results->bytes), 0600, &results->error);
    if (results->code != 0)
        return;
    results->new_fd = open(results->path, O_RDWR | O_CLOEXEC);
    if (results->new_fd < 0)
        results->code = error_set_errno(&results->error, ERR_IO, errno, "cannot be opened");
}

static void write_out(void *context)
{
    struct results *results = context;
    if (results->anew)
        replace(results);
    else
        append(results);
    if (results->code != 0)
        (void)error_prefix(&results->error, "%s", results->path);
}

/* ---- back in the loop ---- */

static void cut(struct results *results)
{
    if (results->first != NULL || results->next.length > 0 || results->length < TRUNCATE_MIN_BYTES)
        return;
    /* Not synced: what comes back at a power cut was settled, and is settled again. */
    if (ftruncate(results->fd, RESULTS_FILE_HEAD) == 0)
        results->length = RESULTS_FILE_HEAD;
}

static void written(struct results *results)
{
    if (results->anew) {
        (void)close(results->fd);
        results->fd = results->new_fd;
        results->length = results->bytes.length;
    } else {
        results->length += results->bytes.length;
    }
    struct id_list ids = results->ids;
    results->ids = (struct id_list){0};
    buffer_clear(&results->bytes);
    for (size_t i = 0; i < ids.count; i++)
        results->saved(results->context, &ids.items[i]);
    free(ids.items);
    cut(results);
    results_flush(results);
}

static void on_written(void *context)
{
    struct results *results = context;
    results->busy = false;
    /* A full disk: the bytes stay for results_retry. */
    if (results->code == 0)
        written(results);
}

static bool wants_compaction(const struct results *results)
{
    return results->length > COMPACT_MIN_BYTES && results->pending_bytes < results->length / 2;
}

static void begin(struct results *results)
{
    results->busy = true;
    results->code = 0;
    jobs_run(results->jobs, write_out, on_written, results);
}

void results_flush(struct results *results)
{
    if (results->busy || results->code != 0 || results->next.length == 0)
        return;
    assert(results->bytes.length == 0);
    results->anew = wants_compaction(results);
    if (results->anew) {
        results_file_begin(&results->bytes);
        for (struct result *result = results->first; result != NULL; result = result->next)
            results_file_append(&results->bytes, result->frame);
        results_file_seal(&results->bytes, RESULTS_FILE_HEAD, 0);
        buffer_clear(&results->next);
    } else {
        struct buffer empty = results->bytes;
        results->bytes = results->next;
        results->next = empty;
        results_file_seal(&results->bytes, 0, results->length);
    }
    results->ids = results->next_ids;
    results->next_ids = (struct id_list){0};
    begin(results);
}

int results_state(const struct results *results, struct error *error)
{
    if (!results->busy && results->code != 0 && error != NULL)
        *error = results->error;
    return results->busy ? 0 : results->code;
}

void results_retry(struct results *results)
{
    if (!results->busy && results->code == ERR_NO_SPACE)
        begin(results);
}

/* ---- opening ---- */

static int take_record(void *context, struct slice frame, struct error *error)
{
    struct results *results = context;
    struct arena arena = {0};
    struct frame_reader reader;
    struct message message = {0};
    int rc = frame_open(frame, &arena, &reader, error);
    if (rc == 0)
        rc = frame_next(&reader, &message, error);
    if (rc == 1 && message.number == MESSAGE_ended) {
        const struct msg_ended *ended = message.body;
        remember(results, &ended->id, slice_make(xstrndup(frame.ptr, frame.length), frame.length));
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
    return 0;
}

int results_open(
    const char *path, struct jobs *jobs, struct results **ret_results, struct error *error)
{
    struct results *results = xcalloc(1, sizeof *results);
    results->path = path;
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

void results_each(const struct results *results, results_loaded_fn loaded, void *context)
{
    struct arena arena = {0};
    for (const struct result *result = results->first; result != NULL; result = result->next) {
        struct frame_reader reader;
        struct message message = {0};
        arena_reset(&arena);
        int rc = frame_open(result->frame, &arena, &reader, NULL);
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
    while (results->first != NULL)
        forget(results, results->first);
    names_fini(&results->pending);
    if (results->fd >= 0)
        (void)close(results->fd);
    buffer_fini(&results->next);
    buffer_fini(&results->bytes);
    free(results->next_ids.items);
    free(results->ids.items);
    free(results);
}
