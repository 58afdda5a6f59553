#include "worker/io/folder.h"

#include "common/file.h"
#include "common/memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The longest name of a socket below the folder: the runner's. */
enum { LONGEST_SOCKET = sizeof "/private/runner-0123456789abcdef.sock" - 1 };

static int check_length(const char *path, struct error *error)
{
    const size_t longest = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
    size_t length = strlen(path) + LONGEST_SOCKET;
    if (length <= longest)
        return 0;
    return error_set(error, ERR_USAGE,
        "%s: the folder's path is too long for its sockets (%zu bytes, at most %zu); choose a "
        "shorter one",
        path, strlen(path), longest - LONGEST_SOCKET);
}

int folder_init(struct folder *folder, const char *path, struct error *error)
{
    *folder = (struct folder){.lock_fd = -1};
    int rc = check_length(path, error);
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
    folder->cache = xasprintf("%s/cache", folder->secret);
    return 0;
}

/* A folder with other things in it is a mistake of the command line. */
static int check_content(const char *path, struct error *error)
{
    DIR *stream = opendir(path);
    if (stream == NULL && errno == ENOENT)
        return 0;
    if (stream == NULL && errno == ENOTDIR)
        return error_set(error, ERR_REFUSED, "%s: is not a folder", path);
    if (stream == NULL)
        return error_set_errno(error, ERR_DENIED, errno, "%s: cannot be read", path);
    bool empty = true, ours = false;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        /* A start that was cut short left the lock alone. */
        empty = empty && strcmp(entry->d_name, "lock") == 0;
        ours = ours || strcmp(entry->d_name, "private") == 0;
    }
    (void)closedir(stream);
    if (empty || ours)
        return 0;
    return error_set(error, ERR_REFUSED,
        "%s: is not empty and no worker's folder; name one of the worker's own", path);
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

int folder_open(struct folder *folder, struct error *error)
{
    int rc = check_content(folder->path, error);
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
        rc = file_make_folder(folder->spool, 0700, error);
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
        folder->cache};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    *folder = (struct folder){.lock_fd = -1};
}
