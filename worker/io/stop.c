#include "worker/io/stop.h"

#include "common/file.h"
#include "worker/io/host.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <unistd.h>

/* The agent waits 5 s for the master to take the last results, and 20 s for its runner. */
enum { AGENT_END_MS = 60000 };

static int read_pid(const char *path, pid_t *ret_pid, struct error *error)
{
    struct buffer text = {0};
    int rc = file_read(path, 64, &text, error);
    long pid = rc == 0 ? strtol(buffer_text(&text), NULL, 10) : 0;
    buffer_fini(&text);
    if (rc == 0 && pid <= 0)
        rc = error_set(error, ERR_CORRUPT, "%s: names no process", path);
    *ret_pid = (pid_t)pid;
    return rc;
}

static int wait_for(int pidfd, pid_t pid, struct error *error)
{
    struct pollfd poller = {.fd = pidfd, .events = POLLIN};
    int rc;
    do {
        rc = poll(&poller, 1, AGENT_END_MS);
    } while (rc < 0 && errno == EINTR);
    if (rc == 1)
        return 0;
    return error_set(error, ERR_TIMEOUT, "the worker, process %d, has not ended after %d s",
        (int)pid, AGENT_END_MS / 1000);
}

/* The pid is that of the lock's holder as long as the lock is held after the descriptor was made.
 */
static int tell(const struct folder *folder, struct error *error)
{
    pid_t pid;
    int lock;
    int rc = read_pid(folder->lock, &pid, error);
    if (rc != 0)
        return rc;
    int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0 && errno == ESRCH)
        return 0;
    if (pidfd < 0)
        return error_set_errno(error, ERR_IO, errno, "process %d", (int)pid);
    rc = file_lock(folder->lock, &lock, error);
    if (rc == 0) {
        (void)close(lock);
    } else if (rc == ERR_REFUSED) {
        rc = 0;
        if (pidfd_send_signal(pidfd, SIGUSR1, NULL, 0) != 0 && errno != ESRCH)
            rc = error_set_errno(error, ERR_DENIED, errno, "process %d cannot be told", (int)pid);
        if (rc == 0)
            rc = wait_for(pidfd, pid, error);
    }
    (void)close(pidfd);
    return rc;
}

static int take_over(struct options *options, const struct folder *folder, struct error *error)
{
    int status = 0;
    int rc = options_complete(options, folder->join, error);
    if (rc == 0 && options->master == NULL)
        rc = error_set(error, ERR_NOT_FOUND, "%s: never joined a master", folder->path);
    if (rc == 0)
        rc = host_run(options, folder, &status, error);
    if (rc == 0 && status != 0)
        return error_set(error, ERR_IO, "could not be stopped; try again");
    return rc;
}

int stop_now(struct options *options, struct folder *folder, struct error *error)
{
    if (access(folder->secret, F_OK) != 0)
        return error_set_errno(error, ERR_NOT_FOUND, errno, "%s: no worker's folder", folder->path);
    int rc = file_lock(folder->lock, &folder->lock_fd, error);
    if (rc == ERR_REFUSED)
        rc = tell(folder, error);
    else if (rc == 0)
        rc = take_over(options, folder, error);
    /* Nothing lives there, which is what was wanted. */
    if (rc == ERR_NOT_FOUND)
        rc = 0;
    if (rc == 0)
        (void)printf("stopped: nothing of the worker in %s runs\n", folder->path);
    return rc;
}
