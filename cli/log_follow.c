#include "cli/log_follow.h"

#include "cli/session.h"
#include "cli/terminal.h"
#include "cli/watch.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/random.h"
#include "common/table.h"

#include <stdlib.h>

enum {
    LOOK_UP_EACH = 50, /* tasks that are asked for one by one */
    LOOK_REST = 4,     /* after a look at all of a run so many times its time pass to the next */
    STREAMS_MAX = 64,  /* logs that are read at a time; others wait for one to end */
    EMPTY_AGAIN_MS = 1000, /* a read that brought nothing is followed by the next after this */
    READ_AGAIN_MS = 15000, /* the master answers a waiting read within 10 s */
};

/* One attempt's log that is being read. */
struct stream {
    struct log_choice choice;
    char *label;
    struct log_lines lines;
    uint64_t request; /* of the read that is out, 0: none */
    uint64_t sent_ms;
    uint64_t not_before_ms; /* a read that came back empty at once is not repeated at once */
    uint64_t offset;
    uint64_t tail;
    bool over; /* all is printed; how the attempt ended is not known yet */
};

struct log_follower {
    struct client *client;
    const struct log_job *job;
    const struct log_wish *wish;
    struct watch watch;
    struct stream *streams;
    size_t stream_count, stream_capacity;
    struct log_choices queue; /* attempts that are to be read */
    size_t queue_at;
    struct names seen;  /* task -> the last attempt that was queued */
    struct names asked; /* task -> 1: its attempts are to be looked up */
    char **tasks;       /* the same, in order */
    size_t task_count, task_capacity;
    uint64_t look_all_ms; /* BOOT: not before then is the whole run looked at again */
    bool ended;           /* the run, or the task that is followed */
    struct error refusal; /* of a read; code 0: none */
};

static bool is_wanted(const struct log_follower *following, struct slice task)
{
    const char *wanted = following->wish->selector.task;
    return wanted[0] == '\0' || slice_is(task, wanted);
}

static bool run_has_ended(uint32_t state)
{
    return state == RUN_SUCCESS || state == RUN_FAILED || state == RUN_CANCELLED;
}

static bool task_has_ended(uint32_t state)
{
    return state == TASK_SUCCESS || state == TASK_FAILED || state == TASK_SKIPPED ||
           state == TASK_UPSTREAM_FAILED || state == TASK_CANCELLED;
}

static void ask_later(struct log_follower *following, struct slice task)
{
    if (names_get(&following->asked, task, NULL))
        return;
    names_set(&following->asked, task, 1);
    vector_reserve(&following->tasks, following->task_count, &following->task_capacity);
    following->tasks[following->task_count++] = xstrndup(task.ptr, task.length);
}

/* A log that was read to its end gets its last word once the attempt's end is known. */
static void note_end(struct log_follower *following, const struct msg_run_info *page,
    const struct task_info *task, const struct attempt_info *attempt)
{
    for (size_t i = 0; i < following->stream_count; i++) {
        struct stream *stream = &following->streams[i];
        if (stream->choice.id.attempt != attempt->attempt || stream->choice.id.task != task->index)
            continue;
        struct log_choices one = {0};
        struct log_wish wish = {.selector = {.attempt = attempt->attempt}};
        log_choices_add(&one, &wish, page, task, 0);
        /* The name stays: the lines borrow it. */
        free(one.items[0].task);
        free(stream->choice.error);
        one.items[0].task = stream->choice.task;
        stream->choice = one.items[0];
        free(one.items);
    }
}

static void see_task(
    struct log_follower *following, const struct msg_run_info *page, const struct task_info *task)
{
    uint64_t above = 0;
    bool known = names_get(&following->seen, task->task, &above);
    for (uint32_t i = 0; i < task->attempts.count; i++)
        note_end(following, page, task, &task->attempts.items[i]);
    struct log_wish wish = *following->wish;
    /* After the first look every new attempt counts, not only the last. */
    if (known && wish.selector.attempt == 0)
        wish.selector.all = true;
    log_choices_add(&following->queue, &wish, page, task, (uint32_t)above);
    if (task->attempts.count > 0)
        names_set(
            &following->seen, task->task, task->attempts.items[task->attempts.count - 1].attempt);
    bool is_it = wish.selector.task[0] != '\0' && task_has_ended(task->state);
    for (uint32_t i = 0; i < task->attempts.count; i++) {
        const struct attempt_info *attempt = &task->attempts.items[i];
        is_it = is_it || (attempt->attempt == wish.selector.attempt && attempt->ended_at != 0);
    }
    following->ended = following->ended || is_it;
}

static int see_page(
    void *context, const struct msg_run_info *page, uint32_t before, struct error *error)
{
    struct log_follower *following = context;
    (void)before;
    (void)error;
    for (uint32_t i = 0; i < page->tasks.count; i++)
        see_task(following, page, &page->tasks.items[i]);
    if (run_has_ended(page->state))
        following->ended = true;
    return 0;
}

static int synchronise(struct log_follower *following, struct error *error)
{
    int rc = watch_begin(&following->watch, error);
    size_t before = following->queue.count;
    if (rc == 0)
        rc = session_read_run(following->client, following->job->run,
            following->wish->selector.task, see_page, following, error);
    if (rc != 0)
        following->watch.stale = true;
    struct log_choices fresh = {
        following->queue.items + before, following->queue.count - before, 0};
    log_choices_sort(&fresh);
    /* Reads that were out are lost when the master was restarted. */
    for (size_t i = 0; i < following->stream_count; i++)
        following->streams[i].request = 0;
    return rc;
}

/* BOOT: when the tasks that have changed are looked up. */
static uint64_t look_up_due(const struct log_follower *following)
{
    if (following->task_count == 0)
        return UINT64_MAX;
    bool at_once = following->task_count <= LOOK_UP_EACH || following->ended;
    return at_once ? 0 : following->look_all_ms;
}

static int look_up_all(struct log_follower *following, struct error *error)
{
    uint64_t begin = clock_boot_ms();
    int rc =
        session_read_run(following->client, following->job->run, "", see_page, following, error);
    uint64_t end = clock_boot_ms();
    following->look_all_ms = end + (end - begin) * LOOK_REST;
    return rc;
}

/* Looks up the tasks that have changed; when they are many, the whole run, page by page. */
static int look_up(struct log_follower *following, struct error *error)
{
    if (clock_boot_ms() < look_up_due(following))
        return 0;
    int rc = 0;
    size_t count = following->task_count;
    char **tasks = following->tasks;
    following->tasks = NULL;
    following->task_count = following->task_capacity = 0;
    /* Before anything is asked: what changes from now on is asked for again. */
    names_fini(&following->asked);
    following->asked = (struct names){0};
    if (count > LOOK_UP_EACH)
        rc = look_up_all(following, error);
    for (size_t i = 0; i < count; i++) {
        if (rc == 0 && count <= LOOK_UP_EACH)
            rc = session_read_run(
                following->client, following->job->run, tasks[i], see_page, following, error);
        if (rc != 0)
            ask_later(following, slice_of(tasks[i]));
        free(tasks[i]);
    }
    free(tasks);
    return rc;
}

static void open_streams(struct log_follower *following)
{
    while (following->stream_count < STREAMS_MAX && following->queue_at < following->queue.count) {
        struct log_choice *choice = &following->queue.items[following->queue_at++];
        vector_reserve(&following->streams, following->stream_count, &following->stream_capacity);
        struct stream *stream = &following->streams[following->stream_count++];
        *stream = (struct stream){.choice = *choice,
            .label = log_label(following->job, choice),
            .tail = following->job->tail};
        *choice = (struct log_choice){0};
        const struct log_name name = {
            following->job->run, stream->choice.task, stream->label, stream->choice.id.attempt};
        log_lines_init(&stream->lines, &following->job->style, &name);
    }
    if (following->queue_at == following->queue.count)
        following->queue_at = following->queue.count = 0;
}

static void write_out(const struct log_follower *following, struct buffer *out)
{
    const struct log_job *job = following->job;
    if (out->length > 0 && job->write != NULL)
        job->write(job->context, buffer_slice(out));
    else if (out->length > 0)
        (void)fwrite(out->data, 1, out->length, job->stream);
    if (job->write == NULL)
        (void)fflush(job->stream);
    buffer_fini(out);
}

static bool read_is_due(const struct stream *stream, uint64_t now)
{
    if (stream->over || now < stream->not_before_ms)
        return false;
    return stream->request == 0 || now - stream->sent_ms >= READ_AGAIN_MS;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* BOOT: when the next read is to be sent that waits for its time. */
static uint64_t read_due(const struct log_follower *following)
{
    uint64_t due = UINT64_MAX;
    for (size_t i = 0; i < following->stream_count; i++) {
        const struct stream *stream = &following->streams[i];
        uint64_t when = stream->request == 0 ? stream->not_before_ms
                                             : stream->sent_ms + (uint64_t)READ_AGAIN_MS;
        if (!stream->over)
            due = earlier(when, due);
    }
    return due;
}

static int read_streams(struct log_follower *following, struct error *error)
{
    uint64_t now = clock_boot_ms();
    for (size_t i = 0; i < following->stream_count; i++) {
        struct stream *stream = &following->streams[i];
        if (!read_is_due(stream, now))
            continue;
        stream->request = random_id();
        stream->sent_ms = now;
        const struct msg_log_read ask = {.request = stream->request,
            .id = stream->choice.id,
            .offset = stream->offset,
            .limit = LOG_READ_BYTES,
            .wait = true,
            .tail_lines = stream->tail};
        int rc = client_send(following->client, MESSAGE_log_read, &ask, error);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* All that the attempt wrote has come. A task that wrote nothing has no log that would end, and how
 * much a lost one wrote is not known. */
static bool is_whole(const struct stream *stream)
{
    return log_choice_has_ended(&stream->choice) && stream->choice.state != ATTEMPT_LOST &&
           stream->offset >= stream->choice.log_bytes;
}

static void end_lines(struct stream *stream, struct buffer *out)
{
    log_lines_end(&stream->lines, out);
    stream->over = true;
}

static void take_data(
    struct log_follower *following, struct stream *stream, const struct msg_log_data *data)
{
    struct buffer out = {0};
    bool moved = data->data.length > 0 || data->next > stream->offset;
    stream->request = 0;
    stream->offset = data->next;
    stream->not_before_ms = moved ? 0 : stream->sent_ms + EMPTY_AGAIN_MS;
    /* Where the tail begins is known once there was something to count from. */
    if (data->known)
        stream->tail = 0;
    if (data->skipped > 0)
        log_say_skipped(following->job, &stream->choice, data->skipped);
    if (data->damaged && data->data.length > 0)
        log_say_damaged(following->job, &stream->choice, data);
    log_lines_take(&stream->lines, data, &out);
    if (data->expired)
        log_say_expired(following->job, &stream->choice);
    /* The rest of a lost attempt's log may never come. */
    if (data->end || data->expired || (!moved && stream->choice.state == ATTEMPT_LOST)) {
        end_lines(stream, &out);
        ask_later(following, slice_of(stream->choice.task));
    }
    write_out(following, &out);
}

/* An attempt has begun or ended: what it is to the master is asked when the messages in hand are
 * done. */
static void take_change(struct log_follower *following, const struct message *message)
{
    const struct msg_run_changed *changed = watch_take(&following->watch, message);
    if (changed == NULL)
        return;
    for (uint32_t i = 0; i < changed->changes.count; i++) {
        const struct task_change *change = &changed->changes.items[i];
        if (!is_wanted(following, change->task))
            continue;
        if (following->wish->selector.task[0] != '\0' && task_has_ended(change->state))
            following->ended = true;
        if (change->attempt > 0 && change->state != TASK_ASSIGNED)
            ask_later(following, change->task);
    }
    if (run_has_ended(changed->state))
        following->ended = true;
}

/* Answers to reads of logs, too: they come in between when something else is asked for. */
void log_follower_take(struct log_follower *following, const struct message *message)
{
    uint64_t request = 0;
    if (message->number == MESSAGE_log_data)
        request = ((const struct msg_log_data *)message->body)->request;
    else if (message->number == MESSAGE_refused)
        request = ((const struct msg_refused *)message->body)->request;
    for (size_t i = 0; request != 0 && i < following->stream_count; i++) {
        struct stream *stream = &following->streams[i];
        if (stream->request != request)
            continue;
        if (message->number == MESSAGE_refused)
            (void)client_refusal(message->body, &following->refusal);
        else
            take_data(following, stream, message->body);
        return;
    }
    take_change(following, message);
}

static void stream_fini(struct stream *stream)
{
    log_choice_fini(&stream->choice);
    log_lines_fini(&stream->lines);
    free(stream->label);
}

/* Lets go of the logs that are done: all printed, and the attempt's end known, or never to be.
 * Whether there were any. */
static bool close_streams(struct log_follower *following)
{
    size_t kept = 0;
    for (size_t i = 0; i < following->stream_count; i++) {
        struct stream *stream = &following->streams[i];
        bool told = log_choice_has_ended(&stream->choice);
        if (!stream->over && is_whole(stream)) {
            struct buffer out = {0};
            end_lines(stream, &out);
            write_out(following, &out);
        }
        if (stream->over && (told || (following->ended && following->task_count == 0))) {
            if (!following->job->ends_untold &&
                !log_choice_is_dull(&stream->choice, &following->job->style))
                log_print_end(following->job, &stream->choice);
            stream_fini(stream);
        } else {
            following->streams[kept++] = *stream;
        }
    }
    bool closed = kept < following->stream_count;
    following->stream_count = kept;
    return closed;
}

bool log_follower_is_over(const struct log_follower *following)
{
    return following->ended && following->stream_count == 0 && following->task_count == 0 &&
           following->queue_at == following->queue.count && !watch_is_stale(&following->watch);
}

int log_follower_step(struct log_follower *following, uint64_t *ret_due, struct error *error)
{
    int rc = watch_renew(&following->watch, error);
    if (rc == 0 && watch_is_stale(&following->watch))
        rc = synchronise(following, error);
    if (rc == 0)
        rc = look_up(following, error);
    if (rc == 0 && following->refusal.code != 0) {
        *error = following->refusal;
        rc = error->code;
    }
    if (rc != 0)
        return rc;
    do
        open_streams(following);
    while (close_streams(following));
    rc = read_streams(following, error);
    /* What came while tasks were looked up has brought more to look up. */
    *ret_due =
        earlier(earlier(read_due(following), watch_due(&following->watch)), look_up_due(following));
    return rc;
}

struct log_follower *log_follower_create(
    struct client *client, const struct log_job *job, const struct log_wish *wish)
{
    struct log_follower *following = xcalloc(1, sizeof *following);
    following->client = client;
    following->job = job;
    following->wish = wish;
    watch_init(&following->watch, client, job->run);
    return following;
}

/* What is held of unfinished lines is shown when it is let go of. */
void log_follower_destroy(struct log_follower *following)
{
    struct buffer out = {0};
    if (following == NULL)
        return;
    watch_end(&following->watch);
    for (size_t i = 0; i < following->stream_count; i++) {
        if (!following->streams[i].over)
            log_lines_end(&following->streams[i].lines, &out);
        stream_fini(&following->streams[i]);
    }
    write_out(following, &out);
    for (size_t i = 0; i < following->task_count; i++)
        free(following->tasks[i]);
    free(following->tasks);
    free(following->streams);
    log_choices_fini(&following->queue);
    names_fini(&following->seen);
    names_fini(&following->asked);
    free(following);
}

static void on_push(void *context, const struct message *message)
{
    log_follower_take(context, message);
}

static int say_unstarted(
    void *context, const struct msg_run_info *page, uint32_t before, struct error *error)
{
    (void)context;
    (void)before;
    (void)error;
    for (uint32_t i = 0; i < page->tasks.count; i++) {
        struct buffer line = {0};
        log_append_unstarted(page, &page->tasks.items[i], &line);
        if (line.length > 0)
            terminal_say("%.*s", (int)line.length - 1, line.data);
        buffer_fini(&line);
    }
    return 0;
}

int log_follow(struct client *client, const struct log_job *job, const struct log_wish *wish,
    struct error *error)
{
    struct log_follower *following = log_follower_create(client, job, wish);
    int rc;
    client_be_patient(client);
    client_on_push(client, on_push, following);
    for (;;) {
        struct message message;
        uint64_t due;
        rc = log_follower_step(following, &due, error);
        if (rc != 0 || log_follower_is_over(following))
            break;
        rc = client_receive(client, due, &message, error);
        if (rc == 1)
            log_follower_take(following, &message);
        else if (rc != 0)
            break;
    }
    client_on_push(client, NULL, NULL);
    log_follower_destroy(following);
    /* Those have no attempt that would have been followed. */
    if (rc == 0 && wish->selector.attempt == 0)
        rc = session_read_run(client, job->run, wish->selector.task, say_unstarted, NULL, error);
    return rc;
}
