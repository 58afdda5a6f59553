#include "worker/io/folder.h"

#include "common/file.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The longest name of a socket below the folder: the runner's. */
static const char longest_socket[] = "/private/runner-0123456789abcdef.sock";

/* A start that was cut short left the lock alone. */
static const struct folder_owner owner = {
    .name = "worker",
    .marks = (const char *const[]){"private", NULL},
    .crumbs = (const char *const[]){"lock", NULL},
};

int folder_init(struct folder *folder, const char *path, struct error *error)
{
    *folder = (struct folder){.lock_fd = -1};
    int rc = file_check_socket_path(path, longest_socket, error);
    if (rc != 0)
        return rc;
    folder->path = xstrdup(path);
    folder->lock = xasprintf("%s/lock", path);
    folder->work = xasprintf("%s/work", path);
    folder->secret = xasprintf("%s/private", path);
    folder->key = xasprintf("%s/key", folder->secret);
    folder->join = xasprintf("%s/join", folder->secret);
    folder->leader = xasprintf("%s/leader", folder->secret);
    folder->dead = xasprintf("%s/dead", folder->secret);
    folder->runner = xasprintf("%s/runner", folder->secret);
    folder->results = xasprintf("%s/results", folder->secret);
    folder->spool = xasprintf("%s/spool", folder->secret);
    folder->said = xasprintf("%s/said", folder->secret);
    folder->cache = xasprintf("%s/cache", folder->secret);
    folder->agent = xasprintf("%s/agent.sock", folder->secret);
    return 0;
}

/* The nearest folder that exists: what holds of it will hold of what is made in it. */
static int check_place(const char *path, struct error *error)
{
    char *place = xstrdup(path);
    struct stat status;
    while (stat(place, &status) != 0 && errno == ENOENT) {
        char *slash = strrchr(place, '/');
        if (slash == NULL || slash == place) {
            free(place);
            place = xstrdup("/");
            break;
        }
        *slash = '\0';
    }
    int rc = file_check_local(place, error);
    if (rc == 0 && access(place, W_OK | X_OK) != 0)
        rc = error_set_errno(error, ERR_DENIED, errno, "%s: cannot be written", place);
    free(place);
    return rc;
}

/* Who may enter is part of the promise, whatever the folder's maker chose. */
static int set_modes(const struct folder *folder, struct error *error)
{
    if (chmod(folder->path, 0711) != 0)
        return error_set_errno(
            error, ERR_DENIED, errno, "%s: its mode cannot be set", folder->path);
    if (chmod(folder->secret, 0700) != 0)
        return error_set_errno(
            error, ERR_DENIED, errno, "%s: its mode cannot be set", folder->secret);
    return 0;
}

/*
 * ext4 does not use an inode again in the minute after its file was removed, and each new file
 * looks at all of those that lie in its folder's group: after an attempt with 10,000 files the next
 * one's took 8 s to make, not 0.3. This flag makes it put each attempt's folder elsewhere. Other
 * file systems lack the trait, and the flag.
 */
static void spread_attempts(const char *path)
{
    int flags = 0;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
        flags |= FS_TOPDIR_FL;
        (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
    (void)close(fd);
}

int folder_open(struct folder *folder, struct error *error)
{
    int rc = file_check_owner(folder->path, &owner, error);
    if (rc == 0)
        rc = check_place(folder->path, error);
    if (rc == 0)
        rc = file_make_folder(folder->path, 0711, error);
    if (rc == 0)
        rc = file_lock(folder->lock, &folder->lock_fd, error);
    if (rc == 0)
        rc = file_make_folder(folder->secret, 0700, error);
    if (rc == 0)
        rc = set_modes(folder, error);
    if (rc == 0)
        rc = file_make_folder(folder->work, 0711, error);
    if (rc == 0)
        spread_attempts(folder->work);
    if (rc == 0)
        rc = file_make_folder(folder->spool, 0700, error);
    if (rc == 0)
        rc = file_make_folder(folder->said, 0700, error);
    if (rc == 0)
        rc = file_make_folder(folder->cache, 0700, error);
    return rc;
}

void folder_fini(struct folder *folder)
{
    if (folder->lock_fd >= 0)
        (void)close(folder->lock_fd);
    char *texts[] = {folder->path, folder->lock, folder->work, folder->secret, folder->key,
        folder->join, folder->leader, folder->dead, folder->runner, folder->results, folder->spool,
        folder->said, folder->cache, folder->agent};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    *folder = (struct folder){.lock_fd = -1};
}
