#include "worker/runner_client.h"

#include "common/beside.h"
#include "common/memory.h"
#include "worker/runner/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char runner_name[] = "reeve-runner";

struct runner_client {
    struct wire wire;
    int pidfd;
    pid_t pid;
};

/* ---- finding ---- */

int runner_find(const char *folder, struct runner_instances *ret_instances, struct error *error)
{
    struct runner_instances found = {0};
    DIR *entries = opendir(folder);
    if (entries == NULL)
        return error_set_errno(error, ERR_IO, errno, "cannot read %s", folder);
    struct dirent *entry;
    int rc = 0;
    while ((entry = readdir(entries)) != NULL) {
        uint64_t instance;
        int length = 0;
        if (sscanf(entry->d_name, "runner-%16" SCNx64 ".sock%n", &instance, &length) != 1 ||
            length == 0 || entry->d_name[length] != '\0')
            continue;
        struct stat status;
        if (fstatat(dirfd(entries), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            !S_ISSOCK(status.st_mode)) {
            rc = error_set(error, ERR_REFUSED,
                "%s/%s: no socket, and called as a runner's is; move it away", folder,
                entry->d_name);
            break;
        }
        vector_reserve(&found.items, found.count, &found.capacity);
        found.items[found.count++] = instance;
    }
    (void)closedir(entries);
    if (rc == 0)
        *ret_instances = found;
    else
        runner_instances_fini(&found);
    return rc;
}

void runner_instances_fini(struct runner_instances *instances)
{
    free(instances->items);
    *instances = (struct runner_instances){0};
}

/* ---- starting ---- */

static void become_runner(const char *program, const struct runner_start_options *options, int fd)
{
    char number[16];
    (void)snprintf(number, sizeof number, "%d", fd);
    (void)fcntl(fd, F_SETFD, 0);
    (void)execl(program, program, "--folder", options->folder, "--ready-fd", number,
        options->no_cgroups ? "--no-cgroups" : NULL, (char *)NULL);
    (void)fprintf(stderr, "%s: %s\n", program, strerror(errno));
    _exit(127);
}

/* "INSTANCE\n" from the runner; false: it ended before. */
static bool ready_read(int fd, uint64_t *ret_instance)
{
    char line[32];
    size_t length = 0;
    while (length < sizeof line - 1) {
        ssize_t got = read(fd, line + length, sizeof line - 1 - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    line[length] = '\0';
    return sscanf(line, "%" SCNx64, ret_instance) == 1;
}

int runner_start(
    const struct runner_start_options *options, uint64_t *ret_instance, struct error *error)
{
    char beside[PATH_MAX];
    const char *program = options->program;
    int ends[2];
    if (program == NULL) {
        int code = path_beside(runner_name, beside, error);
        if (code != 0)
            return code;
        program = beside;
    }
    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_set_errno(error, ERR_IO, errno, "pipe");
    pid_t pid = fork();
    if (pid == 0)
        become_runner(program, options, ends[1]);
    (void)close(ends[1]);
    bool ready = pid > 0 && ready_read(ends[0], ret_instance);
    (void)close(ends[0]);
    if (ready)
        return 0;
    if (pid < 0)
        return error_set_errno(error, ERR_IO, errno, "cannot fork");
    (void)waitpid(pid, NULL, 0);
    return error_set(error, ERR_IO, "%s did not start", program);
}

/* ---- the connection ---- */

/* Who called listen() on the other end. Its pid cannot be another's: it was alive after the
   descriptor was made, for the connection had not ended. */
static int peer_open(struct runner_client *client, struct error *error)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(client->wire.fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return error_set_errno(error, ERR_IO, errno, "who is the runner");
    client->pid = peer.pid;
    client->pidfd = pidfd_open(peer.pid, 0);
    struct pollfd poller = {.fd = client->wire.fd};
    if (client->pidfd < 0 || poll(&poller, 1, 0) != 0)
        return error_set(error, ERR_UNREACHABLE, "the runner has ended");
    return 0;
}

static int connect_to(const char *path, int *ret_fd, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set_errno(error, ERR_IO, errno, "socket");
    if (connect(fd, (const struct sockaddr *)(const void *)&address, sizeof address) != 0) {
        bool dead = errno == ECONNREFUSED || errno == ENOENT;
        (void)error_set_errno(
            error, dead ? ERR_UNREACHABLE : ERR_IO, errno, "cannot connect to %s", path);
        (void)close(fd);
        return dead ? ERR_UNREACHABLE : ERR_IO;
    }
    *ret_fd = fd;
    return 0;
}

int runner_connect(
    const char *folder, uint64_t instance, struct runner_client **ret_client, struct error *error)
{
    char path[WIRE_PATH_MAX];
    int fd = -1;
    int code = wire_path(folder, instance, path, error);
    if (code == 0)
        code = connect_to(path, &fd, error);
    if (code != 0)
        return code;
    struct runner_client *client = xcalloc(1, sizeof *client);
    wire_init(&client->wire, fd);
    client->pidfd = -1;
    code = peer_open(client, error);
    if (code != 0) {
        runner_client_destroy(client);
        return code;
    }
    *ret_client = client;
    return 0;
}

void runner_client_destroy(struct runner_client *client)
{
    if (client == NULL)
        return;
    wire_fini(&client->wire);
    if (client->pidfd >= 0) {
        /* Only when it was our child and is dead; any other answer changes nothing. */
        siginfo_t info;
        (void)waitid(P_PIDFD, (id_t)client->pidfd, &info, WEXITED | WNOHANG);
        (void)close(client->pidfd);
    }
    free(client);
}

int runner_client_fd(const struct runner_client *client)
{
    return client->wire.fd;
}

int runner_client_pidfd(const struct runner_client *client)
{
    return client->pidfd;
}

pid_t runner_client_pid(const struct runner_client *client)
{
    return client->pid;
}

bool runner_client_is_outdated(const struct runner_client *client)
{
    char own[PATH_MAX], link[64];
    struct stat now, then;
    (void)snprintf(link, sizeof link, "/proc/%d/exe", (int)client->pid);
    /* What was replaced on disk is found by that link all the same. */
    if (path_beside(runner_name, own, NULL) != 0 || stat(own, &now) != 0 || stat(link, &then) != 0)
        return false;
    return now.st_dev != then.st_dev || now.st_ino != then.st_ino;
}

int runner_client_send(struct runner_client *client, struct slice frame, const int *fds,
    uint32_t count, struct error *error)
{
    int code = wire_queue(&client->wire, frame, fds, count, error);
    return code != 0 ? code : wire_flush(&client->wire, error);
}

int runner_client_flush(struct runner_client *client, struct error *error)
{
    return wire_flush(&client->wire, error);
}

int runner_client_receive(struct runner_client *client, struct slice *ret_frame,
    int ret_fds[RUNNER_FDS_MAX], uint32_t *ret_count, struct error *error)
{
    return wire_receive(&client->wire, ret_frame, ret_fds, ret_count, error);
}

/* ---- after its death ---- */

int runner_sweep(uint64_t instance, uint64_t timeout_ms, struct error *error)
{
    return sweep_instance(instance, timeout_ms, error);
}

void runner_forget_socket(const char *folder, uint64_t instance)
{
    char path[WIRE_PATH_MAX];
    if (wire_path(folder, instance, path, NULL) == 0)
        (void)unlink(path);
}
