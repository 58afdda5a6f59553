#include "worker/io/results.h"

#include "common/file.h"
#include "common/memory.h"
#include "worker/io/results_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SEEN_MAX = 400 };

/* A journal in a folder of its own. */
struct fixture {
    char folder[32], path[64];
    struct loop *loop;
    struct jobs *jobs;
    struct results *results;
    uint32_t saved[SEEN_MAX], loaded[SEEN_MAX]; /* task indices */
    size_t saved_count, loaded_count;
};

static void on_saved(void *context, const struct attempt_id *id)
{
    struct fixture *f = context;
    f->saved[f->saved_count++] = id->task;
}

static void on_loaded(void *context, const struct msg_ended *ended)
{
    struct fixture *f = context;
    f->loaded[f->loaded_count++] = ended->id.task;
    assert_int_equal(ended->log_bytes, 7);
}

static int open_again(struct fixture *f, struct error *error)
{
    results_close(f->results);
    f->results = NULL;
    f->loaded_count = 0;
    int rc = results_open(f->path, f->jobs, &f->results, error);
    if (rc == 0) {
        results_on_saved(f->results, on_saved, f);
        results_each(f->results, on_loaded, f);
    }
    return rc;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/reeve-XXXXXX");
    if (mkdtemp(f->folder) == NULL || loop_create(&f->loop, NULL) != 0)
        return -1;
    (void)snprintf(f->path, sizeof f->path, "%s/results", f->folder);
    f->jobs = jobs_create(f->loop);
    return open_again(f, NULL);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    jobs_destroy(f->jobs);
    results_close(f->results);
    loop_destroy(f->loop);
    int rc = file_remove_tree(f->folder, NULL);
    free(f);
    return rc;
}

static bool on_round(void *context)
{
    struct fixture *f = context;
    if (jobs_take(f->jobs))
        loop_stop(f->loop);
    return false;
}

/* Writes; so many were saved in all then. */
static void wait_saved(struct fixture *f, size_t wanted)
{
    results_write(f->results, 0);
    assert_int_equal(f->saved_count, wanted);
}

/* What is due (a sync, a cut, a rewriting) is done on the thread. */
static void settle(struct fixture *f)
{
    assert_int_equal(results_state(f->results, NULL), 0);
    results_flush(f->results, UINT64_MAX - 1);
    loop_on_round(f->loop, on_round, f);
    loop_run(f->loop);
    assert_int_equal(results_state(f->results, NULL), 0);
}

static void save(struct fixture *f, uint32_t task)
{
    struct msg_ended ended = {.id = {.run = 5, .task = task, .attempt = 1},
        .state = ATTEMPT_SUCCESS,
        .log_bytes = 7,
        .outputs = slice_of("{\"a\":\"b\"}")};
    results_save(f->results, &ended);
}

static void drop(struct fixture *f, uint32_t task)
{
    struct attempt_id id = {.run = 5, .task = task, .attempt = 1};
    results_drop(f->results, &id);
}

static size_t size_of(const char *path)
{
    struct buffer bytes = {0};
    assert_int_equal(file_read(path, SIZE_MAX, &bytes, NULL), 0);
    size_t length = bytes.length;
    buffer_fini(&bytes);
    return length;
}

static void results_saved_is_loaded_again_in_order(void **state)
{
    struct fixture *f = *state;
    save(f, 3);
    save(f, 1);
    wait_saved(f, 2);
    save(f, 2);
    wait_saved(f, 3);
    assert_int_equal(f->saved[0], 3);
    assert_int_equal(f->saved[2], 2);
    assert_int_equal(open_again(f, NULL), 0);
    assert_int_equal(f->loaded_count, 3);
    assert_int_equal(f->loaded[0], 3);
    assert_int_equal(f->loaded[1], 1);
    assert_int_equal(f->loaded[2], 2);
}

static void results_dropped_is_not_loaded(void **state)
{
    struct fixture *f = *state;
    save(f, 1);
    save(f, 2);
    wait_saved(f, 2);
    drop(f, 1);
    save(f, 3);
    wait_saved(f, 3);
    assert_int_equal(open_again(f, NULL), 0);
    assert_int_equal(f->loaded_count, 2);
    assert_int_equal(f->loaded[0], 2);
    assert_int_equal(f->loaded[1], 3);
}

static void append_bytes(const char *path, const void *bytes, size_t length)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), (ssize_t)length);
    (void)close(fd);
}

static void results_torn_tail_is_cut_off(void **state)
{
    struct fixture *f = *state;
    save(f, 1);
    wait_saved(f, 1);
    size_t whole = size_of(f->path);
    save(f, 2);
    wait_saved(f, 2);
    assert_int_equal(truncate(f->path, (off_t)size_of(f->path) - 3), 0);
    assert_int_equal(open_again(f, NULL), 0);
    assert_int_equal(f->loaded_count, 1);
    assert_int_equal(size_of(f->path), whole);
    /* What is written next begins where the tail was. */
    save(f, 4);
    wait_saved(f, 3);
    assert_int_equal(open_again(f, NULL), 0);
    assert_int_equal(f->loaded_count, 2);
}

static void results_zeros_at_the_end_are_cut_off(void **state)
{
    struct fixture *f = *state;
    static const char zeros[5000];
    save(f, 1);
    wait_saved(f, 1);
    append_bytes(f->path, zeros, sizeof zeros);
    assert_int_equal(open_again(f, NULL), 0);
    assert_int_equal(f->loaded_count, 1);
}

static void flip_byte(const char *path, off_t at)
{
    char byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x20;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

/* Written one after the other, and neither was synced before the power went. */
static void results_damage_before_an_unsynced_one_is_a_torn_tail(void **state)
{
    struct fixture *f = *state;
    save(f, 1);
    wait_saved(f, 1);
    save(f, 2);
    wait_saved(f, 2);
    flip_byte(f->path, RESULTS_FILE_HEAD + 30);
    assert_int_equal(open_again(f, NULL), 0);
    assert_int_equal(f->loaded_count, 0);
}

static void results_settled_in_time_needs_no_sync(void **state)
{
    struct fixture *f = *state;
    save(f, 1);
    wait_saved(f, 1);
    assert_int_equal(results_due_ms(f->results), 50);
    drop(f, 1);
    results_write(f->results, 10);
    results_flush(f->results, 50);
    assert_int_equal(results_due_ms(f->results), UINT64_MAX);
    assert_false(jobs_take(f->jobs));
}

static void results_damage_inside_one_group_is_a_torn_tail(void **state)
{
    struct fixture *f = *state;
    save(f, 1);
    save(f, 2);
    wait_saved(f, 2);
    flip_byte(f->path, RESULTS_FILE_HEAD + 30);
    assert_int_equal(open_again(f, NULL), 0);
    assert_int_equal(f->loaded_count, 0);
}

static void results_damage_before_a_later_group_is_refused_by_name(void **state)
{
    struct fixture *f = *state;
    struct error error = {0};
    save(f, 1);
    wait_saved(f, 1);
    settle(f);
    save(f, 2);
    wait_saved(f, 2);
    flip_byte(f->path, RESULTS_FILE_HEAD + 30);
    assert_int_equal(open_again(f, &error), ERR_CORRUPT);
    assert_non_null(strstr(error.text, f->path));
    assert_non_null(strstr(error.text, "byte 16"));
    flip_byte(f->path, RESULTS_FILE_HEAD + 30);
    assert_int_equal(open_again(f, NULL), 0);
    assert_int_equal(f->loaded_count, 2);
}

static void results_foreign_file_is_refused(void **state)
{
    struct fixture *f = *state;
    struct error error = {0};
    assert_int_equal(file_replace(f->path, slice_of("hello, I am no journal"), 0600, NULL), 0);
    assert_int_equal(open_again(f, &error), ERR_VERSION);
}

/* 300 results of 60 kB and their settling, one that stays among them. */
static void fill(struct fixture *f)
{
    static char text[60000];
    memset(text, 'x', sizeof text);
    struct msg_ended ended = {
        .id = {.run = 5, .task = 9}, .outputs = slice_make(text, sizeof text), .log_bytes = 7};
    for (uint32_t i = 0; i < 300; i++) {
        ended.id.attempt = i + 1;
        results_save(f->results, &ended);
        results_drop(f->results, &ended.id);
    }
    results_write(f->results, 0);
    f->saved_count = 0;
}

static void results_mostly_settled_file_is_written_anew(void **state)
{
    struct fixture *f = *state;
    save(f, 1);
    fill(f);
    assert_true(size_of(f->path) > 16 * 1024 * 1024);
    settle(f);
    save(f, 2);
    wait_saved(f, 1);
    assert_true(size_of(f->path) < 1000);
    assert_int_equal(open_again(f, NULL), 0);
    assert_int_equal(f->loaded_count, 2);
    assert_int_equal(f->loaded[0], 1);
}

static void results_none_pending_empties_a_large_file(void **state)
{
    struct fixture *f = *state;
    fill(f);
    settle(f);
    assert_int_equal(size_of(f->path), RESULTS_FILE_HEAD);
    save(f, 2);
    wait_saved(f, 1);
    assert_int_equal(open_again(f, NULL), 0);
    assert_int_equal(f->loaded_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(results_saved_is_loaded_again_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(results_dropped_is_not_loaded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(results_torn_tail_is_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(results_zeros_at_the_end_are_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            results_damage_inside_one_group_is_a_torn_tail, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            results_damage_before_a_later_group_is_refused_by_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            results_damage_before_an_unsynced_one_is_a_torn_tail, set_up, tear_down),
        cmocka_unit_test_setup_teardown(results_settled_in_time_needs_no_sync, set_up, tear_down),
        cmocka_unit_test_setup_teardown(results_foreign_file_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            results_mostly_settled_file_is_written_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            results_none_pending_empties_a_large_file, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
