#include "worker/io/fetch.h"

#include "common/clock.h"
#include "common/file.h"
#include "common/memory.h"
#include "common/random.h"
#include "common/table.h"
#include "worker/io/cache.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    PART_BYTES = 512 * 1024,
    /* Asked for and not on disk. More would only lie in the master's queue, and the
       acknowledgements of logs behind it. */
    WINDOW_BYTES = 4 * 1024 * 1024,
    WINDOW_PARTS = 512,
    ANSWER_MAX_MS = 30000,
};

struct fetch {
    struct fetch *next, *previous; /* all */
    struct fetch *next_to_ask;     /* of those that have something to ask for */
    struct fetcher *fetcher;
    struct hash hash;
    char *path;
    int64_t size;
    uint64_t asked, received;
    uint32_t parts;
    bool failed;
    struct error error;
    fetch_done_fn done;
    void *context;
    /* The thread's: */
    int fd;
    char *temporary; /* what is written until it is whole */
    bool broken;
};

enum part_state {
    PART_TO_ASK,
    PART_ASKED,
    PART_WRITING, /* the thread has it */
};

/* A piece of a file, from its wish until it is on disk. */
struct part {
    struct part *next, *previous; /* all */
    struct fetch *fetch;
    enum part_state state;
    uint64_t request, offset, length;
    char *data;
    bool last; /* the rest of the file is there, or with the thread before it */
    struct error error;
};

struct fetcher {
    struct bulk *bulk;
    struct jobs *jobs;
    struct fetch *fetches;
    struct fetch *first, *last; /* that have something to ask for */
    struct part *parts;
    size_t part_count, to_ask;
    uint64_t window; /* bytes of all parts */
    struct table requests;
    uint64_t last_request;
    uint64_t now_ms;      /* of the round */
    uint64_t waits_since; /* the last answer, or the first question since there was none open */
};

/* ---- fetches that have something to ask for ---- */

static void enqueue(struct fetch *fetch)
{
    struct fetcher *fetcher = fetch->fetcher;
    *(fetcher->last != NULL ? &fetcher->last->next_to_ask : &fetcher->first) = fetch;
    fetcher->last = fetch;
}

static void dequeue(struct fetch *fetch)
{
    struct fetcher *fetcher = fetch->fetcher;
    struct fetch **link = &fetcher->first, *before = NULL;
    while (*link != NULL && *link != fetch) {
        before = *link;
        link = &before->next_to_ask;
    }
    if (*link == NULL)
        return;
    *link = fetch->next_to_ask;
    if (fetcher->last == fetch)
        fetcher->last = before;
    fetch->next_to_ask = NULL;
}

static void fetch_free(struct fetch *fetch)
{
    if (fetch->fd >= 0)
        (void)close(fetch->fd);
    if (fetch->temporary != NULL)
        (void)unlink(fetch->temporary);
    free(fetch->temporary);
    free(fetch->path);
    free(fetch);
}

void fetcher_get(
    struct fetcher *fetcher, const struct fetch_wish *wish, fetch_done_fn done, void *context)
{
    struct fetch *fetch = xcalloc(1, sizeof *fetch);
    fetch->fetcher = fetcher;
    fetch->hash = wish->hash;
    fetch->size = wish->size;
    fetch->path = xstrdup(wish->path);
    fetch->fd = -1;
    fetch->done = done;
    fetch->context = context;
    fetch->next = fetcher->fetches;
    if (fetch->next != NULL)
        fetch->next->previous = fetch;
    fetcher->fetches = fetch;
    enqueue(fetch);
}

/* ---- parts ---- */

static struct part *part_create(struct fetch *fetch, uint64_t offset, uint64_t length)
{
    struct fetcher *fetcher = fetch->fetcher;
    struct part *part = xcalloc(1, sizeof *part);
    part->fetch = fetch;
    part->offset = offset;
    part->length = length;
    part->next = fetcher->parts;
    if (part->next != NULL)
        part->next->previous = part;
    fetcher->parts = part;
    fetcher->part_count++;
    fetcher->to_ask++;
    fetcher->window += length;
    fetch->parts++;
    return part;
}

static void part_set_length(struct part *part, uint64_t length)
{
    struct fetcher *fetcher = part->fetch->fetcher;
    fetcher->window = fetcher->window - part->length + length;
    part->length = length;
}

static void part_set_state(struct part *part, enum part_state state)
{
    struct fetcher *fetcher = part->fetch->fetcher;
    fetcher->to_ask -= part->state == PART_TO_ASK;
    if (part->state == PART_ASKED)
        (void)table_remove(&fetcher->requests, part->request);
    part->state = state;
    fetcher->to_ask += state == PART_TO_ASK;
}

static void part_free(struct part *part)
{
    struct fetcher *fetcher = part->fetch->fetcher;
    part_set_state(part, PART_WRITING);
    part_set_length(part, 0);
    *(part->previous != NULL ? &part->previous->next : &fetcher->parts) = part->next;
    if (part->next != NULL)
        part->next->previous = part->previous;
    fetcher->part_count--;
    part->fetch->parts--;
    free(part->data);
    free(part);
}

/* Tells who waits for it, once nothing of it is at work. */
static void finish(struct fetch *fetch)
{
    bool whole = fetch->size >= 0 && fetch->received == (uint64_t)fetch->size;
    if (fetch->parts > 0 || (!fetch->failed && !whole))
        return;
    *(fetch->previous != NULL ? &fetch->previous->next : &fetch->fetcher->fetches) = fetch->next;
    if (fetch->next != NULL)
        fetch->next->previous = fetch->previous;
    fetch->done(fetch->context, fetch->failed ? &fetch->error : NULL);
    fetch_free(fetch);
}

/* What the thread has of it comes back before it is over. */
static void fail(struct fetch *fetch, const struct error *error)
{
    if (!fetch->failed)
        fetch->error = *error;
    fetch->failed = true;
    dequeue(fetch);
    for (struct part *part = fetch->fetcher->parts, *next; part != NULL; part = next) {
        next = part->next;
        if (part->fetch == fetch && part->state != PART_WRITING)
            part_free(part);
    }
}

/* ---- on the thread ---- */

static int open_temporary(struct fetch *fetch, struct error *error)
{
    if (fetch->fd >= 0)
        return 0;
    fetch->temporary = xasprintf(
        "%s" FILE_TEMPORARY_PREFIX "%016llx", fetch->path, (unsigned long long)random_id());
    fetch->fd = open(fetch->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
    if (fetch->fd >= 0)
        return 0;
    return error_set_errno(error, error_write_code(errno), errno, "%s", fetch->temporary);
}

static int check_content(const struct part *part, struct error *error)
{
    const struct fetch *fetch = part->fetch;
    struct hash hash;
    struct slice bytes = slice_make(part->data, (size_t)part->length);
    bool alone = part->offset == 0;
    int rc = alone ? 0 : file_map(fetch->temporary, &bytes, error);
    if (rc != 0)
        return rc;
    hash_of(bytes, &hash);
    if (!alone)
        file_unmap(bytes);
    if (memcmp(hash.bytes, fetch->hash.bytes, sizeof hash.bytes) == 0)
        return 0;
    return error_set(
        error, ERR_CORRUPT, "a file came from the master with another content than it should have");
}

/* Names the file, so that it is there, and was used just now as cache.h counts it. */
static int keep(struct fetch *fetch, struct error *error)
{
    cache_mark_used(fetch->fd, clock_boot_ms());
    if (rename(fetch->temporary, fetch->path) != 0)
        return error_set_errno(error, ERR_IO, errno, "%s", fetch->path);
    free(fetch->temporary);
    fetch->temporary = NULL;
    (void)close(fetch->fd);
    fetch->fd = -1;
    return 0;
}

static void write_part(void *context)
{
    struct part *part = context;
    struct fetch *fetch = part->fetch;
    if (fetch->broken)
        return;
    int rc = open_temporary(fetch, &part->error);
    if (rc == 0 && lseek(fetch->fd, (off_t)part->offset, SEEK_SET) < 0)
        rc = error_set_errno(&part->error, ERR_IO, errno, "%s", fetch->temporary);
    if (rc == 0)
        rc = file_write_all(fetch->fd, part->data, (size_t)part->length, &part->error);
    if (rc == 0 && part->last)
        rc = check_content(part, &part->error);
    if (rc == 0 && part->last)
        rc = keep(fetch, &part->error);
    fetch->broken = rc != 0;
}

static void wrote(void *context)
{
    struct part *part = context;
    struct fetch *fetch = part->fetch;
    if (part->error.code != 0)
        fail(fetch, &part->error);
    part_free(part);
    finish(fetch);
}

/* ---- asking ---- */

static void ask(struct fetcher *fetcher, struct part *part)
{
    bool idle = fetcher->requests.count == 0;
    part_set_state(part, PART_ASKED);
    part->request = ++fetcher->last_request;
    table_set(&fetcher->requests, part->request, (uintptr_t)part);
    struct msg_blob_read read = {.request = part->request,
        .hash = slice_make(part->fetch->hash.bytes, sizeof part->fetch->hash.bytes),
        .offset = part->offset,
        .limit = PART_BYTES};
    if (part->fetch->size > 0)
        read.limit = (uint32_t)part->length;
    bulk_send(fetcher->bulk, MESSAGE_blob_read, &read);
    if (idle)
        fetcher->waits_since = fetcher->now_ms;
}

/* The first fetch's next part; of one whose size is not known only the first, until that has come.
 */
static void add_part(struct fetcher *fetcher)
{
    struct fetch *fetch = fetcher->first;
    bool known = fetch->size >= 0;
    uint64_t length = known ? (uint64_t)fetch->size - fetch->asked : PART_BYTES;
    if (length > PART_BYTES)
        length = PART_BYTES;
    ask(fetcher, part_create(fetch, fetch->asked, length));
    fetch->asked += length;
    if (!known || fetch->asked == (uint64_t)fetch->size)
        dequeue(fetch);
}

void fetcher_pump(struct fetcher *fetcher, uint64_t now_ms)
{
    fetcher->now_ms = now_ms;
    if (!bulk_is_open(fetcher->bulk))
        return;
    for (struct part *part = fetcher->parts; part != NULL && fetcher->to_ask > 0;
         part = part->next) {
        if (part->state == PART_TO_ASK)
            ask(fetcher, part);
    }
    /* Half of a window at a time, so that questions share frames. */
    if (fetcher->window > WINDOW_BYTES / 2 || fetcher->part_count > WINDOW_PARTS / 2)
        return;
    while (fetcher->first != NULL && fetcher->window < WINDOW_BYTES &&
           fetcher->part_count < WINDOW_PARTS)
        add_part(fetcher);
}

/* ---- answers ---- */

static struct part *find(const struct fetcher *fetcher, uint64_t request)
{
    uint64_t value;
    return table_get(&fetcher->requests, request, &value) ? (struct part *)(uintptr_t)value : NULL;
}

/* The first answer for a file of unknown size says it. */
static void learn_size(struct part *part, uint64_t size)
{
    struct fetch *fetch = part->fetch;
    fetch->size = (int64_t)size;
    if (fetch->asked > size)
        fetch->asked = size;
    else if (fetch->asked < size)
        enqueue(fetch);
    part_set_length(part, fetch->asked);
}

static bool fits(const struct part *part, const struct msg_blob_data *data)
{
    return data->bytes == (uint64_t)part->fetch->size && data->offset == part->offset &&
           data->data.length <= part->length && (data->data.length > 0 || part->length == 0);
}

static void take_data(struct fetcher *fetcher, const struct msg_blob_data *data)
{
    struct error error = {0};
    struct part *part = find(fetcher, data->request);
    if (part == NULL)
        return;
    struct fetch *fetch = part->fetch;
    fetcher->waits_since = fetcher->now_ms;
    if (fetch->size < 0 && data->bytes <= INT64_MAX)
        learn_size(part, data->bytes);
    if (!fits(part, data)) {
        (void)error_set(
            &error, ERR_CORRUPT, "a file came from the master in pieces that do not fit");
        fail(fetch, &error);
        finish(fetch);
        return;
    }
    uint64_t length = data->data.length;
    if (length < part->length) {
        (void)part_create(fetch, part->offset + length, part->length - length);
        part_set_length(part, length);
    }
    fetch->received += length;
    part->data = xstrndup(data->data.ptr, (size_t)length);
    part->last = fetch->received == (uint64_t)fetch->size;
    part_set_state(part, PART_WRITING);
    jobs_run(fetcher->jobs, write_part, wrote, part);
}

static void take_refused(struct fetcher *fetcher, const struct msg_refused *refused)
{
    struct error error = {0};
    struct part *part = refused->request != 0 ? find(fetcher, refused->request) : NULL;
    if (part == NULL)
        return;
    struct fetch *fetch = part->fetch;
    (void)error_set(&error, refused->code < 0 ? (int)refused->code : ERR_REFUSED, "%.*s",
        SLICE_PRINT(refused->text));
    fail(fetch, &error);
    finish(fetch);
}

static void on_message(void *context, const struct message *message)
{
    if (message->number == MESSAGE_blob_data)
        take_data(context, message->body);
    else if (message->number == MESSAGE_refused)
        take_refused(context, message->body);
}

static void on_renewed(void *context)
{
    struct fetcher *fetcher = context;
    for (struct part *part = fetcher->parts; part != NULL; part = part->next) {
        if (part->state == PART_ASKED)
            part_set_state(part, PART_TO_ASK);
    }
}

bool fetcher_is_stuck(const struct fetcher *fetcher, uint64_t now_ms)
{
    return fetcher->requests.count > 0 && now_ms > fetcher->waits_since + ANSWER_MAX_MS;
}

struct fetcher *fetcher_create(struct bulk *bulk, struct jobs *jobs)
{
    struct fetcher *fetcher = xcalloc(1, sizeof *fetcher);
    fetcher->bulk = bulk;
    fetcher->jobs = jobs;
    bulk_add_user(bulk, &(struct bulk_user){on_message, on_renewed, fetcher});
    return fetcher;
}

void fetcher_destroy(struct fetcher *fetcher)
{
    if (fetcher == NULL)
        return;
    for (struct part *part = fetcher->parts, *next; part != NULL; part = next) {
        next = part->next;
        free(part->data);
        free(part);
    }
    for (struct fetch *fetch = fetcher->fetches, *next; fetch != NULL; fetch = next) {
        next = fetch->next;
        fetch_free(fetch);
    }
    table_fini(&fetcher->requests);
    free(fetcher);
}
