#include "operators/common/operator.h"

#include "common/buffer.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct operator_link {
    int fd;
    struct buffer in; /* received, and not taken */
    json_t *document; /* the task's line */
    struct operator_task task;
    uint64_t note;     /* the id of the last note */
    bool note_waiting; /* and it was not answered */
};

bool operator_describe(int argc, char **argv, const char *version, const char *problem)
{
    if (argc != 2 || strcmp(argv[1], "--describe") != 0)
        return false;
    json_t *line = json_pack("{s:i, s:s}", "reeve", OPERATOR_CONTRACT, "version", version);
    if (problem != NULL)
        (void)json_object_set_new(line, "problem", json_string(problem));
    (void)json_dumpf(line, stdout, 0);
    (void)putchar('\n');
    (void)fflush(stdout);
    json_decref(line);
    return true;
}

/* ---- lines ---- */

static int gone(struct error *error)
{
    return error_set(error, ERR_IO, "the worker closed descriptor 3");
}

/* One line without its end, borrowed until line_drop. ERR_AGAIN: a signal came first. */
static int line_read(
    struct operator_link *link, size_t max_bytes, struct slice *ret_line, struct error *error)
{
    for (;;) {
        size_t length = link->in.length;
        const char *end = length > 0 ? memchr(link->in.data, '\n', length) : NULL;
        if (end != NULL) {
            *ret_line = slice_make(link->in.data, (size_t)(end - link->in.data));
            return 0;
        }
        if (length >= max_bytes)
            return error_set(error, ERR_MALFORMED, "a line of over %zu bytes came", max_bytes);
        ssize_t got = recv(link->fd, buffer_reserve(&link->in, 16384), 16384, 0);
        if (got < 0 && errno == EINTR)
            return error_set(error, ERR_AGAIN, "a signal came");
        if (got < 0)
            return error_set_errno(error, ERR_IO, errno, "descriptor 3");
        if (got == 0)
            return gone(error);
        link->in.length += (size_t)got;
    }
}

static void line_drop(struct operator_link *link, struct slice line)
{
    buffer_consume(&link->in, line.length + 1);
}

static int send_all(struct operator_link *link, struct slice bytes, struct error *error)
{
    while (bytes.length > 0) {
        ssize_t sent = send(link->fd, bytes.ptr, bytes.length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
            return gone(error);
        if (sent < 0)
            return error_set_errno(error, ERR_IO, errno, "descriptor 3");
        bytes = slice_make(bytes.ptr + sent, bytes.length - (size_t)sent);
    }
    return 0;
}

/* In one write. Takes the message. */
static int say(struct operator_link *link, json_t *message, struct error *error)
{
    char *text = message != NULL ? json_dumps(message, JSON_COMPACT) : NULL;
    json_decref(message);
    if (text == NULL)
        return error_set(error, ERR_INVALID, "what is to be said is no JSON");
    struct buffer line = {0};
    buffer_append_text(&line, text);
    buffer_append_text(&line, "\n");
    free(text);
    int rc =
        line.length > OPERATOR_LINE_MAX_BYTES
            ? error_set(error, ERR_TOO_BIG, "a line has at most %d bytes", OPERATOR_LINE_MAX_BYTES)
            : send_all(link, buffer_slice(&line), error);
    buffer_fini(&line);
    return rc;
}

/* ---- the task ---- */

static int task_integer(
    const json_t *document, const char *key, uint64_t *ret_value, struct error *error)
{
    const json_t *value = json_object_get(document, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return error_set(error, ERR_MALFORMED, "the task has no %s", key);
    *ret_value = (uint64_t)json_integer_value(value);
    return 0;
}

static int task_texts(const json_t *document, struct operator_task *task, struct error *error)
{
    const struct {
        const char *key;
        const char **value;
    } texts[] = {
        {"operator", &task->operator_name},
        {"run", &task->run},
        {"run_key", &task->run_key},
        {"dag", &task->dag},
        {"task", &task->task},
        {"worker", &task->worker},
        {"tag", &task->tag},
        {"tag_prefix", &task->tag_prefix},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        *texts[i].value = json_string_value(json_object_get(document, texts[i].key));
        if (*texts[i].value == NULL)
            return error_set(error, ERR_MALFORMED, "the task has no %s", texts[i].key);
    }
    return 0;
}

static int task_parts(const json_t *document, struct operator_task *task, struct error *error)
{
    task->with = json_object_get(document, "with");
    task->context = json_object_get(document, "context");
    task->connections = json_object_get(document, "connections");
    task->notes = json_object_get(document, "notes");
    if (!json_is_object(task->with) || !json_is_object(task->context) ||
        !json_is_object(task->connections) || !json_is_array(task->notes))
        return error_set(
            error, ERR_MALFORMED, "the task lacks with, context, connections or notes");
    return 0;
}

static int task_fill(const json_t *document, struct operator_task *task, struct error *error)
{
    const char *type = json_string_value(json_object_get(document, "type"));
    uint64_t version = 0;
    if (type == NULL || strcmp(type, "task") != 0)
        return error_set(error, ERR_MALFORMED, "the first line is no task");
    int rc = task_integer(document, "reeve", &version, error);
    if (rc == 0 && version != OPERATOR_CONTRACT)
        return error_set(error, ERR_VERSION,
            "the worker speaks version %llu of the operator contract, this operator %d",
            (unsigned long long)version, OPERATOR_CONTRACT);
    if (rc == 0)
        rc = task_texts(document, task, error);
    if (rc == 0)
        rc = task_integer(document, "epoch", &task->epoch, error);
    if (rc == 0)
        rc = task_integer(document, "timeout_ms", &task->timeout_ms, error);
    if (rc == 0)
        rc = task_integer(document, "kill_grace_ms", &task->kill_grace_ms, error);
    if (rc == 0)
        rc = task_parts(document, task, error);
    if (rc == 0 && !tag_parse(slice_of(task->tag), &task->id))
        rc = error_set(error, ERR_MALFORMED, "the task's tag is none");
    return rc;
}

/* Appends where in a value a text has a NUL, as "with.parameters.day"; false when none has. */
static bool find_nul(const json_t *value, struct buffer *path)
{
    size_t index;
    const char *key;
    json_t *item;
    size_t length = path->length;
    if (json_is_string(value))
        return strlen(json_string_value(value)) != json_string_length(value);
    json_array_foreach((json_t *)(uintptr_t)value, index, item)
    {
        buffer_printf(path, "[%zu]", index);
        if (find_nul(item, path))
            return true;
        path->length = length;
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        buffer_printf(path, "%s%s", length > 0 ? "." : "", key);
        if (find_nul(item, path))
            return true;
        path->length = length;
    }
    return false;
}

/* No program, database or argument takes a NUL, and a text in C would end there: refused by name.
 */
static int task_unread(struct slice line, const json_error_t *where, struct error *error)
{
    struct buffer path = {0};
    json_t *document = json_loadb(line.ptr, line.length, JSON_ALLOW_NUL, NULL);
    int rc = document != NULL && find_nul(document, &path)
                 ? error_set(error, ERR_MALFORMED, "%s has a NUL in it", buffer_text(&path))
                 : error_set(error, ERR_MALFORMED, "the first line is no JSON: %s", where->text);
    json_decref(document);
    buffer_fini(&path);
    return rc;
}

static int task_read(struct operator_link *link, struct error *error)
{
    struct slice line;
    json_error_t where;
    int rc = 0;
    do
        rc = line_read(link, OPERATOR_TASK_MAX_BYTES, &line, error);
    while (rc == ERR_AGAIN);
    if (rc != 0)
        return rc;
    link->document = json_loadb(line.ptr, line.length, JSON_REJECT_DUPLICATES, &where);
    if (link->document == NULL)
        return task_unread(line, &where, error);
    line_drop(link, line);
    return task_fill(link->document, &link->task, error);
}

/* Secrets come next. Its children keep the limit; whoever wants a core raises it again. Not by
 * PR_SET_DUMPABLE, which would hide the environment by which an agent finds what a runner left. */
static void leave_no_core(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) != 0)
        return;
    limit.rlim_cur = 0;
    (void)setrlimit(RLIMIT_CORE, &limit);
}

int operator_open(int fd, struct operator_link **ret_link, struct error *error)
{
    leave_no_core();
    int type = 0;
    socklen_t length = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM)
        return error_set(error, ERR_IO,
            "descriptor %d is no socket: an operator is started by a worker, with its task there",
            fd);
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    struct operator_link *link = xcalloc(1, sizeof *link);
    link->fd = fd;
    int rc = task_read(link, error);
    if (rc == 0) {
        *ret_link = link;
        return 0;
    }
    if (error != NULL && rc != ERR_IO)
        (void)operator_fail(link, error->text, false, NULL);
    operator_close(link);
    return rc;
}

void operator_close(struct operator_link *link)
{
    if (link == NULL)
        return;
    (void)close(link->fd);
    buffer_wipe(&link->in);
    json_decref(link->document);
    free(link);
}

const struct operator_task *operator_task(const struct operator_link *link)
{
    return &link->task;
}

int operator_fd(const struct operator_link *link)
{
    return link != NULL ? link->fd : -1;
}

/* ---- what it says ---- */

/* True for the answer to the note that waits; answers to earlier ones may come again. */
static bool answer_take(
    const struct operator_link *link, const json_t *answer, int *ret_result, struct error *error)
{
    const char *type = json_string_value(json_object_get(answer, "type"));
    const json_t *id = json_object_get(answer, "id");
    if (type == NULL || (uint64_t)json_integer_value(id) != link->note)
        return false;
    if (strcmp(type, "noted") == 0) {
        *ret_result = 0;
        return true;
    }
    if (strcmp(type, "refused") != 0)
        return false;
    const char *why = json_string_value(json_object_get(answer, "error"));
    *ret_result = error_set(
        error, ERR_REFUSED, "the note is not kept: %s", why != NULL ? why : "no reason was said");
    return true;
}

int operator_note_wait(struct operator_link *link, struct error *error)
{
    if (!link->note_waiting)
        return error_set(error, ERR_NOT_FOUND, "no note is under way");
    for (bool answered = false; !answered;) {
        struct slice line;
        int result = line_read(link, OPERATOR_ANSWER_MAX_BYTES, &line, error);
        if (result != 0)
            return result;
        json_t *answer = json_loadb(line.ptr, line.length, 0, NULL);
        answered = answer_take(link, answer, &result, error);
        json_decref(answer);
        line_drop(link, line);
        link->note_waiting = !answered;
        if (answered && result != 0)
            return result;
    }
    return 0;
}

int operator_note(struct operator_link *link, const json_t *note, struct error *error)
{
    size_t length = json_is_object(note) ? json_dumpb(note, NULL, 0, JSON_COMPACT) : 0;
    if (length == 0)
        return error_set(error, ERR_INVALID, "a note is an object");
    if (length > OPERATOR_NOTE_MAX_BYTES)
        return error_set(
            error, ERR_TOO_BIG, "a note has at most %d bytes", OPERATOR_NOTE_MAX_BYTES);
    json_t *message = json_pack("{s:s, s:I, s:O}", "type", "note", "id",
        (json_int_t)(link->note + 1), "note", (json_t *)(uintptr_t)note);
    int rc = say(link, message, error);
    if (rc != 0)
        return rc;
    link->note++;
    link->note_waiting = true;
    return operator_note_wait(link, error);
}

int operator_output(struct operator_link *link, const json_t *outputs, struct error *error)
{
    if (!json_is_object(outputs))
        return error_set(error, ERR_INVALID, "outputs are an object");
    return say(link,
        json_pack("{s:s, s:O}", "type", "output", "outputs", (json_t *)(uintptr_t)outputs), error);
}

/* What is no UTF-8 has its foreign bytes as '?'; ends of lines become spaces; NULL for NULL. */
static json_t *text_of(const char *text, size_t max_bytes)
{
    if (text == NULL)
        return NULL;
    char *copy = xstrndup(text, strnlen(text, max_bytes));
    for (char *at = copy; *at != '\0'; at++) {
        if (*at == '\n' || *at == '\r')
            *at = ' ';
    }
    /* The cut may have gone through a letter. */
    size_t end = strlen(copy);
    while (strlen(text) > end && end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80)
        copy[--end] = '\0';
    json_t *value = json_string(copy);
    if (value == NULL) {
        for (char *at = copy; *at != '\0'; at++) {
            if ((unsigned char)*at >= 0x80)
                *at = '?';
        }
        value = json_string(copy);
    }
    free(copy);
    return value;
}

int operator_progress(
    struct operator_link *link, const char *text, int64_t done, int64_t total, struct error *error)
{
    json_t *message = json_pack("{s:s}", "type", "progress");
    if (text != NULL)
        (void)json_object_set_new(message, "text", text_of(text, OPERATOR_PROGRESS_MAX_BYTES));
    if (done >= 0)
        (void)json_object_set_new(message, "done", json_integer(done));
    if (total >= 0)
        (void)json_object_set_new(message, "total", json_integer(total));
    return say(link, message, error);
}

int operator_fail(struct operator_link *link, const char *text, bool retry, struct error *error)
{
    json_t *message =
        json_pack("{s:s, s:o}", "type", "error", "error", text_of(text, OPERATOR_ERROR_MAX_BYTES));
    if (!retry)
        (void)json_object_set_new(message, "retry", json_false());
    return say(link, message, error);
}
