/*
 * SQLite's "Database File Format", section 4: a header of 32 bytes, then frames of 24 bytes and a
 * page each; a frame's checksum goes on from the one before it, and from the header's.
 */
#include "master/store/store_wal.h"

#include "common/file.h"
#include "common/memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    HEADER_BYTES = 32,
    FRAME_HEADER_BYTES = 24,
    MAGIC = 0x377f0682, /* with the lowest bit: sums are of big-endian words */
    FORMAT = 3007000,
    PAGE_SIZE_AT = 8,
    HEADER_SALTS_AT = 16,
    HEADER_SUM_AT = 24,
    COMMIT_AT = 4, /* in a frame: not 0 in the last one of a transaction */
    SALTS_AT = 8,
    SUM_AT = 16,
};

struct sum {
    uint32_t a, b;
};

struct wal {
    const unsigned char *bytes;
    bool big_endian;
    size_t frame_bytes;
    size_t frame_count; /* whole ones */
};

static uint32_t big(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t little(const unsigned char *at)
{
    return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

static struct sum sum_of(bool big_endian, struct sum sum, const unsigned char *bytes, size_t length)
{
    for (const unsigned char *at = bytes; at < bytes + length; at += 8) {
        sum.a += (big_endian ? big(at) : little(at)) + sum.b;
        sum.b += (big_endian ? big(at + 4) : little(at + 4)) + sum.a;
    }
    return sum;
}

static struct sum sum_at(const unsigned char *at)
{
    return (struct sum){big(at), big(at + 4)};
}

static bool sum_equal(struct sum x, struct sum y)
{
    return x.a == y.a && x.b == y.b;
}

static const unsigned char *frame_at(const struct wal *wal, size_t i)
{
    return wal->bytes + HEADER_BYTES + i * wal->frame_bytes;
}

/* What the frame's sum should be, when `before` is the one before it. */
static struct sum frame_sum(const struct wal *wal, size_t i, struct sum before)
{
    const unsigned char *frame = frame_at(wal, i);
    struct sum sum = sum_of(wal->big_endian, before, frame, SALTS_AT);
    return sum_of(
        wal->big_endian, sum, frame + FRAME_HEADER_BYTES, wal->frame_bytes - FRAME_HEADER_BYTES);
}

static struct sum stored_sum(const struct wal *wal, size_t i)
{
    return sum_at(frame_at(wal, i) + SUM_AT);
}

static struct sum sum_before(const struct wal *wal, size_t i)
{
    return i == 0 ? sum_at(wal->bytes + HEADER_SUM_AT) : stored_sum(wal, i - 1);
}

/* Frames of the log's last time round have other salts than the header. */
static bool is_of_this_round(const struct wal *wal, size_t i)
{
    return memcmp(frame_at(wal, i) + SALTS_AT, wal->bytes + HEADER_SALTS_AT, 8) == 0;
}

static bool is_true(const struct wal *wal, size_t i)
{
    return sum_equal(frame_sum(wal, i, sum_before(wal, i)), stored_sum(wal, i));
}

static bool is_commit(const struct wal *wal, size_t i)
{
    return big(frame_at(wal, i) + COMMIT_AT) != 0;
}

/* Whether the frame at `bad`, where the readable part ends, was synced as a good one. */
static bool was_good(const struct wal *wal, size_t bad)
{
    struct sum sum = frame_sum(wal, bad, sum_before(wal, bad));
    if (!is_of_this_round(wal, bad))
        return sum_equal(sum, stored_sum(wal, bad)); /* only its salts are wrong */
    if (bad + 1 < wal->frame_count &&
        sum_equal(frame_sum(wal, bad + 1, sum), stored_sum(wal, bad + 1)))
        return true; /* only its sum is wrong */
    bool ended = is_commit(wal, bad);
    for (size_t i = bad + 1; i < wal->frame_count; i++) {
        if (!is_of_this_round(wal, i) || !is_true(wal, i))
            continue;
        if (ended)
            return true;
        ended = is_commit(wal, i);
    }
    return false;
}

/* False for a header that sqlite would not take either. */
static bool read_header(struct slice bytes, struct wal *wal)
{
    wal->bytes = (const unsigned char *)bytes.ptr;
    uint32_t magic = big(wal->bytes), page_size = big(wal->bytes + PAGE_SIZE_AT);
    if ((magic & ~1u) != MAGIC || big(wal->bytes + 4) != FORMAT || page_size < 512 ||
        page_size > 65536 || (page_size & (page_size - 1)) != 0)
        return false;
    wal->big_endian = magic & 1;
    wal->frame_bytes = FRAME_HEADER_BYTES + page_size;
    wal->frame_count = (bytes.length - HEADER_BYTES) / wal->frame_bytes;
    struct sum sum = sum_of(wal->big_endian, (struct sum){0}, wal->bytes, HEADER_SUM_AT);
    return sum_equal(sum, sum_at(wal->bytes + HEADER_SUM_AT));
}

static int check(struct slice bytes, const char *path, struct error *error)
{
    struct wal wal;
    /* It is synced before the first frame is written: one that is torn has nothing behind it. */
    if (bytes.length == HEADER_BYTES)
        return 0;
    if (bytes.length < HEADER_BYTES || !read_header(bytes, &wal))
        return error_set(error, ERR_CORRUPT,
            "%s: damaged: its first bytes are not those of a log, and it may hold acknowledged "
            "work; "
            "restore a backup, or move it away to go on without",
            path);
    size_t good = 0;
    while (good < wal.frame_count && is_of_this_round(&wal, good) && is_true(&wal, good))
        good++;
    if (good == wal.frame_count || !was_good(&wal, good))
        return 0;
    size_t at = (size_t)(frame_at(&wal, good) - wal.bytes);
    return error_set(error, ERR_CORRUPT,
        "%s: damaged at byte %zu, and acknowledged work lies behind it; restore a backup, or "
        "cut it off there to go on without (truncate -s %zu)",
        path, at, at);
}

int store_check_wal(const char *path, struct error *error)
{
    char *wal = xasprintf("%s-wal", path);
    struct slice bytes;
    struct error trouble = {0};
    int rc = file_map(wal, &bytes, &trouble);
    if (rc == 0) {
        rc = check(bytes, wal, error);
        file_unmap(bytes);
    } else if (rc == ERR_NOT_FOUND || rc == ERR_CORRUPT) {
        rc = 0; /* none, or an empty one */
    } else if (error != NULL) {
        *error = trouble;
    }
    free(wal);
    return rc;
}
