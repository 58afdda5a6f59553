#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/memory.h"
#include "master/store/blob.h"
#include "master/store/log_sum.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char folder[64];
    struct blob_store *store;
    struct arena arena;
    struct buffer out;
};

static const struct attempt_id id = {0xfedcba9876543210, 7, 0, 2};

static void open_blobs(struct fixture *fixture)
{
    struct error error = {0};
    if (blob_open(fixture->folder, &fixture->store, &error) != 0)
        fail_msg("%s", error.text);
}

static void reopen(struct fixture *fixture)
{
    blob_close(fixture->store);
    open_blobs(fixture);
}

static int set_up(void **state)
{
    struct fixture *fixture = xcalloc(1, sizeof *fixture);
    (void)strcpy(fixture->folder, "/tmp/reeve-blob-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    open_blobs(fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    blob_close(fixture->store);
    assert_int_equal(file_remove_tree(fixture->folder, NULL), 0);
    arena_fini(&fixture->arena);
    buffer_fini(&fixture->out);
    free(fixture);
    return 0;
}

static struct hash put(struct fixture *fixture, const char *text)
{
    struct hash hash;
    struct error error = {0};
    if (blob_put(fixture->store, slice_of(text), &hash, &error) != 0)
        fail_msg("%s", error.text);
    return hash;
}

static size_t count_staged(const struct fixture *fixture)
{
    char *command = xasprintf("ls -A %s/blobs/tmp | wc -l", fixture->folder);
    FILE *pipe = popen(command, "r");
    size_t count;
    assert_int_equal(fscanf(pipe, "%zu", &count), 1);
    (void)pclose(pipe);
    free(command);
    return count;
}

/* ---- by content ---- */

static void blob_put_comes_back_by_its_hash(void **state)
{
    struct fixture *fixture = *state;
    struct hash hash = put(fixture, "content"), expected;
    hash_of(slice_of("content"), &expected);
    assert_memory_equal(&hash, &expected, sizeof hash);
    uint64_t bytes = 0;
    assert_true(blob_has(fixture->store, &hash, &bytes));
    assert_int_equal(bytes, 7);
    struct slice mapped;
    assert_int_equal(blob_map(fixture->store, &hash, &mapped, NULL), 0);
    assert_true(slice_is(mapped, "content"));
    file_unmap(mapped);
    struct blob_range range = {3, 100};
    assert_int_equal(blob_read(fixture->store, &hash, &range, &fixture->out, &bytes, NULL), 0);
    assert_string_equal(buffer_text(&fixture->out), "tent");
    range.offset = 9;
    assert_int_equal(blob_read(fixture->store, &hash, &range, &fixture->out, &bytes, NULL), 0);
    assert_int_equal(fixture->out.length, 4);
    assert_int_equal(count_staged(fixture), 0);
}

static void blob_path_is_the_layout_that_workers_read(void **state)
{
    struct fixture *fixture = *state;
    struct hash hash = put(fixture, "content");
    char hex[HASH_HEX_MAX], path[BLOB_PATH_MAX];
    hash_hex(&hash, hex);
    blob_path(fixture->store, &hash, path);
    char *expected = xasprintf("%s/blobs/%.2s/%s", fixture->folder, hex, hex + 2);
    assert_string_equal(path, expected);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    *strrchr(expected, '/') = '\0';
    assert_int_equal(stat(expected, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    free(expected);
}

static void blob_empty_is_a_blob(void **state)
{
    struct fixture *fixture = *state;
    struct hash hash = put(fixture, "");
    struct slice mapped;
    assert_int_equal(blob_map(fixture->store, &hash, &mapped, NULL), 0);
    assert_int_equal(mapped.length, 0);
    file_unmap(mapped);
}

static void blob_put_twice_is_written_once(void **state)
{
    struct fixture *fixture = *state;
    struct hash hash = put(fixture, "content");
    char path[BLOB_PATH_MAX];
    struct stat before, after;
    blob_path(fixture->store, &hash, path);
    assert_int_equal(stat(path, &before), 0);
    (void)put(fixture, "content");
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

static void blob_missing_is_not_found(void **state)
{
    struct fixture *fixture = *state;
    struct hash hash = {{1}};
    struct slice mapped;
    uint64_t bytes;
    assert_false(blob_has(fixture->store, &hash, NULL));
    assert_int_equal(blob_map(fixture->store, &hash, &mapped, NULL), ERR_NOT_FOUND);
    struct blob_range range = {0, 1};
    assert_int_equal(
        blob_read(fixture->store, &hash, &range, &fixture->out, &bytes, NULL), ERR_NOT_FOUND);
}

static void blob_flipped_is_corrupt(void **state)
{
    struct fixture *fixture = *state;
    struct hash hash = put(fixture, "content");
    char path[BLOB_PATH_MAX];
    blob_path(fixture->store, &hash, path);
    assert_int_equal(file_replace(path, slice_of("Content"), 0600, NULL), 0);
    struct slice mapped;
    struct error error = {0};
    assert_int_equal(blob_map(fixture->store, &hash, &mapped, &error), ERR_CORRUPT);
    assert_non_null(strstr(error.text, "damaged"));
}

static void blob_leftovers_of_a_crash_go_and_uploads_stay(void **state)
{
    struct fixture *fixture = *state;
    char *half = xasprintf("%s/blobs/tmp/" FILE_TEMPORARY_PREFIX "abc", fixture->folder);
    int fd = open(half, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    struct hash hash;
    hash_of(slice_of("0123456789"), &hash);
    struct blob_upload *upload;
    uint64_t offset = 99;
    assert_int_equal(blob_upload_open(fixture->store, &hash, 10, &upload, &offset, NULL), 0);
    assert_int_equal(offset, 0);
    assert_int_equal(blob_upload_write(upload, 0, slice_of("0123"), NULL), 0);
    blob_upload_close(upload);
    reopen(fixture);
    assert_int_not_equal(access(half, F_OK), 0);
    assert_int_equal(blob_upload_open(fixture->store, &hash, 10, &upload, &offset, NULL), 0);
    assert_int_equal(offset, 4);
    assert_int_equal(blob_upload_write(upload, 4, slice_of("456789"), NULL), 0);
    assert_int_equal(blob_upload_finish(upload, NULL), 0);
    blob_upload_close(upload);
    assert_true(blob_has(fixture->store, &hash, NULL));
    assert_int_equal(count_staged(fixture), 0);
    assert_int_equal(blob_upload_open(fixture->store, &hash, 10, &upload, &offset, NULL), 0);
    assert_int_equal(offset, 10);
    assert_int_equal(blob_upload_finish(upload, NULL), 0);
    blob_upload_close(upload);
    free(half);
}

static void upload_out_of_place_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct hash hash;
    hash_of(slice_of("0123456789"), &hash);
    struct blob_upload *upload;
    uint64_t offset;
    assert_int_equal(blob_upload_open(fixture->store, &hash, 10, &upload, &offset, NULL), 0);
    assert_int_equal(blob_upload_write(upload, 1, slice_of("1"), NULL), ERR_REFUSED);
    assert_int_equal(blob_upload_write(upload, 0, slice_of("0123456789x"), NULL), ERR_REFUSED);
    assert_int_equal(blob_upload_write(upload, 0, slice_of("01234"), NULL), 0);
    assert_int_equal(blob_upload_write(upload, 0, slice_of("01234"), NULL), ERR_REFUSED);
    assert_int_equal(blob_upload_finish(upload, NULL), ERR_REFUSED);
    blob_upload_close(upload);
}

static void upload_of_other_content_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    struct hash hash;
    hash_of(slice_of("0123456789"), &hash);
    struct blob_upload *upload;
    uint64_t offset;
    assert_int_equal(blob_upload_open(fixture->store, &hash, 10, &upload, &offset, NULL), 0);
    assert_int_equal(blob_upload_write(upload, 0, slice_of("0123456780"), NULL), 0);
    assert_int_equal(blob_upload_finish(upload, NULL), ERR_CORRUPT);
    blob_upload_close(upload);
    assert_false(blob_has(fixture->store, &hash, NULL));
    assert_int_equal(blob_upload_open(fixture->store, &hash, 10, &upload, &offset, NULL), 0);
    assert_int_equal(offset, 0);
    blob_upload_close(upload);
}

static void upload_twice_at_once_ends_well(void **state)
{
    struct fixture *fixture = *state;
    struct hash hash;
    hash_of(slice_of("0123456789"), &hash);
    struct blob_upload *first, *second;
    uint64_t offset;
    assert_int_equal(blob_upload_open(fixture->store, &hash, 10, &first, &offset, NULL), 0);
    assert_int_equal(blob_upload_write(first, 0, slice_of("0123"), NULL), 0);
    assert_int_equal(blob_upload_open(fixture->store, &hash, 10, &second, &offset, NULL), 0);
    assert_int_equal(offset, 0);
    assert_int_equal(blob_upload_write(second, 0, slice_of("0123456789"), NULL), 0);
    assert_int_equal(blob_upload_finish(second, NULL), 0);
    assert_int_equal(blob_upload_write(first, 4, slice_of("456789"), NULL), 0);
    assert_int_equal(blob_upload_finish(first, NULL), 0);
    blob_upload_close(first);
    blob_upload_close(second);
    struct slice mapped;
    assert_int_equal(blob_map(fixture->store, &hash, &mapped, NULL), 0);
    file_unmap(mapped);
    assert_int_equal(count_staged(fixture), 0);
}

/* ---- logs ---- */

static void append(
    struct fixture *fixture, uint64_t offset, uint64_t skipped, const char *text, int64_t at)
{
    struct log_mark mark = {offset + skipped, at};
    struct log_chunk chunk = {offset, skipped, slice_of(text), &mark, 1};
    struct error error = {0};
    if (log_append(fixture->store, &id, &chunk, &error) != 0)
        fail_msg("%s", error.text);
}

static uint64_t length_of(struct fixture *fixture, bool *ret_complete)
{
    uint64_t length = 0;
    bool complete = false;
    struct error error = {0};
    if (log_length(fixture->store, &id, &length, &complete, &error) != 0)
        fail_msg("%s", error.text);
    if (ret_complete != NULL)
        *ret_complete = complete;
    return length;
}

static struct log_piece read_at(struct fixture *fixture, uint64_t offset, uint32_t limit)
{
    struct log_range range = {id, offset, limit};
    struct log_piece piece;
    struct error error = {0};
    buffer_clear(&fixture->out);
    if (log_read(fixture->store, &range, &fixture->arena, &fixture->out, &piece, &error) != 0)
        fail_msg("%s", error.text);
    return piece;
}

static char *log_path(const struct fixture *fixture, const char *ending)
{
    return xasprintf("%s/logs/fedcba9876543210/7.0.2.%s", fixture->folder, ending);
}

static bool has_index(const struct fixture *fixture)
{
    char *path = log_path(fixture, "idx");
    bool has = access(path, F_OK) == 0;
    free(path);
    return has;
}

static void log_unknown_is_empty_and_unknown(void **state)
{
    struct fixture *fixture = *state;
    bool complete = true;
    assert_int_equal(length_of(fixture, &complete), 0);
    assert_false(complete);
    struct log_piece piece = read_at(fixture, 5, 100);
    assert_false(piece.known || piece.complete);
    assert_int_equal(piece.next, 5);
    uint64_t offset = 9;
    assert_int_equal(log_tail_offset(fixture->store, &id, 3, &offset, NULL), 0);
    assert_int_equal(offset, 0);
    assert_int_equal(log_finish(fixture->store, &id, 3, NULL), ERR_REFUSED);
}

static void log_of_one_line_needs_one_file(void **state)
{
    struct fixture *fixture = *state;
    append(fixture, 0, 0, "hello\n", 1000);
    assert_int_equal(log_finish(fixture->store, &id, 6, NULL), 0);
    assert_false(has_index(fixture));
    for (int round = 0; round < 2; round++) {
        bool complete;
        assert_int_equal(length_of(fixture, &complete), 6);
        assert_true(complete);
        struct log_piece piece = read_at(fixture, 0, 100);
        assert_string_equal(buffer_text(&fixture->out), "hello\n");
        assert_true(piece.known && piece.complete && piece.next == 6);
        assert_int_equal(piece.mark_count, 1);
        assert_true(piece.marks[0].offset == 0 && piece.marks[0].at == 1000);
        reopen(fixture);
    }
}

static void log_pieces_join_with_their_marks(void **state)
{
    struct fixture *fixture = *state;
    append(fixture, 0, 0, "one\n", 1000);
    append(fixture, 4, 0, "two\n", 2000);
    append(fixture, 8, 0, "three\n", 3000);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(length_of(fixture, NULL), 14);
        struct log_piece piece = read_at(fixture, 5, 5);
        assert_string_equal(buffer_text(&fixture->out), "wo\nth");
        assert_true(piece.offset == 5 && piece.next == 10 && !piece.complete && piece.known);
        assert_int_equal(piece.mark_count, 2);
        assert_true(piece.marks[0].offset == 4 && piece.marks[0].at == 2000);
        assert_true(piece.marks[1].offset == 8 && piece.marks[1].at == 3000);
        piece = read_at(fixture, 0, 4);
        assert_true(piece.mark_count == 1 && piece.marks[0].at == 1000);
        reopen(fixture);
    }
    assert_int_equal(log_finish(fixture->store, &id, 14, NULL), 0);
    reopen(fixture);
    struct log_piece piece = read_at(fixture, 14, 5);
    assert_true(piece.complete && piece.next == 14 && fixture->out.length == 0);
}

static void log_appended_out_of_place_is_refused(void **state)
{
    struct fixture *fixture = *state;
    append(fixture, 0, 0, "one\n", 1000);
    struct error error = {0};
    struct log_chunk again = {.offset = 0, .data = slice_of("one\n")};
    struct log_chunk beyond = {.offset = 5, .data = slice_of("x")};
    struct log_chunk endless = {.offset = 4, .skipped = UINT64_MAX, .data = slice_of("x")};
    struct log_chunk next = {.offset = 4, .data = slice_of("x")};
    assert_int_equal(log_append(fixture->store, &id, &again, &error), ERR_REFUSED);
    assert_int_equal(log_append(fixture->store, &id, &beyond, &error), ERR_REFUSED);
    assert_int_equal(log_append(fixture->store, &id, &endless, &error), ERR_REFUSED);
    assert_int_equal(log_finish(fixture->store, &id, 5, &error), ERR_REFUSED);
    assert_int_equal(log_finish(fixture->store, &id, 4, &error), 0);
    assert_int_equal(log_finish(fixture->store, &id, 4, &error), 0);
    assert_int_equal(log_finish(fixture->store, &id, 5, &error), ERR_REFUSED);
    assert_int_equal(log_append(fixture->store, &id, &next, &error), ERR_REFUSED);
}

static void log_offsets_count_what_was_cut(void **state)
{
    struct fixture *fixture = *state;
    append(fixture, 0, 0, "head\n", 1000);
    append(fixture, 5, 1000, "tail\n", 2000);
    struct log_chunk gap = {.offset = 1010, .skipped = 7};
    assert_int_equal(log_append(fixture->store, &id, &gap, NULL), 0);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(length_of(fixture, NULL), 1017);
        struct log_piece piece = read_at(fixture, 0, 100);
        assert_string_equal(buffer_text(&fixture->out), "head\n");
        assert_true(piece.offset == 0 && piece.skipped == 0 && piece.next == 5);
        assert_true(piece.mark_count == 1 && piece.marks[0].at == 1000);
        piece = read_at(fixture, 5, 100);
        assert_string_equal(buffer_text(&fixture->out), "tail\n");
        assert_true(piece.offset == 1005 && piece.skipped == 1000 && piece.next == 1010);
        assert_true(piece.mark_count >= 1 && piece.marks[piece.mark_count - 1].at == 2000);
        piece = read_at(fixture, 700, 2);
        assert_string_equal(buffer_text(&fixture->out), "ta");
        assert_true(piece.offset == 1005 && piece.skipped == 305 && piece.next == 1007);
        piece = read_at(fixture, 1010, 100);
        assert_true(piece.skipped == 7 && piece.next == 1017 && piece.complete == (round == 2));
        uint64_t offset;
        assert_int_equal(log_tail_offset(fixture->store, &id, 1, &offset, NULL), 0);
        assert_int_equal(offset, 1005);
        assert_int_equal(log_tail_offset(fixture->store, &id, 2, &offset, NULL), 0);
        assert_int_equal(offset, 0);
        if (round == 1)
            assert_int_equal(log_finish(fixture->store, &id, 1017, NULL), 0);
        reopen(fixture);
    }
}

static void log_finished_empty_is_known(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(log_finish(fixture->store, &id, 0, NULL), 0);
    for (int round = 0; round < 2; round++) {
        struct log_piece piece = read_at(fixture, 0, 10);
        assert_true(piece.known && piece.complete && piece.next == 0);
        reopen(fixture);
    }
}

/* What is on disk after a crash between the steps of log_finish. */
enum { TRAILER_BYTES = 40 };

static void log_seal_without_its_trailer_is_not_complete(void **state)
{
    struct fixture *fixture = *state;
    char *path = log_path(fixture, "log");
    for (size_t torn = 0; torn <= TRAILER_BYTES; torn++) {
        struct buffer text = {0};
        for (int i = 0; i < 30; i++)
            buffer_printf(&text, "line %d\n", i);
        append(fixture, 0, 0, buffer_text(&text), 1000);
        assert_int_equal(log_finish(fixture->store, &id, text.length, NULL), 0);
        blob_close(fixture->store);
        assert_int_equal(truncate(path, (off_t)(text.length + torn)), 0);
        open_blobs(fixture);
        bool complete;
        uint64_t length = length_of(fixture, &complete);
        assert_true(complete == (torn == TRAILER_BYTES));
        assert_true(length <= text.length && length + TRAILER_BYTES >= text.length);
        if (!complete) {
            append(fixture, length, 0, text.data + length, 1000);
            assert_int_equal(log_finish(fixture->store, &id, text.length, NULL), 0);
        }
        (void)read_at(fixture, 0, 10000);
        assert_true(slice_equal(buffer_slice(&fixture->out), buffer_slice(&text)));
        buffer_fini(&text);
        blob_close(fixture->store);
        assert_int_equal(unlink(path), 0);
        open_blobs(fixture);
    }
    free(path);
}

/* A task can print a trailer; only the store can make its file read-only. */
static void log_that_prints_a_trailer_is_not_complete(void **state)
{
    struct fixture *fixture = *state;
    append(fixture, 0, 0, "x", 1000);
    assert_int_equal(log_finish(fixture->store, &id, 1, NULL), 0);
    blob_close(fixture->store);
    char *path = log_path(fixture, "log");
    assert_int_equal(chmod(path, 0600), 0);
    open_blobs(fixture);
    bool complete;
    assert_int_equal(length_of(fixture, &complete), 1 + TRAILER_BYTES);
    assert_false(complete);
    free(path);
}

/* ---- checksums ---- */

static void flip_byte(const struct fixture *fixture, const char *ending, off_t at)
{
    char *path = log_path(fixture, ending);
    struct stat status;
    char byte = 0;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(chmod(path, 0600), 0);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(chmod(path, status.st_mode & 0777), 0);
    free(path);
}

/* Reads all of it; returns how many bytes were said to be damaged, *ret_first where they begin. */
static uint64_t read_damaged(struct fixture *fixture, uint64_t length, uint64_t *ret_first)
{
    uint64_t damaged = 0, offset = 0;
    while (offset < length) {
        struct log_piece piece = read_at(fixture, offset, 5000);
        assert_true(piece.next > offset);
        if (piece.damaged && damaged == 0)
            *ret_first = piece.offset;
        damaged += piece.damaged ? piece.next - piece.offset : 0;
        offset = piece.next;
    }
    return damaged;
}

enum { LARGE = 3 * LOG_SUM_BYTES + 1234, GAP_AT = LOG_SUM_BYTES + 100, GAP_BYTES = 7000 };

/* With a cut part in the second stretch of the file, in appends of all sizes. */
static void append_large(struct fixture *fixture)
{
    static const size_t sizes[] = {1, 7, 4096, 30000, 100};
    char *text = xmalloc(LARGE + 1);
    size_t at = 0, limit = GAP_AT;
    for (size_t i = 0; i < LARGE; i++)
        text[i] = (char)('a' + i % 23);
    for (size_t i = 0; at < LARGE; i++) {
        size_t length = sizes[i % 5] < limit - at ? sizes[i % 5] : limit - at;
        uint64_t skipped = at == GAP_AT ? GAP_BYTES : 0;
        uint64_t offset = at > GAP_AT ? at + GAP_BYTES : at;
        struct log_mark mark = {offset + skipped, (int64_t)(1000 + i)};
        struct log_chunk chunk = {offset, skipped, slice_make(text + at, length), &mark, 1};
        assert_int_equal(log_append(fixture->store, &id, &chunk, NULL), 0);
        at += length;
        if (at == GAP_AT)
            limit = LARGE;
        if (i % 4 == 3)
            reopen(fixture);
    }
    free(text);
}

static void log_flipped_byte_is_told_and_the_rest_is_read(void **state)
{
    static const off_t flips[] = {
        0, LOG_SUM_BYTES - 1, LOG_SUM_BYTES, 2 * LOG_SUM_BYTES + 5, 3 * LOG_SUM_BYTES, LARGE - 1};
    struct fixture *fixture = *state;
    uint64_t first = 0;
    append_large(fixture);
    assert_int_equal(read_damaged(fixture, LARGE + GAP_BYTES, &first), 0);
    for (int sealed = 0; sealed < 2; sealed++) {
        if (sealed)
            assert_int_equal(log_finish(fixture->store, &id, LARGE + GAP_BYTES, NULL), 0);
        reopen(fixture);
        assert_int_equal(read_damaged(fixture, LARGE + GAP_BYTES, &first), 0);
        for (size_t i = 0; i < sizeof flips / sizeof flips[0]; i++) {
            uint64_t begin = (uint64_t)(flips[i] - flips[i] % LOG_SUM_BYTES);
            uint64_t rest = LARGE - begin;
            flip_byte(fixture, "log", flips[i]);
            assert_int_equal(read_damaged(fixture, LARGE + GAP_BYTES, &first),
                rest < LOG_SUM_BYTES ? rest : LOG_SUM_BYTES);
            assert_int_equal(first, begin > GAP_AT ? begin + GAP_BYTES : begin);
            flip_byte(fixture, "log", flips[i]);
        }
    }
    /* What stands in no sum any more cannot be told, and is read. */
    flip_byte(fixture, "idx", 8 + 24);
    reopen(fixture);
    (void)read_damaged(fixture, LARGE, &first);
}

static void log_torn_index_keeps_what_agrees(void **state)
{
    struct fixture *fixture = *state;
    char *path = log_path(fixture, "idx");
    append(fixture, 0, 0, "one\n", 1000);
    append(fixture, 4, 100, "two\n", 2000);
    append(fixture, 108, 0, "three\n", 3000);
    blob_close(fixture->store);
    struct buffer good = {0};
    assert_int_equal(file_read(path, 1 << 20, &good, NULL), 0);
    for (size_t length = 0; length <= good.length; length++) {
        assert_int_equal(file_replace(path, slice_make(good.data, length), 0600, NULL), 0);
        open_blobs(fixture);
        uint64_t have = length_of(fixture, NULL);
        /* Without its gap's record the offset is less: the worker sends again from there. */
        assert_true(have == 114 || have == 14);
        assert_int_equal(have == 114, length >= 8 + 2 * 24);
        (void)read_at(fixture, 0, 1000);
        blob_close(fixture->store);
    }
    buffer_fini(&good);
    open_blobs(fixture);
    free(path);
}

static void log_flipped_index_is_survived(void **state)
{
    struct fixture *fixture = *state;
    char *path = log_path(fixture, "idx");
    for (uint64_t i = 0; i < 20; i++)
        append(fixture, i == 0 ? 0 : i * 15 - 10, i == 0 ? 0 : 10, "12345", (int64_t)(1000 + i));
    blob_close(fixture->store);
    struct buffer good = {0};
    assert_int_equal(file_read(path, 1 << 20, &good, NULL), 0);
    for (size_t at = 0; at < good.length; at += 3) {
        good.data[at] = (char)(good.data[at] ^ 0x41);
        assert_int_equal(file_replace(path, buffer_slice(&good), 0600, NULL), 0);
        good.data[at] = (char)(good.data[at] ^ 0x41);
        open_blobs(fixture);
        uint64_t length = length_of(fixture, NULL), offset = 0;
        assert_true(length >= 100 && length <= 290);
        while (offset < length) {
            struct log_piece piece = read_at(fixture, offset, 7);
            assert_true(piece.next > offset);
            offset = piece.next;
        }
        assert_int_equal(log_tail_offset(fixture->store, &id, 5, &offset, NULL), 0);
        blob_close(fixture->store);
    }
    buffer_fini(&good);
    open_blobs(fixture);
    free(path);
}

static void log_cut_file_goes_on_from_what_is_there(void **state)
{
    struct fixture *fixture = *state;
    append(fixture, 0, 0, "one\n", 1000);
    append(fixture, 4, 0, "two\n", 2000);
    append(fixture, 8, 0, "three\n", 3000);
    blob_close(fixture->store);
    char *path = log_path(fixture, "log");
    assert_int_equal(truncate(path, 6), 0);
    open_blobs(fixture);
    assert_int_equal(length_of(fixture, NULL), 6);
    append(fixture, 6, 0, "o\n", 2500);
    append(fixture, 8, 0, "three\n", 3500);
    struct log_piece piece = read_at(fixture, 0, 100);
    assert_string_equal(buffer_text(&fixture->out), "one\ntwo\nthree\n");
    assert_int_equal(piece.marks[piece.mark_count - 1].at, 3500);
    for (uint32_t i = 1; i < piece.mark_count; i++)
        assert_true(piece.marks[i].offset > piece.marks[i - 1].offset);
    free(path);
}

static void log_tail_begins_at_lines(void **state)
{
    struct fixture *fixture = *state;
    struct buffer text = {0};
    for (int i = 0; i < 50000; i++)
        buffer_printf(&text, "%06d\n", i);
    append(fixture, 0, 0, buffer_text(&text), 1000);
    static const struct {
        uint64_t lines, offset;
    } cases[] = {{0, 350000}, {1, 349993}, {2, 349986}, {20000, 210000}, {50000, 0}, {90000, 0}};
    uint64_t offset;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(log_tail_offset(fixture->store, &id, cases[i].lines, &offset, NULL), 0);
        assert_int_equal(offset, cases[i].offset);
    }
    append(fixture, 350000, 0, "no newline", 2000);
    assert_int_equal(log_tail_offset(fixture->store, &id, 2, &offset, NULL), 0);
    assert_int_equal(offset, 349993);
    buffer_fini(&text);
}

static void log_many_are_open_one_after_another(void **state)
{
    struct fixture *fixture = *state;
    for (int round = 0; round < 2; round++) {
        for (uint32_t task = 0; task < 300; task++) {
            struct attempt_id other = {1 + task % 7, task, 3, 1};
            struct log_mark mark = {(uint64_t)round, round};
            struct log_chunk chunk = {(uint64_t)round, 0, slice_of("x"), &mark, 1};
            assert_int_equal(log_append(fixture->store, &other, &chunk, NULL), 0);
        }
    }
    /* 64 logs of two files each, and a few of the test's own. */
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fd < 150);
    (void)close(fd);
    for (uint32_t task = 0; task < 300; task++) {
        struct attempt_id other = {1 + task % 7, task, 3, 1};
        assert_int_equal(log_finish(fixture->store, &other, 2, NULL), 0);
    }
}

/* ---- threads ---- */

struct worker {
    struct blob_store *store;
    uint32_t number;
    int failures;
};

static void *write_logs(void *context)
{
    struct worker *worker = context;
    for (uint32_t i = 0; i < 40; i++) {
        struct attempt_id own = {5, worker->number * 1000 + i, 0, 1};
        struct log_mark mark = {0, 5};
        struct log_chunk chunk = {0, 0, slice_of("line\n"), &mark, 1};
        struct hash hash;
        char text[32];
        (void)snprintf(text, sizeof text, "shared %u", i);
        worker->failures += log_append(worker->store, &own, &chunk, NULL) != 0;
        worker->failures += log_finish(worker->store, &own, 5, NULL) != 0;
        worker->failures += blob_put(worker->store, slice_of(text), &hash, NULL) != 0;
        worker->failures += !blob_has(worker->store, &hash, NULL);
    }
    return NULL;
}

static void blob_threads_do_not_disturb_each_other(void **state)
{
    struct fixture *fixture = *state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){fixture->store, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, write_logs, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].failures, 0);
    }
    assert_int_equal(count_staged(fixture), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    hash_start();
    const struct CMUnitTest tests[] = {
        TEST(blob_put_comes_back_by_its_hash),
        TEST(blob_path_is_the_layout_that_workers_read),
        TEST(blob_empty_is_a_blob),
        TEST(blob_put_twice_is_written_once),
        TEST(blob_missing_is_not_found),
        TEST(blob_flipped_is_corrupt),
        TEST(blob_leftovers_of_a_crash_go_and_uploads_stay),
        TEST(upload_out_of_place_is_refused),
        TEST(upload_of_other_content_is_dropped),
        TEST(upload_twice_at_once_ends_well),
        TEST(log_unknown_is_empty_and_unknown),
        TEST(log_of_one_line_needs_one_file),
        TEST(log_pieces_join_with_their_marks),
        TEST(log_appended_out_of_place_is_refused),
        TEST(log_offsets_count_what_was_cut),
        TEST(log_finished_empty_is_known),
        TEST(log_seal_without_its_trailer_is_not_complete),
        TEST(log_that_prints_a_trailer_is_not_complete),
        TEST(log_flipped_byte_is_told_and_the_rest_is_read),
        TEST(log_torn_index_keeps_what_agrees),
        TEST(log_flipped_index_is_survived),
        TEST(log_cut_file_goes_on_from_what_is_there),
        TEST(log_tail_begins_at_lines),
        TEST(log_many_are_open_one_after_another),
        TEST(blob_threads_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests_name("blob", tests, NULL, NULL);
}
