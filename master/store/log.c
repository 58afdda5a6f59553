/*
 * The logs of blob.h: what may be appended, and reading by offsets of the whole stream.
 */
#include "common/clock.h"
#include "common/file.h"
#include "common/limits.h"
#include "common/memory.h"
#include "master/store/log_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    /* Marks of one piece that is read; more of them are left out. */
    PIECE_MARKS_MAX = 65536,
    TAIL_BLOCK_BYTES = 64 * 1024,
};

/*
 * Makes a sealed log last, once. Others may read it meanwhile. An empty one is not worth a sync:
 * the row of its attempt says that there is nothing to be kept.
 */
static int sync_sealed(struct blob_store *store, struct log_file *file, struct error *error)
{
    if (file->synced || log_file_length(file) == 0)
        return 0;
    (void)pthread_mutex_unlock(&file->mutex);
    int rc = log_file_sync(store, file, error);
    (void)pthread_mutex_lock(&file->mutex);
    if (rc == 0)
        file->synced = true;
    return rc;
}

int log_length(struct blob_store *store, const struct attempt_id *id, uint64_t *ret_length,
    bool *ret_complete, struct error *error)
{
    struct log_file *file;
    int rc = log_file_acquire(store, id, false, &file, error);
    if (rc == ERR_NOT_FOUND) {
        *ret_length = 0;
        *ret_complete = log_is_expired(store, id);
        return 0;
    }
    if (rc != 0)
        return rc;
    /* Of an earlier process that may have ended before its sync: whoever is told "complete" drops
     * its own copy. */
    if (file->complete)
        rc = sync_sealed(store, file, error);
    if (rc == 0) {
        *ret_length = log_file_length(file);
        *ret_complete = file->complete;
    }
    log_file_release(store, file);
    return rc;
}

static int check_append(
    const struct log_file *file, const struct log_chunk *chunk, struct error *error)
{
    uint64_t length = log_file_length(file);
    if (file->complete)
        return error_set(error, ERR_REFUSED, "the log is complete with %" PRIu64 " bytes", length);
    if (chunk->offset != length)
        return error_set(error, ERR_REFUSED, "the log goes on at byte %" PRIu64 ", not at %" PRIu64,
            length, chunk->offset);
    if (chunk->skipped > INT64_MAX - length ||
        chunk->data.length > INT64_MAX - length - chunk->skipped)
        return error_set(error, ERR_REFUSED, "no log is that long");
    return 0;
}

static int append_data(struct log_file *file, struct slice data, struct error *error)
{
    if (data.length == 0)
        return 0;
    int rc = 0;
    if (lseek(file->log_fd, (off_t)file->bytes, SEEK_SET) < 0)
        rc = blob_fail(file->path, error);
    if (rc == 0)
        rc = file_write_all(file->log_fd, data.ptr, data.length, error);
    if (rc == 0) {
        file->bytes += data.length;
        log_file_sum(file, data);
        return 0;
    }
    /* What got in of it would be counted at the next start, and is right, but this process has said
     * otherwise. */
    if (ftruncate(file->log_fd, (off_t)file->bytes) != 0)
        rc = error_set_errno(error, ERR_IO, errno, "%s", file->path);
    return rc;
}

/* Those that lie in what was appended, ascend, and differ in time. Owned; *ret_count may be 0. */
static struct log_mark *select_marks(
    const struct log_file *file, uint64_t begin, const struct log_chunk *chunk, uint32_t *ret_count)
{
    struct log_mark *selected = xmalloc((chunk->mark_count + 1) * sizeof *selected);
    uint64_t end = log_file_length(file), after = begin;
    uint32_t used = 0;
    for (uint32_t i = 0; i < chunk->mark_count; i++) {
        struct log_mark mark = chunk->marks[i];
        if (mark.offset < after || mark.offset >= end)
            continue;
        if (used > 0 && mark.at == selected[used - 1].at)
            continue;
        selected[used++] = mark;
        after = mark.offset + 1;
    }
    *ret_count = used;
    return selected;
}

static int append_marks(
    struct log_file *file, uint64_t begin, const struct log_chunk *chunk, struct error *error)
{
    uint32_t used;
    struct log_mark *selected = select_marks(file, begin, chunk, &used);
    int rc = 0;
    bool first = file->first_at == 0;
    if (first)
        file->first_at = used > 0 ? selected[0].at : clock_wall_ms();
    /* The first byte's own mark needs no index. */
    if (used > 1 || file->new_sum_count > 0 || (used == 1 && !(first && file->index_fd < 0)))
        rc = log_file_add_marks(file, selected, used, error);
    free(selected);
    return rc;
}

int log_append(struct blob_store *store, const struct attempt_id *id, const struct log_chunk *chunk,
    struct error *error)
{
    struct log_file *file;
    int rc = log_file_acquire(store, id, true, &file, error);
    if (rc != 0)
        return rc;
    rc = check_append(file, chunk, error);
    if (rc == 0 && chunk->skipped > 0)
        rc = log_file_add_gap(store, file, chunk->skipped, error);
    uint64_t begin = log_file_length(file);
    if (rc == 0)
        rc = append_data(file, chunk->data, error);
    if (rc == 0)
        rc = append_marks(file, begin, chunk, error);
    log_file_release(store, file);
    return rc;
}

int log_finish(
    struct blob_store *store, const struct attempt_id *id, uint64_t length, struct error *error)
{
    struct log_file *file;
    int rc = log_file_acquire(store, id, length == 0, &file, error);
    if (rc == ERR_NOT_FOUND && log_is_expired(store, id))
        return 0;
    if (rc == ERR_NOT_FOUND)
        return error_set(error, ERR_REFUSED, "the log lacks all of its %" PRIu64 " bytes", length);
    if (rc != 0)
        return rc;
    if (log_file_length(file) != length)
        rc = error_set(error, ERR_REFUSED, "the log has %" PRIu64 " of %" PRIu64 " bytes",
            log_file_length(file), length);
    if (rc == 0 && !file->complete)
        rc = log_file_seal(file, error);
    if (rc == 0)
        rc = sync_sealed(store, file, error);
    log_file_release(store, file);
    return rc;
}

/* ---- reading ---- */

/* Where bytes of the stream lie in the file: from `at`, `count` of them in a row. */
struct extent {
    uint64_t at, count;
    uint64_t skipped; /* from the offset that was asked for to where they begin */
};

static struct extent find_extent(const struct log_file *file, uint64_t offset)
{
    uint64_t skipped_before = 0, from = offset, end = log_file_length(file);
    for (size_t i = 0; i < file->gap_count; i++) {
        const struct log_gap *gap = &file->gaps[i];
        if (from < gap->offset) {
            end = gap->offset;
            break;
        }
        skipped_before += gap->skipped;
        if (from < gap->offset + gap->skipped)
            from = gap->offset + gap->skipped;
    }
    if (from >= end)
        return (struct extent){file->bytes, 0, from - offset};
    return (struct extent){from - skipped_before, end - from, from - offset};
}

/* The number of the last record at or before the offset, or 0. */
static uint64_t find_record(const struct log_file *file, uint64_t offset)
{
    uint64_t low = 0, high = log_file_record_count(file);
    struct log_record record;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (!log_file_record(file, middle, &record))
            return low;
        if (record.offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The mark that is in force at the offset, and those up to end. */
static void read_marks(
    const struct log_file *file, struct log_piece *piece, uint64_t end, struct arena *arena)
{
    struct log_record record;
    uint64_t first = find_record(file, piece->offset), last = find_record(file, end);
    /* A gap may stand between the mark in force and the offset. */
    while (first > 0 && log_file_record(file, first, &record) && record.kind != LOG_RECORD_MARK)
        first--;
    uint64_t most = last - first + 1 < PIECE_MARKS_MAX ? last - first + 1 : PIECE_MARKS_MAX;
    piece->marks = arena_alloc(arena, (size_t)most * sizeof *piece->marks);
    if (log_file_record_count(file) == 0) {
        if (file->first_at != 0)
            piece->marks[piece->mark_count++] = (struct log_mark){0, file->first_at};
        return;
    }
    for (uint64_t i = first; i <= last && piece->mark_count < most; i++) {
        if (log_file_record(file, i, &record) && record.kind == LOG_RECORD_MARK &&
            record.offset < end)
            piece->marks[piece->mark_count++] =
                (struct log_mark){record.offset, (int64_t)record.value};
    }
}

/* How many of `length` bytes that begin at `at` are alike true or damaged; `stretches` begins where
 * the first one's stretch does. */
static size_t count_alike(const struct log_file *file, uint64_t at, struct slice stretches,
    size_t length, bool *ret_damaged)
{
    uint64_t begin = at - at % LOG_SUM_BYTES;
    size_t alike = 0;
    for (size_t i = 0; i < stretches.length && alike < length; i += LOG_SUM_BYTES) {
        size_t rest = stretches.length - i;
        struct slice stretch =
            slice_make(stretches.ptr + i, rest < LOG_SUM_BYTES ? rest : LOG_SUM_BYTES);
        bool damaged = !log_file_is_true(file, begin + i, stretch);
        if (i == 0)
            *ret_damaged = damaged;
        else if (damaged != *ret_damaged)
            return alike;
        uint64_t end = begin + i + stretch.length - at;
        alike = end < length ? (size_t)end : length;
    }
    return alike;
}

/* Whole stretches are read, for their sums. */
static int read_piece(const struct log_file *file, const struct log_range *range,
    struct buffer *out, struct log_piece *piece, struct error *error)
{
    struct extent extent = find_extent(file, range->offset);
    size_t wanted = extent.count < range->limit ? (size_t)extent.count : range->limit;
    uint64_t before = extent.at % LOG_SUM_BYTES, end = extent.at + wanted;
    end += (LOG_SUM_BYTES - end % LOG_SUM_BYTES) % LOG_SUM_BYTES;
    size_t whole = (size_t)((end < file->bytes ? end : file->bytes) - (extent.at - before));
    if (wanted > 0) {
        char *bytes = buffer_reserve(out, whole);
        ssize_t got = pread(file->log_fd, bytes, whole, (off_t)(extent.at - before));
        if (got != (ssize_t)whole)
            return error_set_errno(
                error, ERR_IO, got < 0 ? errno : EIO, "%s: read failed", file->path);
        wanted = count_alike(file, extent.at, slice_make(bytes, whole), wanted, &piece->damaged);
        memmove(bytes, bytes + before, wanted);
        out->length += wanted;
    }
    piece->offset = range->offset + extent.skipped;
    piece->skipped = extent.skipped;
    piece->next = piece->offset + wanted;
    piece->complete = file->complete && piece->next >= log_file_length(file);
    return 0;
}

int log_read(struct blob_store *store, const struct log_range *range, struct arena *arena,
    struct buffer *out, struct log_piece *ret_piece, struct error *error)
{
    struct log_file *file;
    struct log_piece piece = {.offset = range->offset, .next = range->offset};
    int rc = log_file_acquire(store, &range->id, false, &file, error);
    if (rc == ERR_NOT_FOUND) {
        piece.expired = piece.complete = log_is_expired(store, &range->id);
        *ret_piece = piece;
        return 0;
    }
    if (rc != 0)
        return rc;
    piece.known = file->complete || log_file_length(file) > 0;
    rc = read_piece(file, range, out, &piece, error);
    if (rc == 0 && piece.next > piece.offset)
        read_marks(file, &piece, piece.next, arena);
    if (rc == 0)
        *ret_piece = piece;
    log_file_release(store, file);
    return rc;
}

/* Where in the file the last `lines` lines begin. A newline at the very end begins no line. */
static int find_tail(
    const struct log_file *file, uint64_t lines, uint64_t *ret_at, struct error *error)
{
    char *block = xmalloc(TAIL_BLOCK_BYTES);
    uint64_t at = file->bytes, found = 0;
    int rc = 0;
    while (rc == 0 && at > 0) {
        size_t length = at < TAIL_BLOCK_BYTES ? (size_t)at : TAIL_BLOCK_BYTES;
        at -= length;
        if (pread(file->log_fd, block, length, (off_t)at) != (ssize_t)length) {
            rc = error_set_errno(error, ERR_IO, errno, "%s: read failed", file->path);
            break;
        }
        for (size_t i = length; i > 0; i--) {
            if (block[i - 1] != '\n' || at + i == file->bytes || ++found < lines)
                continue;
            *ret_at = at + i;
            goto out;
        }
    }
    *ret_at = 0;
out:
    free(block);
    return rc;
}

int log_tail_offset(struct blob_store *store, const struct attempt_id *id, uint64_t lines,
    uint64_t *ret_offset, struct error *error)
{
    struct log_file *file;
    int rc = log_file_acquire(store, id, false, &file, error);
    if (rc == ERR_NOT_FOUND) {
        *ret_offset = 0;
        return 0;
    }
    if (rc != 0)
        return rc;
    uint64_t at = file->bytes;
    if (lines > 0)
        rc = find_tail(file, lines, &at, error);
    if (rc == 0)
        *ret_offset = at == 0 ? 0 : log_file_stream_offset(file, at);
    log_file_release(store, file);
    return rc;
}
