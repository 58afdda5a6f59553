#include "worker/io/results_file.h"

#include "common/limits.h"
#include "common/table.h"

#include <assert.h>

static const char first_line[RESULTS_FILE_HEAD + 1] = "reeve-results 1\n";

struct record {
    uint32_t mark;
    uint32_t length; /* of the frame */
    uint64_t group;  /* where, in the file, what was synced ended when it was written */
    uint64_t checksum;
};
static_assert(sizeof(struct record) == 24, "a record's head has no padding");

static const uint32_t record_mark = 0x7c5b1ee5;

void results_file_begin(struct buffer *out)
{
    buffer_append(out, first_line, RESULTS_FILE_HEAD);
}

void results_file_append(struct buffer *out, struct slice frame)
{
    struct record record = {.mark = record_mark, .length = (uint32_t)frame.length};
    assert(frame.length <= FRAME_MAX_BYTES);
    buffer_append(out, &record, sizeof record);
    buffer_append_slice(out, frame);
}

static uint64_t checksum(const struct record *record, const char *frame)
{
    return hash_bytes(slice_make(frame, record->length)) ^ hash_mix(record->group + 1) ^
           hash_mix((uint64_t)record->length << 32);
}

void results_file_seal(struct buffer *bytes, size_t from, uint64_t group)
{
    struct record record;
    for (size_t i = from; i < bytes->length; i += sizeof record + record.length) {
        memcpy(&record, bytes->data + i, sizeof record);
        record.group = group;
        record.checksum = checksum(&record, bytes->data + i + sizeof record);
        memcpy(bytes->data + i, &record, sizeof record);
    }
}

/* The record at `at`, when it is whole and true. */
static bool record_read(struct slice bytes, size_t at, struct record *ret_record)
{
    if (bytes.length - at < sizeof *ret_record)
        return false;
    memcpy(ret_record, bytes.ptr + at, sizeof *ret_record);
    size_t rest = bytes.length - at - sizeof *ret_record;
    return ret_record->mark == record_mark && ret_record->length <= rest &&
           ret_record->group <= at &&
           ret_record->checksum == checksum(ret_record, bytes.ptr + at + sizeof *ret_record);
}

/* Whether a record that was written after what lies at `bad` was synced can be read behind it. */
static bool is_damaged(struct slice bytes, size_t bad)
{
    struct record record;
    for (size_t at = bad + 1; at < bytes.length; at++) {
        const char *found =
            memmem(bytes.ptr + at, bytes.length - at, &record_mark, sizeof record_mark);
        if (found == NULL)
            return false;
        at = (size_t)(found - bytes.ptr);
        if (record_read(bytes, at, &record) && record.group > bad)
            return true;
    }
    return false;
}

int results_file_read(struct slice bytes,
    int (*take)(void *context, struct slice frame, struct error *error), void *context,
    size_t *ret_length, struct error *error)
{
    struct record record;
    size_t at = RESULTS_FILE_HEAD;
    if (bytes.length < RESULTS_FILE_HEAD || memcmp(bytes.ptr, first_line, RESULTS_FILE_HEAD) != 0)
        return error_set(error, ERR_VERSION,
            "is no journal of results of this version; move it away to go on without the results "
            "in it");
    int rc = 0;
    while (rc == 0 && record_read(bytes, at, &record)) {
        rc = take(context, slice_make(bytes.ptr + at + sizeof record, record.length), error);
        at += sizeof record + record.length;
    }
    if (rc == 0 && at < bytes.length && is_damaged(bytes, at))
        rc = error_set(error, ERR_CORRUPT,
            "is damaged at byte %zu, with results behind it; move it away to go on without them",
            at);
    if (rc == 0)
        *ret_length = at;
    return rc;
}
