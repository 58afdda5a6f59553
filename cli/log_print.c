#include "cli/log_print.h"

#include "cli/terminal.h"
#include "common/memory.h"
#include "common/random.h"

#include <stdlib.h>

char *log_label(const struct log_job *job, const struct log_choice *choice)
{
    if (job->attempts)
        return xasprintf("%s@%u", choice->task, choice->id.attempt);
    return xstrdup(choice->task);
}

void log_say_skipped(const struct log_job *job, const struct log_choice *choice, uint64_t bytes)
{
    terminal_say("%s/%s@%u: %llu bytes were cut out here (log_limit)", job->run, choice->task,
        choice->id.attempt, (unsigned long long)bytes);
}

void log_say_damaged(
    const struct log_job *job, const struct log_choice *choice, const struct msg_log_data *data)
{
    terminal_say("%s/%s@%u: bytes %llu-%llu of this log are damaged on the master's disk", job->run,
        choice->task, choice->id.attempt, (unsigned long long)data->offset,
        (unsigned long long)(data->offset + data->data.length - 1));
}

void log_say_expired(const struct log_job *job, const struct log_choice *choice)
{
    terminal_say("%s/%s@%u: its log has expired, the master keeps it no longer", job->run,
        choice->task, choice->id.attempt);
}

void log_print_end(const struct log_job *job, const struct log_choice *choice)
{
    struct buffer text = {0};
    /* What was written stands before it, also when both go to one terminal. */
    (void)fflush(job->stream);
    log_choice_append_end(choice, job->run, &text);
    terminal_say("%s", buffer_text(&text));
    buffer_fini(&text);
}

/* One stretch of the log: 1 when more is there at once, 0 at its present end. */
static int read_on(struct client *client, const struct log_job *job,
    const struct log_choice *choice, struct msg_log_read *ask, struct log_lines *lines,
    struct error *error)
{
    const void *body;
    struct buffer out = {0};
    ask->request = random_id();
    int rc = client_ask(client, MESSAGE_log_read, ask, MESSAGE_log_data, &body, error);
    if (rc != 0)
        return rc;
    const struct msg_log_data *data = body;
    if (data->skipped > 0)
        log_say_skipped(job, choice, data->skipped);
    if (data->damaged && data->data.length > 0)
        log_say_damaged(job, choice, data);
    if (data->expired)
        log_say_expired(job, choice);
    log_lines_take(lines, data, &out);
    if (out.length > 0)
        (void)fwrite(out.data, 1, out.length, job->stream);
    buffer_fini(&out);
    bool moved = data->data.length > 0 || data->next > ask->offset;
    ask->offset = data->next;
    ask->tail_lines = 0;
    return moved && !data->end && data->known && !ferror(job->stream) ? 1 : 0;
}

int log_print(struct client *client, const struct log_job *job, const struct log_choice *choice,
    struct error *error)
{
    struct msg_log_read ask = {
        .id = choice->id, .limit = LOG_READ_BYTES, .wait = job->wait, .tail_lines = job->tail};
    struct log_lines lines;
    char *label = log_label(job, choice);
    const struct log_name name = {job->run, choice->task, label, choice->id.attempt};
    log_lines_init(&lines, &job->style, &name);
    int rc;
    do {
        rc = read_on(client, job, choice, &ask, &lines, error);
    } while (rc == 1);
    struct buffer out = {0};
    log_lines_end(&lines, &out);
    if (out.length > 0)
        (void)fwrite(out.data, 1, out.length, job->stream);
    buffer_fini(&out);
    log_lines_fini(&lines);
    free(label);
    return rc;
}

int log_await(
    struct client *client, const struct log_choice *choice, bool *ret_whole, struct error *error)
{
    const void *body;
    const struct msg_log_read ask = {.request = random_id(),
        .id = choice->id,
        .offset = choice->log_bytes,
        .limit = 1,
        .wait = true};
    int rc = client_ask(client, MESSAGE_log_read, &ask, MESSAGE_log_data, &body, error);
    const struct msg_log_data *data = body;
    if (rc == 0)
        *ret_whole = data->end || data->expired;
    return rc;
}
