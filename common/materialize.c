/*
 * The part of manifest.h that makes files. Each path is walked from the folder by openat, component
 * by component and never through a link, so that whatever a manifest says nothing is made outside.
 */
#include "common/copy.h"
#include "common/file.h"
#include "common/manifest.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const struct manifest_file *file, const char *what, struct error *error)
{
    return error_set_errno(
        error, error_write_code(errno), errno, "%.*s: %s", SLICE_PRINT(file->path), what);
}

/* Opens the folder `name` in parent, made if it is not there. Takes parent. */
static int descend(int parent, const char *name)
{
    if (mkdirat(parent, name, 0755) != 0 && errno != EEXIST) {
        int errno_value = errno;
        (void)close(parent);
        errno = errno_value;
        return -1;
    }
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int errno_value = errno;
    (void)close(parent);
    errno = errno_value;
    return fd;
}

/* The folder in which the path's last component lies, or -1. *ret_name points into `path`, which is
 * cut up. */
static int open_parent(int root, char *path, const char **ret_name)
{
    int fd = fcntl(root, F_DUPFD_CLOEXEC, 0);
    char *name = path;
    for (char *slash = strchr(name, '/'); fd >= 0 && slash != NULL; slash = strchr(name, '/')) {
        *slash = '\0';
        fd = descend(fd, name);
        name = slash + 1;
    }
    *ret_name = name;
    return fd;
}

/* -1 and the error, which is not NULL here. */
static int open_blob(const struct manifest_file *file, const char *blob_root, struct error *error)
{
    char hex[HASH_HEX_MAX];
    hash_hex(&file->hash, hex);
    char *path = xasprintf("%s/%.2s/%s", blob_root, hex, hex + 2);
    int fd = file_open_own(path, error);
    struct stat status;
    if (fd < 0 && error->code == ERR_NOT_FOUND)
        (void)error_set(error, ERR_NOT_FOUND, "%.*s: its content is not there (%s)",
            SLICE_PRINT(file->path), path);
    else if (fd < 0)
        (void)error_prefix(error, "%.*s", SLICE_PRINT(file->path));
    else if (fstat(fd, &status) != 0 || (uint64_t)status.st_size != file->size) {
        (void)error_set(error, ERR_CORRUPT, "%.*s: its content has another length (%s)",
            SLICE_PRINT(file->path), path);
        (void)close(fd);
        fd = -1;
    }
    free(path);
    return fd;
}

static int make_link(
    const struct manifest_file *file, int source, int parent, const char *name, struct error *error)
{
    char target[4096];
    ssize_t length = pread(source, target, sizeof target - 1, 0);
    if (length < 0)
        return fail(file, "cannot be read", error);
    target[length] = '\0';
    if ((uint64_t)length != file->size ||
        !manifest_link_stays(file->path, slice_make(target, (size_t)length)))
        return error_set(
            error, ERR_REFUSED, "%.*s: a link that leaves the folder", SLICE_PRINT(file->path));
    if (symlinkat(target, parent, name) != 0)
        return fail(file, "cannot be made", error);
    return 0;
}

static int make_copy(
    const struct manifest_file *file, int source, int parent, const char *name, struct error *error)
{
    int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(file, "cannot be made", error);
    int rc = copy_descriptor(source, fd, file->size, NULL, error);
    if (rc != 0)
        (void)error_prefix(error, "%.*s", SLICE_PRINT(file->path));
    /* Not by the umask: the task may be another user. */
    if (rc == 0 && fchmod(fd, file->mode) != 0)
        rc = fail(file, "cannot be given its mode", error);
    if (close(fd) != 0 && rc == 0)
        rc = fail(file, "cannot be written", error);
    return rc;
}

static int make_file(
    const struct manifest_file *file, const char *blob_root, int root, struct error *error)
{
    int source = open_blob(file, blob_root, error);
    if (source < 0)
        return error->code;
    char *path = xstrndup(file->path.ptr, file->path.length);
    const char *name;
    int rc;
    int parent = open_parent(root, path, &name);
    if (parent < 0)
        rc = fail(file, "its folder cannot be made", error);
    else if (file->mode == MANIFEST_MODE_LINK)
        rc = make_link(file, source, parent, name, error);
    else
        rc = make_copy(file, source, parent, name, error);
    if (parent >= 0)
        (void)close(parent);
    (void)close(source);
    free(path);
    return rc;
}

int manifest_materialize(
    const struct manifest *manifest, const char *blob_root, const char *folder, struct error *error)
{
    int root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_set_errno(error, ERR_IO, errno, "%s", folder);
    struct error local = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < manifest->count; i++)
        rc = make_file(&manifest->files[i], blob_root, root, &local);
    (void)close(root);
    if (rc != 0 && error != NULL)
        *error = local;
    return rc;
}
