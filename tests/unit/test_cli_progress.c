#include "cli/live.h"
#include "cli/printable.h"
#include "cli/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static struct progress *progress;
static struct buffer lines;

static void see_run(uint32_t state, uint32_t task_count, struct state_count *counts, uint32_t count)
{
    const struct progress_run run = {state, counts, count, task_count, 0};
    progress_see_run(progress, &run, 1000, &lines);
}

static bool see_task(const char *task, uint32_t state, uint32_t attempt, const char *error)
{
    const struct task_change change = {.task = slice_of(task),
        .state = state,
        .attempt = attempt,
        .worker = slice_of("w1"),
        .error = slice_of(error),
        .at = 2000};
    return progress_see_task(progress, &change, &lines);
}

static bool see_far(int64_t at, const char *text, int64_t done, int64_t total)
{
    const struct task_change change = {.task = slice_of("average"),
        .state = TASK_RUNNING,
        .attempt = 1,
        .worker = slice_of("w1"),
        .at = at,
        .progress = slice_of(text),
        .progress_done = done,
        .progress_total = total};
    return progress_see_task(progress, &change, &lines);
}

static int setup(void **state)
{
    (void)state;
    progress = progress_create("d/1");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    progress_destroy(progress);
    buffer_fini(&lines);
    return 0;
}

static void progress_each_transition_is_one_line(void **state)
{
    (void)state;
    see_run(RUN_RUNNING, 2, NULL, 0);
    assert_true(see_task("a", TASK_ASSIGNED, 1, ""));
    assert_true(see_task("a", TASK_RUNNING, 1, ""));
    assert_false(see_task("a", TASK_RUNNING, 1, ""));
    assert_true(see_task("a", TASK_RETRYING, 1, "exited with 1"));
    assert_true(see_task("a", TASK_RUNNING, 2, ""));
    assert_true(see_task("a", TASK_SUCCESS, 2, ""));
    assert_string_equal(buffer_text(&lines),
        "1970-01-01T00:00:01.000Z d/1 running\n"
        "1970-01-01T00:00:02.000Z a running on w1\n"
        "1970-01-01T00:00:02.000Z a retrying on w1: exited with 1\n"
        "1970-01-01T00:00:02.000Z a running on w1, attempt 2\n"
        "1970-01-01T00:00:02.000Z a success, attempt 2\n");
}

static void progress_waiting_tasks_of_a_first_reading_are_no_news(void **state)
{
    (void)state;
    assert_false(see_task("a", TASK_WAITING, 0, ""));
    assert_false(see_task("b", TASK_READY, 0, ""));
    assert_int_equal(lines.length, 0);
}

static void progress_foreign_text_is_made_printable(void **state)
{
    (void)state;
    (void)see_task("a", TASK_FAILED, 1, "bad \033[2J\nline");
    assert_null(strchr(buffer_text(&lines), '\033'));
    assert_ptr_equal(strchr(buffer_text(&lines), '\n'), lines.data + lines.length - 1);
}

static void draw(size_t columns, size_t rows, struct buffer *out)
{
    const struct progress_view view = {.columns = columns, .rows = rows, .now = 14000};
    buffer_clear(out);
    progress_draw(progress, &view, out);
}

static void progress_block_shows_what_runs_and_what_failed(void **state)
{
    struct buffer out = {0};
    struct state_count counts[] = {{TASK_SUCCESS, 2}, {TASK_FAILED, 1}, {TASK_RUNNING, 1}};
    (void)state;
    see_run(RUN_RUNNING, 6, counts, 3);
    (void)see_task("done", TASK_SUCCESS, 1, "");
    (void)see_task("bad", TASK_FAILED, 1, "exited with 3");
    (void)see_task("load", TASK_RUNNING, 2, "");
    draw(100, 20, &out);
    const char *text = buffer_text(&out);
    assert_non_null(strstr(text, "d/1  running  [##########----------] 3/6  1 running  1 failed"));
    assert_non_null(strstr(text, "  bad                      failed       exited with 3\n"));
    assert_non_null(strstr(text, "  load                     running      w1  12s  attempt 2\n"));
    assert_null(strstr(text, "done"));
    buffer_fini(&out);
}

static void progress_block_on_a_narrow_terminal_cuts_names_and_keeps_states(void **state)
{
    struct buffer out = {0};
    (void)state;
    see_run(RUN_RUNNING, 6, NULL, 0);
    (void)see_task("a_task_with_a_long_name", TASK_FAILED, 1, "exited with 3");
    (void)see_task("load", TASK_RUNNING, 1, "");
    draw(40, 20, &out);
    assert_non_null(strstr(buffer_text(&out), "  a_task_with_a_long_name failed       e\n"));
    draw(30, 20, &out);
    assert_non_null(strstr(buffer_text(&out), "  a_task_with_a failed       "));
    assert_non_null(strstr(buffer_text(&out), "  load          running      "));
    draw(20, 20, &out);
    assert_non_null(strstr(buffer_text(&out), "  a_task failed\n"));
    assert_non_null(strstr(buffer_text(&out), "  load   running\n"));
    buffer_fini(&out);
}

static void progress_block_fits_any_terminal(void **state)
{
    struct buffer out = {0};
    (void)state;
    see_run(RUN_RUNNING, 1000, NULL, 0);
    for (int i = 0; i < 50; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "a_task_with_a_rather_long_name_%d", i);
        (void)see_task(name, i % 2 == 0 ? TASK_RUNNING : TASK_FAILED, 1,
            "an error that is long too, and more");
    }
    for (size_t columns = 1; columns < 120; columns += 7) {
        for (size_t rows = 1; rows < 40; rows += 3) {
            size_t count = 0, start = 0;
            draw(columns, rows, &out);
            for (size_t i = 0; i < out.length; i++) {
                if (out.data[i] != '\n')
                    continue;
                assert_true(printable_width(slice_make(out.data + start, i - start)) <= columns);
                start = i + 1;
                count++;
            }
            assert_true(count <= rows);
        }
    }
    buffer_fini(&out);
}

static void progress_failure_that_is_retried_leaves_the_block(void **state)
{
    struct buffer out = {0};
    (void)state;
    (void)see_task("bad", TASK_FAILED, 1, "exited with 3");
    (void)see_task("bad", TASK_RUNNING, 2, "");
    (void)see_task("bad", TASK_SUCCESS, 2, "");
    draw(80, 20, &out);
    assert_null(strstr(buffer_text(&out), "bad"));
    buffer_fini(&out);
}

static void progress_of_a_task_is_drawn_and_told_now_and_then(void **state)
{
    struct buffer out = {0};
    (void)state;
    assert_true(see_far(2000, "", -1, -1));
    assert_true(see_far(2000, "http://spark.example.com:4040", -1, -1));
    assert_true(see_far(3000, "0 of 3 stages, http://spark.example.com:4040", 10, 204));
    assert_false(see_far(4000, "0 of 3 stages, http://spark.example.com:4040", 10, 204));
    assert_true(see_far(12000, "1 of 3 stages, http://spark.example.com:4040", 54, 204));
    assert_true(see_far(30000, "1 of 3 stages, http://spark.example.com:4040", 60, 204));
    draw(140, 20, &out);
    assert_non_null(
        strstr(buffer_text(&out), "  average                  running      w1  12s  "
                                  "60 of 204, 1 of 3 stages, http://spark.example.com:4040\n"));
    assert_true(see_task("average", TASK_RETRYING, 1, "exited with 1"));
    draw(140, 20, &out);
    assert_null(strstr(buffer_text(&out), "stages"));
    assert_string_equal(buffer_text(&lines),
        "1970-01-01T00:00:02.000Z average running on w1\n"
        "1970-01-01T00:00:02.000Z average running: http://spark.example.com:4040\n"
        "1970-01-01T00:00:12.000Z average running: 54 of 204, 1 of 3 stages, "
        "http://spark.example.com:4040\n"
        "1970-01-01T00:00:02.000Z average retrying on w1: exited with 1\n");
    buffer_fini(&out);
}

static void progress_many_tasks_running_at_once_come_and_go(void **state)
{
    enum { TASKS = 20000 };
    struct buffer out = {0};
    char name[32];
    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < TASKS; i++) {
            (void)snprintf(name, sizeof name, "t%d", i);
            assert_true(see_task(name, round == 0 ? TASK_RUNNING : TASK_SUCCESS, 1, ""));
        }
    }
    draw(80, 20, &out);
    assert_null(strstr(buffer_text(&out), "t1"));
    buffer_fini(&out);
}

static void live_redraw_goes_up_by_what_the_terminal_wrapped(void **state)
{
    struct live live = {0};
    struct buffer out = {0};
    (void)state;
    live_draw(&live, slice_of("123456789\n\033[31mred\033[0m\n"), 20, &out);
    assert_string_equal(buffer_text(&out), "\r\033[J123456789\n\033[31mred\033[0m\n");
    buffer_clear(&out);
    live_draw(&live, slice_of("x\n"), 20, &out);
    assert_string_equal(buffer_text(&out), "\033[2A\r\033[Jx\n");
    live_draw(&live, slice_of("123456789\n"), 20, &out);
    buffer_clear(&out);
    live_draw(&live, slice_of(""), 4, &out);
    assert_string_equal(buffer_text(&out), "\033[3A\r\033[J");
    live_fini(&live);
    buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(progress_each_transition_is_one_line, setup, teardown),
        cmocka_unit_test_setup_teardown(
            progress_waiting_tasks_of_a_first_reading_are_no_news, setup, teardown),
        cmocka_unit_test_setup_teardown(progress_foreign_text_is_made_printable, setup, teardown),
        cmocka_unit_test_setup_teardown(
            progress_block_shows_what_runs_and_what_failed, setup, teardown),
        cmocka_unit_test_setup_teardown(
            progress_block_on_a_narrow_terminal_cuts_names_and_keeps_states, setup, teardown),
        cmocka_unit_test_setup_teardown(progress_block_fits_any_terminal, setup, teardown),
        cmocka_unit_test_setup_teardown(
            progress_failure_that_is_retried_leaves_the_block, setup, teardown),
        cmocka_unit_test_setup_teardown(
            progress_of_a_task_is_drawn_and_told_now_and_then, setup, teardown),
        cmocka_unit_test_setup_teardown(
            progress_many_tasks_running_at_once_come_and_go, setup, teardown),
        cmocka_unit_test(live_redraw_goes_up_by_what_the_terminal_wrapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
