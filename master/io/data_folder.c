#include "master/io/data_folder.h"

#include "common/file.h"
#include "common/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static const struct folder_owner owner = {
    .name = "master",
    .marks = (const char *const[]){"store.db", "lock", NULL},
    .crumbs = (const char *const[]){NULL},
};

int data_folder_init(struct data_folder *folder, const char *path, struct error *error)
{
    int rc = file_check_socket_path(path, "/control.sock", error);
    if (rc == 0)
        rc = file_check_owner(path, &owner, error);
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
