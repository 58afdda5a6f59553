#include "operators/spark/child.h"

#include "common/clock.h"
#include "common/memory.h"
#include "operators/spark/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LEFT_OPEN_MS = 2000, /* after its end: something that it left behind may hold its output open */
    READ_BYTES = 64 * 1024,
};

struct child {
    pid_t pid;
    int process; /* a pidfd, -1 once it is reaped */
    int output, news[2];
    int status;
    uint64_t ended_ms;
    pthread_t reader;
    pthread_mutex_t lock;
    struct scan scan; /* under the lock, as is `closed` */
    bool closed;
};

/* ---- its output ---- */

static void pass_on(const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, length);
        if (written < 0 && errno != EINTR)
            return; /* the log is gone with the attempt */
        if (written > 0) {
            bytes += written;
            length -= (size_t)written;
        }
    }
}

static void tell(struct child *child)
{
    /* When it is full there is news already. */
    (void)!write(child->news[1], "", 1);
}

static void *read_output(void *context)
{
    struct child *child = context;
    char *bytes = xmalloc(READ_BYTES);
    for (;;) {
        ssize_t got = read(child->output, bytes, READ_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        pass_on(bytes, (size_t)got);
        (void)pthread_mutex_lock(&child->lock);
        bool fresh = scan_take(&child->scan, slice_make(bytes, (size_t)got));
        (void)pthread_mutex_unlock(&child->lock);
        if (fresh)
            tell(child);
    }
    free(bytes);
    (void)pthread_mutex_lock(&child->lock);
    (void)scan_take(&child->scan, slice_of("\n"));
    child->closed = true;
    (void)pthread_mutex_unlock(&child->lock);
    tell(child);
    return NULL;
}

void child_look(struct child *child, struct scan *ret_scan)
{
    (void)pthread_mutex_lock(&child->lock);
    *ret_scan = child->scan;
    (void)pthread_mutex_unlock(&child->lock);
}

static bool is_closed(struct child *child)
{
    (void)pthread_mutex_lock(&child->lock);
    bool closed = child->closed;
    (void)pthread_mutex_unlock(&child->lock);
    return closed;
}

/* ---- its life ---- */

static bool names_same(const char *a, const char *b)
{
    size_t length = strcspn(a, "=");
    return strncmp(a, b, length) == 0 && b[length] == '=';
}

/* Freed by the caller; the texts are borrowed. */
static char **environment(const struct words *extra)
{
    size_t count = 0, kept = 0, more = extra != NULL ? extra->count : 0;
    while (environ[count] != NULL)
        count++;
    char **env = xcalloc(count + more + 1, sizeof *env);
    for (size_t i = 0; i < count; i++) {
        bool replaced = false;
        for (size_t k = 0; k < more; k++)
            replaced |= names_same(extra->items[k], environ[i]);
        if (!replaced)
            env[kept++] = environ[i];
    }
    for (size_t k = 0; k < more; k++)
        env[kept++] = (char *)(uintptr_t)extra->items[k];
    return env;
}

static int spawn_to(
    const struct words *command, const struct words *extra, int output, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, usual;
    char **env = environment(extra);
    (void)sigemptyset(&none);
    (void)sigemptyset(&usual);
    (void)sigaddset(&usual, SIGPIPE);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    (void)posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &usual);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int rc = posix_spawnp(ret_pid, command->items[0], &actions, &attributes,
        (char *const *)(uintptr_t)command->items, env);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    free(env);
    return rc;
}

/* No signal is taken there: they are the main thread's. */
static int start_reader(struct child *child)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    int rc = pthread_create(&child->reader, NULL, read_output, child);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int child_start(const struct words *command, const struct words *env, struct child **ret_child,
    struct error *error)
{
    int output[2];
    struct child *child = xcalloc(1, sizeof *child);
    if (pipe2(child->news, O_CLOEXEC | O_NONBLOCK) != 0 || pipe2(output, O_CLOEXEC) != 0)
        return error_set_errno(error, ERR_IO, errno, "pipe");
    int rc = spawn_to(command, env, output[1], &child->pid);
    (void)close(output[1]);
    child->output = output[0];
    (void)pthread_mutex_init(&child->lock, NULL);
    child->process = rc == 0 ? (int)syscall(SYS_pidfd_open, child->pid, 0) : -1;
    if (rc == 0 && start_reader(child) == 0) {
        *ret_child = child;
        return 0;
    }
    (void)close(output[0]);
    free(child);
    return error_set_errno(
        error, rc == ENOENT ? ERR_NOT_FOUND : ERR_IO, rc, "%s", command->items[0]);
}

static bool reap(struct child *child)
{
    int status;
    if (child->process < 0)
        return true;
    if (waitpid(child->pid, &status, WNOHANG) != child->pid)
        return false;
    (void)close(child->process);
    child->process = -1;
    child->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    child->ended_ms = clock_boot_ms();
    return true;
}

static bool is_over(struct child *child)
{
    return reap(child) && (is_closed(child) || clock_boot_ms() - child->ended_ms >= LEFT_OPEN_MS);
}

bool child_wait(struct child *child, int ms)
{
    char bytes[64];
    /* Nothing would come to end the wait. */
    if (child->process < 0 && is_over(child))
        return true;
    if (child->process < 0)
        ms = ms < 100 ? ms : 100;
    struct pollfd fds[] = {
        {.fd = child->news[0], .events = POLLIN}, {.fd = child->process, .events = POLLIN}};
    (void)poll(fds, 2, ms);
    while (read(child->news[0], bytes, sizeof bytes) == (ssize_t)sizeof bytes)
        continue;
    return is_over(child);
}

void child_signal(struct child *child, int number)
{
    if (child->process >= 0)
        (void)kill(child->pid, number);
}

int child_status(const struct child *child)
{
    return child->status;
}

void child_free(struct child *child)
{
    if (child == NULL)
        return;
    child_signal(child, SIGKILL);
    while (!child_wait(child, 1000))
        continue;
    if (!is_closed(child)) {
        /* Its last breath goes with the attempt's tree, and this program before that. */
        (void)pthread_detach(child->reader);
        return;
    }
    (void)pthread_join(child->reader, NULL);
    (void)pthread_mutex_destroy(&child->lock);
    (void)close(child->output);
    (void)close(child->news[0]);
    (void)close(child->news[1]);
    free(child);
}

int child_run(const struct words *command, int ms, struct error *error)
{
    struct child *child;
    uint64_t until = clock_boot_ms() + (uint64_t)ms;
    int rc = child_start(command, NULL, &child, error);
    if (rc != 0)
        return rc;
    bool over = child_wait(child, 0);
    while (!over && clock_boot_ms() < until)
        over = child_wait(child, 200);
    rc = over ? child_status(child)
              : error_set(error, ERR_AGAIN, "%s does not end", command->items[0]);
    child_free(child);
    return rc;
}
