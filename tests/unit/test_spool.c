#include "worker/io/spool.h"

#include "common/file.h"
#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct attempt_id id = {.run = 1, .task = 2, .attempt = 3};

/* A spool in a folder of its own, and a pipe that feeds it. */
struct fixture {
    char folder[32];
    int pipe[2];
    struct spool spool;
    uint64_t now_ms;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/reeve-XXXXXX");
    f->now_ms = 1000;
    return mkdtemp(f->folder) == NULL || pipe2(f->pipe, O_CLOEXEC) != 0 ||
           spool_open(&f->spool, f->folder, &id, NULL) != 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    spool_close(&f->spool);
    for (int i = 0; i < 2; i++) {
        if (f->pipe[i] >= 0)
            (void)close(f->pipe[i]);
    }
    int rc = file_remove_tree(f->folder, NULL);
    free(f);
    return rc;
}

/* The byte that the stream has at this offset. */
static char byte_at(uint64_t offset)
{
    return (char)('a' + offset / 1000 % 26);
}

/* Writes so many bytes of the stream and takes them, in pieces that fit the pipe. */
static void feed(struct fixture *f, uint64_t bytes)
{
    char piece[32768];
    while (bytes > 0) {
        size_t length = bytes < sizeof piece ? (size_t)bytes : sizeof piece;
        for (size_t i = 0; i < length; i++)
            piece[i] = byte_at(f->spool.length + i);
        assert_int_equal(write(f->pipe[1], piece, length), (ssize_t)length);
        assert_int_equal(spool_take(&f->spool, f->pipe[0], f->now_ms, NULL), SPOOL_EMPTY);
        bytes -= length;
    }
}

static void open_again(struct fixture *f)
{
    spool_close(&f->spool);
    assert_int_equal(spool_open(&f->spool, f->folder, &id, NULL), 0);
}

/* Reads [offset, end), where so many bytes were cut at its beginning. */
static void assert_stream(struct fixture *f, uint64_t offset, uint64_t skipped)
{
    struct buffer bytes = {0};
    uint64_t seen;
    assert_int_equal(spool_read(&f->spool, offset, 1000, &bytes, &seen, NULL), 0);
    assert_int_equal(seen, skipped);
    assert_true(bytes.length > 0);
    for (size_t i = 0; i < bytes.length; i++)
        assert_int_equal(bytes.data[i], byte_at(offset + skipped + i));
    buffer_fini(&bytes);
}

static void spool_silent_task_makes_no_file(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(spool_take(&f->spool, f->pipe[0], 1, NULL), SPOOL_EMPTY);
    assert_int_equal(access(f->spool.path, F_OK), -1);
}

static void spool_closed_pipe_is_an_end(void **state)
{
    struct fixture *f = *state;
    feed(f, 10);
    (void)close(f->pipe[1]);
    f->pipe[1] = -1;
    assert_int_equal(spool_take(&f->spool, f->pipe[0], 1, NULL), SPOOL_END);
    assert_int_equal(f->spool.length, 10);
}

static void spool_goes_on_at_its_length_after_a_restart(void **state)
{
    struct fixture *f = *state;
    feed(f, 70000);
    open_again(f);
    assert_int_equal(f->spool.length, 70000);
    feed(f, 50000);
    assert_int_equal(spool_readable(&f->spool, false), 120000);
    assert_stream(f, 69500, 0);
}

static void spool_full_pipe_waits_for_the_next_round(void **state)
{
    struct fixture *f = *state;
    (void)fcntl(f->pipe[1], F_SETPIPE_SZ, SPOOL_ROUND_BYTES);
    if (fcntl(f->pipe[1], F_GETPIPE_SZ) < SPOOL_ROUND_BYTES)
        skip();
    static char bytes[SPOOL_ROUND_BYTES];
    assert_int_equal(write(f->pipe[1], bytes, sizeof bytes), (ssize_t)sizeof bytes);
    assert_int_equal(spool_take(&f->spool, f->pipe[0], 1, NULL), SPOOL_MORE);
    assert_int_equal(spool_take(&f->spool, f->pipe[0], 1, NULL), SPOOL_EMPTY);
}

enum { LIMIT = 1024 * 1024, WHOLE = 10 * LIMIT };

static void spool_past_its_limit_keeps_both_ends(void **state)
{
    struct fixture *f = *state;
    spool_set_limit(&f->spool, LIMIT);
    feed(f, WHOLE);
    assert_int_equal(f->spool.length, WHOLE);
    assert_stream(f, 0, 0);
    assert_stream(f, f->spool.head_end - 1000, 0);
    uint64_t skipped = f->spool.cut_end - f->spool.head_end;
    assert_true(skipped > WHOLE - LIMIT - 200000 && skipped < WHOLE - LIMIT + 200000);
    assert_stream(f, f->spool.head_end, skipped);
    assert_stream(f, f->spool.head_end + 5, skipped - 5);
    assert_stream(f, WHOLE - 1000, 0);
}

static void spool_past_its_limit_gives_the_disk_back(void **state)
{
    struct fixture *f = *state;
    struct stat status;
    spool_set_limit(&f->spool, LIMIT);
    feed(f, WHOLE);
    assert_int_equal(stat(f->spool.path, &status), 0);
    assert_true(status.st_blocks * 512 < LIMIT + 256 * 1024);
}

/* What lies behind the head may yet be cut: a piece that was shipped could not be taken back. */
static void spool_that_grows_is_readable_to_its_head(void **state)
{
    struct fixture *f = *state;
    spool_set_limit(&f->spool, LIMIT);
    feed(f, LIMIT);
    assert_int_equal(spool_readable(&f->spool, false), f->spool.head_end);
    assert_int_equal(spool_readable(&f->spool, true), LIMIT);
}

static void spool_cut_is_known_after_a_restart(void **state)
{
    struct fixture *f = *state;
    spool_set_limit(&f->spool, LIMIT);
    feed(f, WHOLE);
    uint64_t head_end = f->spool.head_end, cut_end = f->spool.cut_end;
    open_again(f);
    assert_int_equal(f->spool.head_end, head_end);
    assert_int_equal(f->spool.cut_end, cut_end);
    spool_set_limit(&f->spool, LIMIT);
    feed(f, LIMIT);
    assert_stream(f, head_end, f->spool.cut_end - head_end);
    assert_true(f->spool.cut_end > cut_end);
}

static void spool_read_ends_where_the_hole_begins(void **state)
{
    struct fixture *f = *state;
    struct buffer bytes = {0};
    uint64_t skipped;
    spool_set_limit(&f->spool, LIMIT);
    feed(f, WHOLE);
    assert_int_equal(
        spool_read(&f->spool, f->spool.head_end - 10, 1000, &bytes, &skipped, NULL), 0);
    assert_int_equal(bytes.length, 10);
    buffer_fini(&bytes);
}

static void spool_marks_share_ten_milliseconds(void **state)
{
    struct fixture *f = *state;
    uint32_t count;
    feed(f, 100);
    f->now_ms += 5;
    feed(f, 100);
    f->now_ms += 5;
    feed(f, 100);
    const struct log_mark *marks = spool_marks(&f->spool, 0, 300, &count);
    assert_int_equal(count, 2);
    assert_int_equal(marks[0].offset, 0);
    assert_int_equal(marks[1].offset, 200);
    assert_int_equal(marks[1].at, 1010);
    (void)spool_marks(&f->spool, 1, 200, &count);
    assert_int_equal(count, 0);
}

static void spool_marks_stay_bounded(void **state)
{
    struct fixture *f = *state;
    uint32_t count;
    for (int i = 0; i < 50000; i++) {
        f->now_ms += 20;
        feed(f, 1);
    }
    const struct log_mark *marks = spool_marks(&f->spool, 0, 50000, &count);
    assert_true(count <= 16384);
    for (uint32_t i = 1; i < count; i++)
        assert_true(marks[i].offset > marks[i - 1].offset && marks[i].at > marks[i - 1].at);
}

static void spool_removed_is_gone(void **state)
{
    struct fixture *f = *state;
    feed(f, 10);
    spool_remove(&f->spool);
    open_again(f);
    assert_int_equal(f->spool.length, 0);
}

/* Neither opened, nor waited for, nor removed. */
static void spool_in_whose_place_something_else_lies_is_refused(void **state)
{
    struct fixture *f = *state;
    char *target = xasprintf("%s/target", f->folder);
    struct error error = {0};
    struct stat status;
    assert_int_equal(file_replace(target, slice_of("mine"), 0600, NULL), 0);
    assert_int_equal(write(f->pipe[1], "x", 1), 1);
    for (int kind = 0; kind < 3; kind++) {
        if (kind == 0)
            assert_int_equal(mkfifo(f->spool.path, 0600), 0);
        else
            assert_int_equal(
                kind == 1 ? symlink(target, f->spool.path) : mkdir(f->spool.path, 0700), 0);
        assert_true(spool_take(&f->spool, f->pipe[0], 1, &error) < 0);
        assert_non_null(strstr(error.text, f->spool.path));
        spool_remove(&f->spool);
        assert_int_equal(lstat(f->spool.path, &status), 0);
        assert_int_equal(remove(f->spool.path), 0);
    }
    assert_int_equal(stat(target, &status), 0);
    assert_int_equal(status.st_size, 4);
    /* Its place is free: what the task wrote has waited in the pipe. */
    assert_int_equal(spool_take(&f->spool, f->pipe[0], 1, &error), SPOOL_EMPTY);
    assert_int_equal(f->spool.length, 1);
    free(target);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(spool_silent_task_makes_no_file),
        TEST(spool_closed_pipe_is_an_end),
        TEST(spool_goes_on_at_its_length_after_a_restart),
        TEST(spool_full_pipe_waits_for_the_next_round),
        TEST(spool_past_its_limit_keeps_both_ends),
        TEST(spool_past_its_limit_gives_the_disk_back),
        TEST(spool_that_grows_is_readable_to_its_head),
        TEST(spool_cut_is_known_after_a_restart),
        TEST(spool_read_ends_where_the_hole_begins),
        TEST(spool_marks_share_ten_milliseconds),
        TEST(spool_marks_stay_bounded),
        TEST(spool_removed_is_gone),
        TEST(spool_in_whose_place_something_else_lies_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
