#include "common/copy.h"

#include "common/file.h"
#include "common/memory.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 256 * 1024 };

/* True when this errno only says that a faster way is not to be had here. */
static bool is_refusal(int errno_value)
{
    return errno_value == EXDEV || errno_value == EINVAL || errno_value == ENOSYS ||
           errno_value == EOPNOTSUPP || errno_value == EBADF || errno_value == EPERM;
}

static int copy_by_hand(int from, int to, uint64_t max_bytes, uint64_t *sum, struct error *error)
{
    char *piece = xmalloc(PIECE_BYTES);
    int rc = 0;
    while (rc == 0 && *sum <= max_bytes) {
        ssize_t got = pread(from, piece, PIECE_BYTES, (off_t)*sum);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = error_set_errno(error, ERR_IO, errno, "read failed");
        if (got <= 0)
            break;
        rc = file_write_all(to, piece, (size_t)got, error);
        *sum += (uint64_t)got;
    }
    free(piece);
    return rc;
}

/* Goes as far as the kernel takes it; what is left is copied by hand. */
static int copy_in_kernel(int from, int to, uint64_t max_bytes, uint64_t *sum, struct error *error)
{
    off_t at = 0;
    while (*sum <= max_bytes) {
        ssize_t got = copy_file_range(from, &at, to, NULL, 1u << 30, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && !is_refusal(errno))
            return error_set_errno(error, error_write_code(errno), errno, "copy failed");
        /* 0 may be the end, or a file (of /proc) whose size is not known: reading on tells. */
        if (got <= 0)
            break;
        *sum += (uint64_t)got;
    }
    return copy_by_hand(from, to, max_bytes, sum, error);
}

int copy_descriptor(int from, int to, uint64_t max_bytes, uint64_t *ret_bytes, struct error *error)
{
    struct stat status;
    uint64_t sum = 0;
    int rc = 0;
    if (ioctl(to, FICLONE, from) == 0 && fstat(to, &status) == 0)
        sum = (uint64_t)status.st_size;
    else
        rc = copy_in_kernel(from, to, max_bytes, &sum, error);
    if (rc != 0)
        return rc;
    if (sum > max_bytes)
        return error_set(
            error, ERR_TOO_BIG, "larger than %llu bytes", (unsigned long long)max_bytes);
    if (ret_bytes != NULL)
        *ret_bytes = sum;
    return 0;
}
