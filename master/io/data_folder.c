#include "master/io/data_folder.h"

#include "common/memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#define LONGEST_SOCKET "/control.sock"

/* The kernel takes no longer path of a socket (sun_path less its NUL). */
static int check_length(const char *path, struct error *error)
{
    const size_t longest = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
    size_t length = strlen(path) + sizeof LONGEST_SOCKET - 1;
    if (length <= longest)
        return 0;
    return error_set(error, ERR_USAGE,
        "%s: the folder's path is too long for its sockets (%zu bytes, at most %zu); choose a "
        "shorter one",
        path, strlen(path), longest - (sizeof LONGEST_SOCKET - 1));
}

/* A folder with other things in it is a mistake of the command line, not a master's to lock up. */
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
        empty = false;
        ours = ours || strcmp(entry->d_name, "store.db") == 0 || strcmp(entry->d_name, "lock") == 0;
    }
    (void)closedir(stream);
    if (empty || ours)
        return 0;
    return error_set(error, ERR_REFUSED,
        "%s: is not empty and no master's folder; name one of the master's own", path);
}

int data_folder_init(struct data_folder *folder, const char *path, struct error *error)
{
    int rc = check_length(path, error);
    if (rc == 0)
        rc = check_content(path, error);
    if (rc != 0)
        return rc;
    folder->path = xstrdup(path);
    folder->blobs = xasprintf("%s/blobs", path);
    folder->control = xasprintf("ipc://%s/control.sock", path);
    folder->worker = xasprintf("ipc://%s/worker.sock", path);
    folder->bulk = xasprintf("ipc://%s/bulk.sock", path);
    return 0;
}

void data_folder_fini(struct data_folder *folder)
{
    free(folder->path);
    free(folder->blobs);
    free(folder->control);
    free(folder->worker);
    free(folder->bulk);
    *folder = (struct data_folder){0};
}

int data_folder_close(const struct data_folder *folder, struct error *error)
{
    struct stat status;
    if (stat(folder->path, &status) != 0)
        return error_set_errno(error, ERR_IO, errno, "%s", folder->path);
    if ((status.st_mode & 0077) == 0)
        return 0;
    if (chmod(folder->path, 0700) != 0)
        return error_set_errno(error, ERR_DENIED, errno,
            "%s: others may enter it, and it cannot be closed to them", folder->path);
    return 0;
}
