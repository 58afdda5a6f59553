#include "common/file.h"

#include "common/memory.h"
#include "common/random.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int file_write_all(int fd, const void *bytes, size_t length, struct error *error)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t written = write(fd, at, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return error_set_errno(error, error_write_code(errno), errno, "write failed");
        at += written;
        length -= (size_t)written;
    }
    return 0;
}

/* A file is read in pieces of so much. */
enum { PIECE = 64 * 1024 };

static int read_descriptor(
    int fd, const char *path, size_t max_bytes, struct buffer *out, struct error *error)
{
    size_t sum = 0;
    for (;;) {
        ssize_t got = read(fd, buffer_reserve(out, PIECE), PIECE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(error, ERR_IO, errno, "%s: read failed", path);
        if (got == 0)
            return 0;
        sum += (size_t)got;
        if (sum > max_bytes)
            return error_set(error, ERR_TOO_BIG, "%s: larger than %zu bytes", path, max_bytes);
        out->length += (size_t)got;
    }
}

int file_read(const char *path, size_t max_bytes, struct buffer *out, struct error *error)
{
    size_t length_before = out->length;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, error_file_code(errno), errno, "%s", path);
    int rc = read_descriptor(fd, path, max_bytes, out, error);
    if (rc != 0)
        out->length = length_before;
    (void)close(fd);
    return rc;
}

int file_open_own(const char *path, struct error *error)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno != ELOOP) {
        (void)error_set_errno(error, error_file_code(errno), errno, "%s", path);
        return -1;
    }
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        return fd;
    if (fd >= 0)
        (void)close(fd);
    (void)error_set(error, ERR_CORRUPT, "%s: not a regular file; move it away", path);
    return -1;
}

int file_read_own(const char *path, size_t max_bytes, struct buffer *out, struct error *error)
{
    struct error why = {0};
    size_t length_before = out->length;
    int fd = file_open_own(path, &why);
    int rc = fd < 0 ? why.code : read_descriptor(fd, path, max_bytes, out, &why);
    if (rc != 0)
        out->length = length_before;
    if (rc != 0 && error != NULL)
        *error = why;
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

/* A pipe (of a shell's <(…)) has no name that others could open. */
static int check_private(int fd, const char *path, struct error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return error_set_errno(error, ERR_IO, errno, "%s", path);
    if (S_ISREG(status.st_mode) && (status.st_mode & 077) != 0)
        return error_set(error, ERR_DENIED,
            "%s: holds a secret, and others than its owner may read or change it (mode %04o); "
            "chmod 600 it, and make a new secret if somebody may have",
            path, (unsigned)(status.st_mode & 07777));
    return 0;
}

int file_read_private(const char *path, size_t max_bytes, struct buffer *out, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, error_file_code(errno), errno, "%s", path);
    size_t length_before = out->length;
    int rc = check_private(fd, path, error);
    /* Enough for all of it: a buffer that grows leaves its old bytes in memory. */
    (void)buffer_reserve(out, max_bytes + 2 * PIECE);
    if (rc == 0)
        rc = read_descriptor(fd, path, max_bytes, out, error);
    if (rc != 0)
        out->length = length_before;
    (void)close(fd);
    return rc;
}

/* The folder of a path: "." when it names none. Owned. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return xstrdup(".");
    return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

int file_sync_folder(const char *path, struct error *error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, error_file_code(errno), errno, "%s", path);
    int rc = 0;
    if (fsync(fd) != 0)
        rc = error_set_errno(error, error_file_code(errno), errno, "%s: fsync failed", path);
    (void)close(fd);
    return rc;
}

int file_sync_folder_of(const char *path, struct error *error)
{
    char *folder = folder_of(path);
    int rc = file_sync_folder(folder, error);
    free(folder);
    return rc;
}

/* A new file with these bytes, on disk when this returns 0; on failure it is not there. */
static int write_new(const char *path, struct slice bytes, mode_t mode, struct error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(error, error_file_code(errno), errno, "%s", path);
    int rc = file_write_all(fd, bytes.ptr, bytes.length, error);
    /* The umask must not decide who reads it. */
    if (rc == 0 && (fchmod(fd, mode) != 0 || fsync(fd) != 0))
        rc = error_set_errno(error, error_file_code(errno), errno, "fsync failed");
    /* Some file systems report a full disk only here. */
    if (close(fd) != 0 && rc == 0)
        rc = error_set_errno(error, error_file_code(errno), errno, "close failed");
    if (rc != 0)
        (void)unlink(path);
    return rc;
}

int file_replace(const char *path, struct slice bytes, mode_t mode, struct error *error)
{
    char *folder = folder_of(path);
    char *temporary = xasprintf("%s/" FILE_TEMPORARY_PREFIX "%016" PRIx64, folder, random_id());
    int rc = write_new(temporary, bytes, mode, error);
    if (rc != 0) {
        (void)error_prefix(error, "%s", path);
        goto out;
    }
    if (rename(temporary, path) != 0) {
        rc = error_set_errno(error, error_file_code(errno), errno, "%s: rename failed", path);
        (void)unlink(temporary);
        goto out;
    }
    rc = file_sync_folder(folder, error);
out:
    free(temporary);
    free(folder);
    return rc;
}

static int refuse_held(const char *path, int fd, struct error *error)
{
    char text[24];
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    long pid = strtol(text, NULL, 10);
    if (pid > 0)
        return error_set(error, ERR_REFUSED, "%s: in use by process %ld", path, pid);
    return error_set(error, ERR_REFUSED, "%s: in use by another process", path);
}

int file_lock(const char *path, int *ret_fd, struct error *error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set_errno(error, error_file_code(errno), errno, "%s", path);
    int rc = 0;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            rc = refuse_held(path, fd, error);
        else
            rc = error_set_errno(error, ERR_IO, errno, "%s: cannot be locked", path);
        goto out;
    }
    char text[24];
    int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0)
        rc = error_set_errno(error, error_file_code(errno), errno, "%s", path);
    else
        rc = file_write_all(fd, text, (size_t)length, error);
out:
    if (rc != 0)
        (void)close(fd);
    else
        *ret_fd = fd;
    return rc;
}

int file_map(const char *path, struct slice *ret_bytes, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set_errno(error, error_file_code(errno), errno, "%s", path);
    int rc = 0;
    struct stat status;
    if (fstat(fd, &status) != 0) {
        rc = error_set_errno(error, ERR_IO, errno, "%s", path);
        goto out;
    }
    if (!S_ISREG(status.st_mode) || status.st_size <= 0) {
        rc = error_set(error, ERR_CORRUPT, "%s: empty, or not a regular file", path);
        goto out;
    }
    size_t length = (size_t)status.st_size;
    void *bytes = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        rc = error_set_errno(error, ERR_IO, errno, "%s: cannot be mapped", path);
    else
        *ret_bytes = slice_make(bytes, length);
out:
    (void)close(fd);
    return rc;
}

void file_unmap(struct slice bytes)
{
    if (bytes.length > 0)
        (void)munmap((void *)(uintptr_t)bytes.ptr, bytes.length);
}
