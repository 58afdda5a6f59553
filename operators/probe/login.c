#include "operators/probe/login.h"

#include "common/beside.h"
#include "common/memory.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char program[] = "reeve-op-postgres";

static const char question[] =
    "SELECT 'PostgreSQL ' || current_setting('server_version') || ', user ' || current_user ||"
    " ', database ' || current_database() || ', ' ||"
    " coalesce((SELECT 'TLS by ' || version FROM pg_stat_ssl"
    " WHERE pid = pg_backend_pid() AND ssl), 'no TLS') ||"
    " CASE WHEN pg_is_in_recovery() THEN ', a standby: it only reads' ELSE '' END AS reached";

struct answer {
    char reached[500]; /* "" when it said nothing of it */
    char error[OPERATOR_ERROR_MAX_BYTES + 1];
    bool retry;
};

/* The line that a worker would send it: this task's own, with another question. */
static char *task_line(const struct operator_task *task, const json_t *connection)
{
    const char *id = json_string_value(json_object_get(connection, "id"));
    json_t *line = json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I,"
                             " s:{s:s, s:s, s:i}, s:O, s:{s:O}, s:[]}",
        "type", "task", "reeve", OPERATOR_CONTRACT, "operator", "postgres", "run", task->run,
        "run_key", task->run_key, "dag", task->dag, "task", task->task, "worker", task->worker,
        "tag", task->tag, "tag_prefix", task->tag_prefix, "epoch", (json_int_t)task->epoch,
        "timeout_ms", (json_int_t)task->timeout_ms, "kill_grace_ms",
        (json_int_t)task->kill_grace_ms, "with", "sql", question, "statement_timeout", "10s",
        "log_rows", 0, "context", task->context, "connections", id, connection, "notes");
    char *text = json_dumps(line, JSON_COMPACT);
    json_decref(line);
    return text;
}

static void take_line(const char *line, size_t length, struct answer *answer)
{
    json_t *said = json_loadb(line, length, 0, NULL);
    const char *type = json_string_value(json_object_get(said, "type"));
    if (type != NULL && strcmp(type, "output") == 0) {
        const json_t *value = json_object_get(json_object_get(said, "outputs"), "value");
        const char *text = json_is_string(value) ? json_string_value(value) : "";
        (void)snprintf(answer->reached, sizeof answer->reached, "%s", text);
    } else if (type != NULL && strcmp(type, "error") == 0) {
        const char *text = json_string_value(json_object_get(said, "error"));
        (void)snprintf(answer->error, sizeof answer->error, "%s", text != NULL ? text : "");
        answer->retry = json_is_true(json_object_get(said, "retry"));
    }
    json_decref(said);
}

/* Until it closes its end. */
static void hear(int fd, struct answer *answer)
{
    struct buffer in = {0};
    ssize_t got;
    do {
        got = read(fd, buffer_reserve(&in, 4096), 4096);
        if (got > 0)
            in.length += (size_t)got;
        const char *end;
        while (in.length > 0 && (end = memchr(in.data, '\n', in.length)) != NULL) {
            size_t length = (size_t)(end - in.data);
            take_line(in.data, length, answer);
            buffer_consume(&in, length + 1);
        }
    } while ((got > 0 && in.length < OPERATOR_LINE_MAX_BYTES) || (got < 0 && errno == EINTR));
    buffer_fini(&in);
}

static int start(const char *path, int fd, pid_t *ret_pid)
{
    extern char **environ;
    char name[sizeof program];
    char *argv[] = {memcpy(name, program, sizeof program), NULL};
    posix_spawn_file_actions_t actions;
    int number = posix_spawn_file_actions_init(&actions);
    if (number != 0)
        return number;
    number = posix_spawn_file_actions_adddup2(&actions, fd, OPERATOR_FD);
    if (number == 0)
        number = posix_spawn(ret_pid, path, &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return number;
}

static int talk(const char *path, const char *line, struct answer *answer, struct error *error)
{
    int fds[2];
    pid_t pid = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return error_set_errno(error, ERR_IO, errno, "socketpair");
    int number = start(path, fds[1], &pid);
    (void)close(fds[1]);
    if (number != 0) {
        (void)close(fds[0]);
        return error_set_errno(error, ERR_IO, number, "%s", path);
    }
    struct iovec parts[] = {{(void *)(uintptr_t)line, strlen(line)}, {(void *)(uintptr_t) "\n", 1}};
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    /* One that ends without having read is told by what it does not say. */
    (void)sendmsg(fds[0], &message, MSG_NOSIGNAL);
    hear(fds[0], answer);
    (void)close(fds[0]);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return 0;
}

int login_try(const struct operator_link *link, const json_t *connection, struct buffer *reached,
    bool *ret_retry, struct error *error)
{
    struct answer answer = {.retry = false};
    char path[PATH_MAX];
    if (path_beside(program, path, NULL) != 0 || access(path, X_OK) != 0) {
        buffer_printf(reached, "; no login was tried: this worker has no %s", program);
        return 0;
    }
    char *line = task_line(operator_task(link), connection);
    if (line == NULL)
        return error_set(error, ERR_INVALID, "the connection is no JSON");
    int rc = talk(path, line, &answer, error);
    explicit_bzero(line, strlen(line));
    free(line);
    if (rc != 0)
        return rc;
    *ret_retry = answer.retry;
    if (answer.reached[0] == '\0')
        return error_set(error, ERR_REFUSED, "%s",
            answer.error[0] != '\0' ? answer.error : "reeve-op-postgres ended without a word");
    buffer_printf(reached, "; logged in: %s", answer.reached);
    return 0;
}
