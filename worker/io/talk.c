#include "worker/io/talk.h"

#include "common/arena.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/limits.h"
#include "common/memory.h"
#include "worker/io/attempt_name.h"
#include "worker/io/said.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    /* A flood: so many lines at once, and so many a second on the average; a long line counts as
       several. */
    LINES_AT_ONCE = 1000,
    LINES_A_SECOND = 100,
    LINE_USUAL_BYTES = 4096,
    /* Of what is kept, many times what an attempt may leave. */
    FILE_MAX_BYTES = 64 * 1024 * 1024,
};

struct talk {
    const struct talk_config *config;
    struct attempt_id id;
    int fd; /* -1: it is at its end */
    bool watched;
    struct buffer pieces; /* of a line, taken out of the socket */
    bool in_pieces;       /* the last look saw no end of a line either */
    struct buffer seen;   /* the last look */
    uint32_t number;      /* of the line */
    uint32_t last_id;     /* of a note, as far as this agent knows */
    uint32_t note;        /* that waits for its answer; 0: none */
    size_t note_bytes;    /* of its line, in the socket */
    uint64_t kill_grace_ms;
    json_t *outputs;
    struct slice error; /* owned */
    bool no_retry;
    uint64_t by_ms;
    struct slice breach; /* owned */
    double lines;        /* of the flood's bucket that are left */
    uint64_t lines_at_ms;
};

/* ---- what is kept for the next agent ---- */

static char *path_of(const char *folder, const struct attempt_id *id)
{
    char name[ATTEMPT_NAME_MAX];
    attempt_name(id, name);
    return xasprintf("%s/%s", folder, name);
}

/* A line more. What cannot be kept for want of space is still known here. */
static void keep(const struct talk *talk, struct slice line)
{
    char *path = path_of(talk->config->folder, &talk->id);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct buffer text = {0};
    buffer_append_slice(&text, line);
    buffer_append_text(&text, "\n");
    if (fd >= 0) {
        (void)file_write_all(fd, text.data, text.length, NULL);
        (void)close(fd);
    }
    buffer_fini(&text);
    free(path);
}

static void keep_json(const struct talk *talk, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);
    keep(talk, slice_of(text));
    free(text);
    json_decref(value);
}

static void take_error(struct talk *talk, const struct said *said)
{
    slice_free(&talk->error);
    talk->error = slice_keep(said->text);
    talk->no_retry = said->no_retry;
}

/* By what this agent or one before it wrote. */
static void recall_line(struct talk *talk, struct slice line)
{
    struct arena arena = {0};
    struct said said;
    json_t *object = json_loadb(line.ptr, line.length, 0, NULL);
    const json_t *by = json_object_get(object, "by_ms"),
                 *breach = json_object_get(object, "breach");
    if (json_is_integer(by)) {
        talk->by_ms = (uint64_t)json_integer_value(by);
    } else if (json_is_string(breach)) {
        slice_free(&talk->breach);
        talk->breach = slice_keep(slice_of(json_string_value(breach)));
    } else if (said_parse(line, &arena, &said, NULL) == 0) {
        if (said.kind == SAID_OUTPUT)
            (void)json_object_update(talk->outputs, said.outputs);
        else if (said.kind == SAID_ERROR)
            take_error(talk, &said);
        json_decref(said.outputs);
    }
    json_decref(object);
    arena_fini(&arena);
}

static void recall(struct talk *talk)
{
    struct buffer text = {0};
    char *path = path_of(talk->config->folder, &talk->id);
    if (file_read(path, FILE_MAX_BYTES, &text, NULL) == 0) {
        struct slice rest = buffer_slice(&text);
        for (const char *end;
             rest.length > 0 && (end = memchr(rest.ptr, '\n', rest.length)) != NULL;) {
            size_t length = (size_t)(end - rest.ptr);
            recall_line(talk, slice_make(rest.ptr, length));
            rest = slice_make(end + 1, rest.length - length - 1);
        }
    }
    buffer_fini(&text);
    free(path);
}

void talk_forget(const char *folder, const struct attempt_id *id)
{
    char *path = path_of(folder, id);
    (void)unlink(path);
    free(path);
}

/* ---- what it says ---- */

static void close_socket(struct talk *talk)
{
    if (talk->fd < 0)
        return;
    if (talk->watched)
        loop_forget(talk->config->loop, talk->fd);
    (void)close(talk->fd);
    talk->fd = -1;
    talk->watched = false;
}

/* The descriptor stays open: an operator that is ended for it may yet write, and is not to fail by
 * SIGPIPE first. */
static void break_off(struct talk *talk, const char *text)
{
    if (talk->breach.ptr != NULL)
        return;
    talk->breach = slice_keep(slice_of(text));
    keep_json(talk, json_pack("{s:s}", "breach", text));
    if (talk->watched)
        loop_forget(talk->config->loop, talk->fd);
    talk->watched = false;
    talk->config->events.breach(talk->config->events.context, &talk->id);
}

static void break_at_line(struct talk *talk, const char *why)
{
    char text[400];
    (void)snprintf(
        text, sizeof text, "line %" PRIu32 " on descriptor 3: %.300s", talk->number, why);
    break_off(talk, text);
}

static void answer_line(const struct talk *talk, json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    char *line = xasprintf("%s\n", text);
    if (talk->fd >= 0)
        (void)send(talk->fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
    free(line);
    free(text);
    json_decref(message);
}

static void refuse_note(const struct talk *talk, uint32_t id, const char *why)
{
    answer_line(
        talk, json_pack("{s:s, s:I, s:s}", "type", "refused", "id", (json_int_t)id, "error", why));
}

static void hear_error(struct talk *talk, const struct said *said, struct slice line)
{
    uint64_t grace = talk->kill_grace_ms > 0 ? talk->kill_grace_ms : KILL_GRACE_DEFAULT_MS;
    keep(talk, line);
    take_error(talk, said);
    if (talk->by_ms != UINT64_MAX)
        return;
    talk->by_ms = clock_boot_ms() + grace;
    keep_json(talk, json_pack("{s:I}", "by_ms", (json_int_t)talk->by_ms));
}

static void hear_note(struct talk *talk, const struct said *said)
{
    if (said->id <= talk->last_id) {
        break_at_line(talk, "the ids of notes do not grow");
        return;
    }
    talk->last_id = said->id;
    talk->note = said->id;
    const struct msg_note note = {.id = talk->id, .note = said->id, .text = said->text};
    talk->config->events.note(talk->config->events.context, &note);
}

static void hear(struct talk *talk, struct slice line)
{
    struct arena arena = {0};
    struct error error = {0};
    struct said said;
    talk->number++;
    int rc = said_parse(line, &arena, &said, &error);
    if (rc == ERR_TOO_BIG) {
        refuse_note(talk, said.id, error.text);
    } else if (rc != 0) {
        break_at_line(talk, error.text);
    } else if (said.kind == SAID_NOTE) {
        hear_note(talk, &said);
    } else if (said.kind == SAID_ERROR) {
        hear_error(talk, &said, line);
    } else if (said.kind == SAID_OUTPUT) {
        keep(talk, line);
        (void)json_object_update(talk->outputs, said.outputs);
        json_decref(said.outputs);
    } else {
        const struct msg_progress progress = {
            .id = talk->id, .text = said.text, .done = said.done, .total = said.total};
        talk->config->events.progress(talk->config->events.context, &progress);
    }
    arena_fini(&arena);
}

/* ---- the socket ---- */

static void take_out(struct talk *talk, size_t length)
{
    char waste[16384];
    while (length > 0) {
        ssize_t got =
            recv(talk->fd, waste, length < sizeof waste ? length : sizeof waste, MSG_DONTWAIT);
        if (got <= 0)
            return;
        length -= (size_t)got;
    }
}

/* False: it says more than anybody could read. */
static bool is_calm(struct talk *talk, size_t length)
{
    uint64_t now_ms = clock_boot_ms();
    talk->lines += (double)(now_ms - talk->lines_at_ms) * LINES_A_SECOND / 1000;
    talk->lines_at_ms = now_ms;
    if (talk->lines > LINES_AT_ONCE)
        talk->lines = LINES_AT_ONCE;
    talk->lines -= 1 + (double)length / LINE_USUAL_BYTES;
    return talk->lines >= 0;
}

/* A line that begins in `pieces` and ends with `length` bytes of the socket. */
static void take_line(struct talk *talk, struct slice rest)
{
    struct slice line = rest;
    if (talk->pieces.length > 0) {
        buffer_append_slice(&talk->pieces, rest);
        line = buffer_slice(&talk->pieces);
    }
    if (line.length >= OPERATOR_SAID_MAX_BYTES)
        break_at_line(talk, "it is longer than 131072 bytes");
    else if (!is_calm(talk, line.length))
        break_off(talk, "it floods descriptor 3: more than 100 lines a second");
    else
        hear(talk, line);
    buffer_clear(&talk->pieces);
    /* A note stays where it is until it is answered. */
    if (talk->note != 0)
        talk->note_bytes = rest.length + 1;
    else if (talk->breach.ptr == NULL)
        take_out(talk, rest.length + 1);
}

/* No end of a line is there. One that does not come with the next look either is gathered here, or
 * a writer of single bytes would fill the socket before its line is whole. True: there may be more
 * to see. */
static bool take_piece(struct talk *talk, struct slice rest)
{
    bool gathers = talk->in_pieces;
    if (talk->pieces.length + rest.length >= OPERATOR_SAID_MAX_BYTES) {
        talk->number++;
        break_at_line(talk, "it is longer than 131072 bytes");
        return false;
    }
    if (gathers) {
        buffer_append_slice(&talk->pieces, rest);
        take_out(talk, rest.length);
    }
    talk->in_pieces = true;
    return gathers;
}

/* Looks at what lies there; false: nothing, or its end. */
static bool look(struct talk *talk)
{
    buffer_clear(&talk->seen);
    char *room = buffer_reserve(&talk->seen, OPERATOR_SAID_MAX_BYTES);
    ssize_t got = recv(talk->fd, room, OPERATOR_SAID_MAX_BYTES, MSG_PEEK | MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
        close_socket(talk);
    if (got <= 0)
        return false;
    talk->seen.length = (size_t)got;
    return true;
}

static void read_lines(struct talk *talk)
{
    while (talk->fd >= 0 && talk->note == 0 && talk->breach.ptr == NULL && look(talk)) {
        struct slice rest = buffer_slice(&talk->seen);
        const char *end = NULL;
        while (talk->note == 0 && talk->breach.ptr == NULL && rest.length > 0 &&
               (end = memchr(rest.ptr, '\n', rest.length)) != NULL) {
            size_t length = (size_t)(end - rest.ptr);
            talk->in_pieces = false;
            take_line(talk, slice_make(rest.ptr, length));
            rest = slice_make(end + 1, rest.length - length - 1);
        }
        if (talk->note != 0 || talk->breach.ptr != NULL)
            return;
        if (rest.length == talk->seen.length && !take_piece(talk, rest))
            return;
        if (rest.length == 0 && talk->seen.length < OPERATOR_SAID_MAX_BYTES)
            return;
    }
}

/* An operator that is quiet for hours costs no room for a line. */
static void read_on(struct talk *talk)
{
    read_lines(talk);
    buffer_fini(&talk->seen);
}

static void on_socket(void *context, int fd, uint32_t events)
{
    struct talk *talk = context;
    (void)fd;
    (void)events;
    read_on(talk);
}

/* ---- its life ---- */

struct talk *talk_create(
    const struct talk_config *config, const struct attempt_id *id, int fd, uint64_t kill_grace_ms)
{
    struct talk *talk = xcalloc(1, sizeof *talk);
    talk->config = config;
    talk->id = *id;
    talk->fd = fd;
    talk->kill_grace_ms = kill_grace_ms;
    talk->outputs = json_object();
    talk->by_ms = UINT64_MAX;
    talk->lines = LINES_AT_ONCE;
    talk->lines_at_ms = clock_boot_ms();
    recall(talk);
    return talk;
}

void talk_destroy(struct talk *talk)
{
    if (talk == NULL)
        return;
    close_socket(talk);
    buffer_fini(&talk->pieces);
    buffer_fini(&talk->seen);
    json_decref(talk->outputs);
    slice_free(&talk->error);
    slice_free(&talk->breach);
    free(talk);
}

/* Edge-triggered: what waits for its answer stays in the socket. */
void talk_listen(struct talk *talk)
{
    if (talk->fd < 0 || talk->watched)
        return;
    if (talk->breach.ptr != NULL)
        talk->config->events.breach(talk->config->events.context, &talk->id);
    else
        talk->watched = loop_watch(talk->config->loop, talk->fd, EPOLLIN | (uint32_t)EPOLLET,
                            on_socket, talk, NULL) == 0;
}

int talk_tell_task(const struct talk *talk, struct slice line, struct error *error)
{
    int bytes = OPERATOR_TASK_LINE_MAX_BYTES * 2;
    if (line.length > OPERATOR_TASK_LINE_MAX_BYTES)
        return error_set(error, ERR_TOO_BIG,
            "its operator's task line has %zu bytes, at most %d fit: hand large values on as files",
            line.length, OPERATOR_TASK_LINE_MAX_BYTES);
    (void)setsockopt(talk->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    ssize_t sent = send(talk->fd, line.ptr, line.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0)
        return error_set_errno(error, ERR_IO, errno, "its operator's socket");
    if ((size_t)sent < line.length)
        return error_set(error, ERR_TOO_BIG,
            "its operator's task line has %zu bytes, and a socket here holds only %zd "
            "(net.core.wmem_max)",
            line.length, sent);
    return 0;
}

void talk_answer(struct talk *talk, const struct msg_noted *noted)
{
    char text[600];
    if (noted->code == 0) {
        answer_line(talk, json_pack("{s:s, s:I}", "type", "noted", "id", (json_int_t)noted->note));
    } else {
        (void)snprintf(text, sizeof text, "%.*s",
            (int)(noted->error.length < 500 ? noted->error.length : 500), noted->error.ptr);
        refuse_note(talk, noted->note, text);
    }
    if (talk->note == 0 || talk->note != noted->note)
        return;
    talk->note = 0;
    if (talk->fd >= 0)
        take_out(talk, talk->note_bytes);
    read_on(talk);
}

uint64_t talk_due_ms(const struct talk *talk)
{
    return talk->breach.ptr == NULL ? talk->by_ms : UINT64_MAX;
}

void talk_expire(struct talk *talk, uint64_t now_ms)
{
    if (now_ms >= talk_due_ms(talk))
        break_off(talk, "it did not end within its kill grace after its error");
}

/* Nobody is left to wait for an answer: notes go on their way, and are not waited for. */
void talk_finish(struct talk *talk, struct talk_end *ret_end)
{
    if (talk->note != 0 && talk->fd >= 0)
        take_out(talk, talk->note_bytes);
    do {
        talk->note = 0;
        read_on(talk);
        if (talk->note != 0)
            take_out(talk, talk->note_bytes);
    } while (talk->note != 0);
    if ((talk->in_pieces || talk->pieces.length > 0) && talk->breach.ptr == NULL) {
        talk->number++;
        break_at_line(talk, "it has no end");
    }
    close_socket(talk);
    *ret_end = (struct talk_end){
        .outputs = talk->outputs,
        .error = talk->error,
        .no_retry = talk->no_retry,
        .breach = talk->breach,
    };
}
