#include "cli/connection_input.h"

#include "cli/terminal.h"
#include "common/file.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

enum { IMPORT_MAX_BYTES = 16 * 1024 * 1024 };

/* All of stdin, without what a growing buffer would leave behind. */
static int read_stdin(size_t most, struct buffer *ret_text, struct error *error)
{
    (void)buffer_reserve(ret_text, most + 1);
    for (;;) {
        size_t room = most + 1 - ret_text->length;
        ssize_t got = room > 0 ? read(STDIN_FILENO, ret_text->data + ret_text->length, room) : 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(error, ERR_IO, errno, "stdin");
        if (got == 0)
            break;
        ret_text->length += (size_t)got;
    }
    return ret_text->length > most ? error_set(error, ERR_TOO_BIG, "stdin has over %zu bytes", most)
                                   : 0;
}

/*
 * A line of the terminal; what is read when a signal would end the program is EINTR, and the signal
 * still to come: the caller has a terminal to bring back first. `held` are blocked.
 */
static ssize_t read_line(const sigset_t *held, struct buffer *ret_line)
{
    struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {signalfd(-1, held, SFD_CLOEXEC), POLLIN, 0}};
    int rc;
    do {
        rc = poll(fds, 2, -1);
    } while (rc < 0 && errno == EINTR);
    if (fds[1].fd >= 0)
        (void)close(fds[1].fd);
    if (rc < 0 || (fds[1].revents & POLLIN) != 0) {
        errno = rc < 0 ? errno : EINTR;
        return -1;
    }
    return read(STDIN_FILENO, ret_line->data, CONNECTION_MAX_BYTES - 1);
}

/* A line of the terminal, which does not show it. */
static int prompt(const char *text, struct buffer *ret_line, struct error *error)
{
    struct termios shown, hidden;
    sigset_t held, before;
    (void)sigemptyset(&held);
    (void)sigaddset(&held, SIGINT);
    (void)sigaddset(&held, SIGQUIT);
    (void)sigaddset(&held, SIGTERM);
    (void)sigaddset(&held, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &held, &before);
    bool quiet = tcgetattr(STDIN_FILENO, &shown) == 0;
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    (void)fprintf(stderr, "%s: ", text);
    (void)fflush(stderr);
    if (quiet)
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    (void)buffer_reserve(ret_line, CONNECTION_MAX_BYTES);
    ssize_t got = read_line(&held, ret_line);
    int errno_value = errno;
    if (quiet)
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    (void)fputc('\n', stderr);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (got < 0)
        return error_set_errno(error, ERR_IO, errno_value, "the terminal");
    if (got == 0)
        return error_set(error, ERR_USAGE, "nothing was given: a %s was asked for", text);
    ret_line->length = (size_t)got;
    return 0;
}

static void trim_line(struct buffer *line)
{
    if (line->length > 0 && line->data[line->length - 1] == '\n')
        line->length--;
    if (line->length > 0 && line->data[line->length - 1] == '\r')
        line->length--;
}

static int read_secret(const char *what, struct buffer *ret_text, struct error *error)
{
    return isatty(STDIN_FILENO) ? prompt(what, ret_text, error)
                                : read_stdin(CONNECTION_MAX_BYTES, ret_text, error);
}

/* ---- by options ---- */

static const char *const part_names[] = {"type", "host", "schema", "login", "extra", "port"};

static bool has_parts(const struct arguments *arguments)
{
    for (size_t i = 0; i < sizeof part_names / sizeof *part_names; i++) {
        if (arguments_flag(arguments, part_names[i]))
            return true;
    }
    return false;
}

/* The options, with the password that stdin gave. */
static int from_parts(const struct arguments *arguments, struct slice password, struct buffer *out,
    struct error *error)
{
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof part_names / sizeof *part_names; i++) {
        const char *text = arguments_text(arguments, part_names[i]);
        json_t *value = text != NULL ? json_string(text) : NULL;
        if (text != NULL && value == NULL) {
            json_decref(object);
            return error_set(error, ERR_USAGE, "--%s is no UTF-8", part_names[i]);
        }
        if (value != NULL)
            (void)json_object_set_new(object, part_names[i], value);
    }
    json_t *value = json_stringn(password.ptr != NULL ? password.ptr : "", password.length);
    if (value != NULL)
        (void)json_object_set_new(object, "password", value);
    char *text = json_dumps(object, JSON_COMPACT);
    if (text != NULL)
        buffer_append_text(out, text);
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
    json_decref(object);
    return value != NULL ? 0 : error_set(error, ERR_USAGE, "the password is no UTF-8");
}

/* ---- both ---- */

static int check(const char *name, const struct buffer *document, struct error *error)
{
    struct arena arena = {0};
    struct connection connection;
    int rc = connection_check_name(slice_of(name), error);
    if (rc == 0)
        rc = connection_parse(buffer_slice(document), &arena, &connection, error);
    if (rc == 0 && connection.password.length > 0 && connection.password.length < 4)
        terminal_say("warning: a password of fewer than 4 bytes is not masked in logs");
    if (rc != 0) {
        (void)error_prefix(error, "connection \"%s\"", name);
        error->code = ERR_USAGE;
    }
    arena_fini(&arena);
    return rc != 0 ? ERR_USAGE : 0;
}

int connection_input_read(
    const struct arguments *arguments, struct buffer *ret_document, struct error *error)
{
    struct buffer text = {0};
    bool parts = has_parts(arguments);
    int rc = 0;
    if (parts && arguments_text(arguments, "type") == NULL)
        return error_set(error, ERR_USAGE, "--type is missing: postgres, spark, http, generic, …");
    rc = read_secret(parts ? "password" : "connection (a URI or JSON)", &text, error);
    trim_line(&text);
    (void)buffer_reserve(ret_document, CONNECTION_MAX_BYTES * 2);
    if (rc == 0 && parts)
        rc = from_parts(arguments, buffer_slice(&text), ret_document, error);
    else if (rc == 0 && text.length == 0)
        rc = error_set(error, ERR_USAGE,
            "nothing was given: write a URI or JSON to stdin, as in `reeve connections set NAME "
            "<FILE`");
    else if (rc == 0)
        buffer_append_slice(ret_document, buffer_slice(&text));
    buffer_wipe(&text);
    return rc == 0 ? check(arguments_item(arguments, 1), ret_document, error) : rc;
}

int connection_input_file(const char *path, struct buffer *ret_text, struct error *error)
{
    return strcmp(path, "-") == 0 ? read_stdin(IMPORT_MAX_BYTES, ret_text, error)
                                  : file_read(path, IMPORT_MAX_BYTES, ret_text, error);
}
