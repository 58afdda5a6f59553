/*
 * What is done before an attempt starts. The common case, no bundle and no artifacts, takes a
 * folder, a pipe and no thread.
 */
#include "worker/io/attempts_state.h"
#include "worker/io/task_line.h"

#include "common/dag/plan.h"
#include "common/environment.h"
#include "common/file.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void answer(struct work *work, enum reason reason, const struct error *error)
{
    const struct attempts_events *events = &work->attempts->config.events;
    events->prepared(
        events->context, &work->id, reason, error != NULL ? slice_of(error->text) : slice_of(NULL));
}

/* One that lacked space has not begun: it costs no try, and goes where there is space. */
static void answer_error(struct work *work, const struct error *error)
{
    bool full = error->code == ERR_NO_SPACE;
    if (full)
        attempts_lack_room(work->attempts, error);
    answer(work, full ? REASON_NOT_STARTED : REASON_WORKER_ERROR, error);
}

static int write_script(const struct order *order, struct error *error)
{
    const char *path = order->place.script.ptr;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(error, error_write_code(errno), errno, "%s", path);
    int rc = file_write_all(fd, order->command.script.ptr, order->command.script.length, error);
    (void)close(fd);
    return rc;
}

/* ---- files ---- */

/* What opens /dev/stdout or /dev/stderr opens the pipe anew, and must be allowed to. */
static int make_pipe(struct order *order, struct error *error)
{
    if (pipe2(order->pipe, O_CLOEXEC) != 0) {
        order->pipe[0] = -1;
        order->pipe[1] = -1;
        return error_set_errno(error, ERR_IO, errno, "no pipe for its log");
    }
    if (order->user != NULL && fchown(order->pipe[1], order->user->uid, order->user->gid) != 0)
        return error_set_errno(error, ERR_IO, errno, "the pipe of its log");
    return 0;
}

/* The whole task lies in the socket before the operator starts: whatever becomes of this agent. */
static int make_channel(struct work *work, struct error *error)
{
    struct order *order = work->order;
    int ends[2];
    if (!order->operator)
        return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return error_set_errno(error, ERR_IO, errno, "no socket for its operator");
    order->channel[1] = ends[1];
    work->talk = talk_create(&work->attempts->talk, &work->id, ends[0], work->kill_grace_ms);
    int rc = talk_tell_task(work->talk, buffer_slice(&order->task_line), error);
    if (rc != 0)
        return rc;
    order->channel[0] = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
    return order->channel[0] >= 0
               ? 0
               : error_set_errno(error, ERR_IO, errno, "no socket for its operator");
}

/* The agent's last steps, once the files are there. */
static void complete(struct work *work)
{
    struct error error = {0};
    struct order *order = work->order;
    char *path = xasprintf("%s/%.*s", order->place.files.ptr, SLICE_PRINT(order->file));
    if (order->file.length > 0 && access(path, F_OK) != 0) {
        (void)error_set(
            &error, ERR_NOT_FOUND, "%.*s: not among the DAG's files", SLICE_PRINT(order->file));
        answer(work, REASON_NOT_FOUND, &error);
    } else if (make_pipe(order, &error) != 0) {
        answer(work, REASON_WORKER_ERROR, &error);
    } else if (make_channel(work, &error) != 0) {
        answer(work, error.code == ERR_TOO_BIG ? REASON_TOO_BIG : REASON_WORKER_ERROR, &error);
    } else {
        answer(work, REASON_NONE, NULL);
    }
    free(path);
}

static int give(struct order *order, struct error *error)
{
    return file_give_tree(order->place.folder.ptr, order->user->uid, order->user->gid, error);
}

static void give_later(void *context)
{
    struct work *work = context;
    (void)give(work->order, &work->order->given);
}

static void given(void *context)
{
    struct work *work = context;
    work->giving = false;
    if (work->unwanted)
        work_abandon(work);
    else if (work->order->given.code != 0)
        answer_error(work, &work->order->given);
    else
        complete(work);
}

/* Its files are there; they become its user's, if that is another. */
static void hand_over(struct work *work)
{
    struct error error = {0};
    if (work->order->user == NULL) {
        complete(work);
    } else if (!work->plain) {
        work->giving = true;
        jobs_run(work->attempts->config.jobs, give_later, given, work);
    } else if (give(work->order, &error) != 0) {
        answer(work, REASON_WORKER_ERROR, &error);
    } else {
        complete(work);
    }
}

static void laid(void *context, const struct error *error)
{
    struct work *work = context;
    work->trees = NULL;
    if (error != NULL)
        answer_error(work, error);
    else
        hand_over(work);
}

static bool read_hash(struct slice bytes, struct hash *hash)
{
    if (bytes.length != sizeof hash->bytes)
        return false;
    memcpy(hash->bytes, bytes.ptr, sizeof hash->bytes);
    return true;
}

/* A task's name becomes a folder's. */
static bool is_task_name(struct slice name)
{
    return name.length > 0 && name.ptr[0] != '.' && memchr(name.ptr, '/', name.length) == NULL &&
           memchr(name.ptr, '\0', name.length) == NULL;
}

static int list_trees(struct work *work, const struct msg_assign *assign, struct tree *list,
    size_t *ret_count, struct error *error)
{
    struct order *order = work->order;
    size_t count = 0;
    if (assign->bundle.length > 0) {
        list[count] = (struct tree){.folder = order->place.files.ptr, .is_bundle = true};
        if (!read_hash(assign->bundle, &list[count++].manifest))
            return error_set(error, ERR_MALFORMED, "the bundle's hash is none");
    }
    for (uint32_t i = 0; i < assign->sources.count; i++) {
        const struct artifact_source *source = &assign->sources.items[i];
        if (!is_task_name(source->task) || !read_hash(source->manifest, &list[count].manifest))
            return error_set(
                error, ERR_MALFORMED, "the artifacts of a task above are not named well");
        list[count].folder = arena_printf(
            &order->arena, "%s/%.*s", order->place.artifacts.ptr, SLICE_PRINT(source->task))
                                 .ptr;
        list[count++].read_only = true;
    }
    *ret_count = count;
    return 0;
}

static int prepare(struct work *work, const struct msg_assign *assign, struct error *error)
{
    const struct attempts_config *config = &work->attempts->config;
    struct order *order = work->order;
    size_t count = 0;
    int rc = work_folder_make(work, &order->place, error);
    if (rc == 0 && order->command.script.length > 0)
        rc = write_script(order, error);
    if (rc != 0)
        return rc;
    struct tree *list =
        arena_alloc(&order->arena, ((size_t)assign->sources.count + 1) * sizeof *list);
    rc = list_trees(work, assign, list, &count, error);
    work->plain = count == 0 && order->command.script.length == 0;
    if (rc == 0 && count > 0)
        work->trees = trees_lay(config->trees, list, count, laid, work);
    return rc;
}

/* An operator program: its path, and what it is told. */
static int prepare_operator(struct work *work, const struct msg_assign *assign, struct error *error)
{
    const struct attempts_config *config = &work->attempts->config;
    struct order *order = work->order;
    const char *path = operators_path(config->operators, assign->operator);
    if (path == NULL)
        return error_set(error, ERR_NOT_FOUND,
            "the operator \"%.*s\" is not there: no reeve-op-%.*s on this worker's operator path",
            SLICE_PRINT(assign->operator), SLICE_PRINT(assign->operator));
    order->operator= true;
    order->command.arguments.items = arena_alloc(&order->arena, sizeof(struct slice));
    order->command.arguments.items[0] = arena_copy(&order->arena, slice_of(path));
    order->command.arguments.count = 1;
    return task_line_make(assign, &order->place, config->base.worker, &order->task_line, error);
}

/* Before all else: what cannot have its connections is not prepared. Operators get theirs on
 * descriptor 3. */
static int hand_secrets(struct work *work, const struct msg_assign *assign, struct error *error)
{
    struct order *order = work->order;
    if (assign->connections.count > 0)
        environment_guard_memory();
    if (assign->kind == OPERATOR_PROGRAM)
        return 0;
    int rc = secrets_write(
        &work->attempts->secrets, assign, order->user, &order->arena, &order->secrets, error);
    if (rc == 0 && order->secrets.length > 0)
        secrets_add_env(order->secrets, &assign->env, &order->command.env, &order->arena);
    return rc == 0 || rc == ERR_NO_SPACE ? rc : ERR_REFUSED;
}

void attempts_prepare(struct attempts *attempts, const struct msg_assign *assign)
{
    struct error error = {0};
    struct work *work = work_create(attempts, &assign->id);
    struct order *order = xcalloc(1, sizeof *order);
    order->pipe[0] = -1;
    order->pipe[1] = -1;
    order->channel[0] = -1;
    order->channel[1] = -1;
    work->order = order;
    work->log_limit = assign->log_limit;
    work->kill_grace_ms = assign->kill_grace_ms;
    work->mute = assign->kind != OPERATOR_PROGRAM;
    place_make(&order->place, attempts->config.folder->work, &assign->id, &order->arena);
    struct command_base base = attempts->config.base;
    int rc = task_users_choose(attempts->config.users, assign->run_as, &order->user, &error);
    base.user = order->user;
    command_make(&order->command, assign, &order->place, &base, &order->arena);
    if (rc == 0)
        rc = hand_secrets(work, assign, &error);
    if (assign->kind == OPERATOR_BASH)
        order->file = arena_copy(&order->arena, assign->file);
    if (rc == 0 && assign->kind == OPERATOR_PROGRAM)
        rc = prepare_operator(work, assign, &error);
    if (rc == 0)
        rc = prepare(work, assign, &error);
    if (rc == ERR_NOT_FOUND)
        answer(work, REASON_NOT_FOUND, &error);
    else if (rc == ERR_REFUSED)
        answer(work, REASON_CONNECTION, &error);
    else if (rc != 0)
        answer_error(work, &error);
    else if (work->trees == NULL)
        hand_over(work);
}
