#include "worker/io/spool.h"

#include "common/memory.h"
#include "common/stop_point.h"
#include "worker/io/attempt_name.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    /* Arrivals closer than this share a mark. */
    MARK_EVERY_MS = 10,
    /* At the bound every second mark goes: times become coarser, and stay in order. */
    MARKS_MAX = 16384,
    /* Holes are punched in whole blocks, and not for a few bytes. */
    BLOCK_BYTES = 4096,
    CUT_STEP_BYTES = 64 * 1024,
};

static uint64_t block_after(uint64_t offset)
{
    return (offset + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
}

/* The hole in a file that an earlier agent wrote: splice leaves none, so it is what was cut. */
static void find_cut(struct spool *spool)
{
    off_t hole = lseek(spool->fd, 0, SEEK_HOLE);
    off_t data = hole >= 0 ? lseek(spool->fd, hole, SEEK_DATA) : -1;
    if (data <= hole)
        return;
    spool->head_end = (uint64_t)hole;
    spool->cut_end = (uint64_t)data;
}

void spool_set_limit(struct spool *spool, uint64_t limit)
{
    if (spool->limit != 0 || limit == 0)
        return;
    spool->limit = limit;
    if (spool->cut_end == 0)
        spool->head_end = block_after(limit / 2);
}

uint64_t spool_bytes(const struct spool *spool)
{
    uint64_t cut = spool->cut_end > spool->head_end ? spool->cut_end - spool->head_end : 0;
    return spool->length - cut;
}

static int open_file(struct spool *spool, int flags, struct error *error)
{
    if (spool->fd >= 0)
        return 0;
    struct stat status;
    int fd = open(spool->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0600);
    if (fd < 0 && errno != ELOOP) {
        int code = errno == ENOENT ? ERR_NOT_FOUND : error_write_code(errno);
        return error_set_errno(error, code, errno, "%s", spool->path);
    }
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        if (fd >= 0)
            (void)close(fd);
        return error_set(
            error, ERR_CORRUPT, "%s: not the file of a log; move it away", spool->path);
    }
    spool->fd = fd;
    return 0;
}

int spool_open(
    struct spool *spool, const char *folder, const struct attempt_id *id, struct error *error)
{
    char name[ATTEMPT_NAME_MAX];
    struct stat status;
    attempt_name(id, name);
    *spool = (struct spool){.fd = -1, .path = xasprintf("%s/%s", folder, name)};
    int rc = open_file(spool, 0, error);
    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc == 0 && fstat(spool->fd, &status) != 0)
        rc = error_set_errno(error, ERR_IO, errno, "%s", spool->path);
    if (rc != 0) {
        spool_close(spool);
        return rc;
    }
    spool->length = (uint64_t)status.st_size;
    find_cut(spool);
    return 0;
}

void spool_close(struct spool *spool)
{
    spool_rest(spool);
    free(spool->path);
    free(spool->marks);
    *spool = (struct spool){.fd = -1};
}

void spool_remove(struct spool *spool)
{
    if (spool->length > 0 || spool->fd >= 0)
        (void)unlink(spool->path);
}

void spool_rest(struct spool *spool)
{
    if (spool->fd >= 0)
        (void)close(spool->fd);
    spool->fd = -1;
}

static void thin_marks(struct spool *spool)
{
    assert(spool->marks != NULL);
    size_t kept = 0;
    for (size_t i = 0; i < spool->mark_count; i += 2)
        spool->marks[kept++] = spool->marks[i];
    spool->mark_count = kept;
}

static void add_mark(struct spool *spool, uint64_t now_ms)
{
    const struct log_mark *marks = spool->marks;
    size_t count = spool->mark_count;
    if (marks != NULL && count > 0 && (uint64_t)marks[count - 1].at + MARK_EVERY_MS > now_ms)
        return;
    if (marks != NULL && count == MARKS_MAX)
        thin_marks(spool);
    vector_reserve(&spool->marks, spool->mark_count, &spool->mark_capacity);
    spool->marks[spool->mark_count++] =
        (struct log_mark){.offset = spool->length, .at = (int64_t)now_ms};
}

/* Gives back what lies between the head and the last half of the limit. */
static void cut(struct spool *spool)
{
    if (spool->limit == 0 || spool->length <= spool->head_end + spool->limit / 2)
        return;
    uint64_t end = (spool->length - spool->limit / 2) / BLOCK_BYTES * BLOCK_BYTES;
    uint64_t from = spool->cut_end > spool->head_end ? spool->cut_end : spool->head_end;
    if (end < from + CUT_STEP_BYTES)
        return;
    if (fallocate(spool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
            (off_t)(end - from)) == 0)
        spool->cut_end = end;
}

/* Bytes that were moved, 0 at the pipe's end, -1 with errno. */
static ssize_t move(struct spool *spool, int pipe)
{
    off_t offset = (off_t)spool->length;
    ssize_t moved;
    do {
        moved = splice(
            pipe, NULL, spool->fd, &offset, SPOOL_ROUND_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    } while (moved < 0 && errno == EINTR);
    return moved;
}

/* The file is only made for bytes: most tasks write none. */
static bool is_empty(int pipe)
{
    int count = 0;
    return ioctl(pipe, FIONREAD, &count) == 0 && count == 0;
}

int spool_take(struct spool *spool, int pipe, uint64_t now_ms, struct error *error)
{
    uint64_t until = spool->length + SPOOL_ROUND_BYTES;
    if (spool->fd < 0 && is_empty(pipe))
        return SPOOL_EMPTY;
    int rc = open_file(spool, O_CREAT, error);
    if (rc != 0)
        return rc;
    while (spool->length < until) {
        ssize_t moved = move(spool, pipe);
        if (moved == 0)
            return SPOOL_END;
        if (moved < 0 && errno == EAGAIN)
            return SPOOL_EMPTY;
        if (moved < 0)
            return error_set_errno(error, error_write_code(errno), errno, "%s", spool->path);
        stop_here(STOP_LOG_MOVED);
        add_mark(spool, now_ms);
        spool->length += (uint64_t)moved;
        cut(spool);
    }
    return SPOOL_MORE;
}

uint64_t spool_readable(const struct spool *spool, bool ended)
{
    if (ended || spool->limit == 0 || spool->length <= spool->head_end)
        return spool->length;
    return spool->head_end;
}

int spool_read(struct spool *spool, uint64_t offset, size_t limit, struct buffer *out,
    uint64_t *ret_skipped, struct error *error)
{
    uint64_t begin = offset;
    if (spool->cut_end > spool->head_end && offset >= spool->head_end && offset < spool->cut_end)
        begin = spool->cut_end;
    /* A piece ends where the hole begins. */
    if (spool->cut_end > spool->head_end && begin < spool->head_end &&
        begin + limit > spool->head_end)
        limit = (size_t)(spool->head_end - begin);
    *ret_skipped = begin - offset;
    if (begin >= spool->length)
        return 0;
    int rc = open_file(spool, 0, error);
    if (rc != 0)
        return rc;
    ssize_t got;
    do {
        got = pread(spool->fd, buffer_reserve(out, limit), limit, (off_t)begin);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return error_set_errno(error, ERR_IO, errno, "%s", spool->path);
    out->length += (size_t)got;
    return 0;
}

/* The first mark whose bytes begin at or after offset. */
static size_t first_mark(const struct spool *spool, uint64_t offset)
{
    size_t low = 0, high = spool->mark_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (spool->marks[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct log_mark *spool_marks(
    const struct spool *spool, uint64_t from, uint64_t to, uint32_t *ret_count)
{
    size_t first = first_mark(spool, from), end = first_mark(spool, to);
    *ret_count = (uint32_t)(end - first);
    return end > first ? spool->marks + first : NULL;
}

void spool_forget_marks(struct spool *spool, uint64_t offset)
{
    size_t first = first_mark(spool, offset);
    if (first < MARKS_MAX / 16)
        return;
    spool->mark_count -= first;
    memmove(spool->marks, spool->marks + first, spool->mark_count * sizeof *spool->marks);
}
