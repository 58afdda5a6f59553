/*
 * A page of a run's tasks: which tasks, whose rows, and what a person is shown of them.
 */
#include "common/dag/compile.h"
#include "common/hash.h"
#include "master/io/late.h"
#include "master/io/run_page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* Tasks c, a, b in the file's order; indices by name: a 0, b 1, c 2. */
static const char text[] = "tasks:\n  c: {noop: }\n  a: {noop: , retries: 2}\n  b: {noop: }\n";

struct fixture {
    struct buffer bytes;
    struct plan plan;
    struct arena arena;
    struct task_view views[3];
};

static int set_up(void **state)
{
    static struct fixture fixture;
    struct diagnostics diagnostics = {0};
    fixture = (struct fixture){0};
    assert_int_equal(dag_compile(slice_of(text), "x.yaml", &fixture.bytes, &diagnostics), 0);
    diagnostics_fini(&diagnostics);
    assert_int_equal(plan_open(buffer_slice(&fixture.bytes), &fixture.plan, NULL), 0);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    buffer_fini(&fixture->bytes);
    arena_fini(&fixture->arena);
    return 0;
}

static bool view(void *context, uint32_t task, struct task_view *ret_view)
{
    const struct fixture *fixture = context;
    *ret_view = fixture->views[task];
    return true;
}

static struct slice worker_name(void *context, uint32_t number)
{
    (void)context;
    return number == 7 ? slice_of("w7") : slice_of(NULL);
}

static struct attempt_row row_of(uint32_t task, uint32_t attempt, uint32_t state)
{
    return (struct attempt_row){
        .id = {.run = 1, .task = task, .attempt = attempt}, .state = state, .worker = 7};
}

static void run_page_goes_by_the_files_order(void **state)
{
    struct fixture *fixture = *state;
    struct page_source source = {fixture, view, worker_name};
    struct run_page page;
    uint32_t count;
    run_page_init(&page, &fixture->plan, &fixture->arena, 0, 2);
    assert_true(page.more);
    struct task_info *tasks = run_page_tasks(&page, &source, NULL, 0, &count);
    assert_int_equal(count, 2);
    assert_true(slice_is(tasks[0].task, "c"));
    assert_true(slice_is(tasks[1].task, "a"));
    assert_int_equal(tasks[1].index, 0);
    assert_int_equal(tasks[1].retries, 2);
    run_page_fini(&page);
    run_page_init(&page, &fixture->plan, &fixture->arena, 2, 2);
    assert_false(page.more);
    tasks = run_page_tasks(&page, &source, NULL, 0, &count);
    assert_int_equal(count, 1);
    assert_true(slice_is(tasks[0].task, "b"));
    run_page_init(&page, &fixture->plan, &fixture->arena, 9, 2);
    assert_int_equal(page.count, 0);
    assert_false(page.more);
}

static void run_page_ranges_ascend_and_join_small_gaps(void **state)
{
    struct fixture *fixture = *state;
    uint32_t tasks[] = {50, 3, 9, 4, 100};
    struct run_page page = {
        .plan = &fixture->plan, .arena = &fixture->arena, .tasks = tasks, .count = 5};
    size_t count;
    struct page_range *ranges = run_page_ranges(&page, &count);
    assert_int_equal(count, 3);
    assert_int_equal(ranges[0].first, 3);
    assert_int_equal(ranges[0].last, 9);
    assert_int_equal(ranges[1].first, 50);
    assert_int_equal(ranges[1].last, 50);
    assert_int_equal(ranges[2].first, 100);
}

static void run_page_live_attempt_is_shown_as_the_core_knows_it(void **state)
{
    struct fixture *fixture = *state;
    struct page_source source = {fixture, view, worker_name};
    struct run_page page;
    uint32_t count;
    struct attempt_row rows[] = {row_of(0, 1, ATTEMPT_FAILED), row_of(0, 2, ATTEMPT_ASSIGNED)};
    rows[0].exit_code = 3;
    rows[0].error = slice_of("exit code 3");
    fixture->views[0] = (struct task_view){.state = TASK_UNREACHABLE,
        .attempt = 2,
        .tries = 1,
        .live = true,
        .attempt_state = ATTEMPT_UNREACHABLE,
        .worker = 7,
        .started_at = 55};
    run_page_init_task(&page, &fixture->plan, &fixture->arena, 0);
    run_page_add(&page, rows, 2);
    struct task_info *tasks = run_page_tasks(&page, &source, NULL, 0, &count);
    assert_int_equal(count, 1);
    assert_int_equal(tasks[0].state, TASK_UNREACHABLE);
    assert_int_equal(tasks[0].attempts.count, 2);
    assert_int_equal(tasks[0].attempts.items[0].exit_code, 3);
    assert_true(slice_is(tasks[0].attempts.items[0].worker, "w7"));
    assert_int_equal(tasks[0].attempts.items[1].state, ATTEMPT_UNREACHABLE);
    assert_int_equal(tasks[0].attempts.items[1].exit_code, -1);
    assert_int_equal(tasks[0].attempts.items[1].started_at, 55);
    run_page_fini(&page);
    /* Its row is not committed yet. */
    run_page_init_task(&page, &fixture->plan, &fixture->arena, 0);
    run_page_add(&page, rows, 1);
    tasks = run_page_tasks(&page, &source, NULL, 0, &count);
    assert_int_equal(tasks[0].attempts.count, 2);
    assert_int_equal(tasks[0].attempts.items[1].attempt, 2);
    run_page_fini(&page);
}

static struct slice shown_error(
    struct fixture *fixture, const struct span_row *spans, size_t span_count)
{
    struct page_source source = {fixture, view, worker_name};
    struct run_page page;
    uint32_t count;
    struct attempt_row row = row_of(1, 1, ATTEMPT_FAILED);
    row.error = slice_of("of the attempt");
    run_page_init(&page, &fixture->plan, &fixture->arena, 0, 10);
    run_page_add(&page, &row, 1);
    struct task_info *tasks = run_page_tasks(&page, &source, spans, span_count, &count);
    run_page_fini(&page);
    assert_int_equal(count, 3);
    assert_int_equal(tasks[2].index, 1);
    return tasks[2].error;
}

static void run_page_error_is_of_what_ended_the_task(void **state)
{
    struct fixture *fixture = *state;
    struct span_row marked = {
        .first = 0, .last = 2, .state = TASK_FAILED, .error = slice_of("of the span")};
    struct span_row reset = {.first = 1, .last = 1, .state = SPAN_RESET};
    struct span_row wish = {.first = 1, .last = 1, .state = SPAN_CANCEL_WISH};
    struct span_row spans[] = {marked, reset};
    fixture->views[1] = (struct task_view){.state = TASK_FAILED, .reason = REASON_EXIT_CODE};
    assert_true(slice_is(shown_error(fixture, NULL, 0), "of the attempt"));
    assert_true(slice_is(shown_error(fixture, &wish, 1), "of the attempt"));
    assert_true(slice_is(shown_error(fixture, &marked, 1), "of the span"));
    /* The attempt was of the round before the reset. */
    assert_int_equal(shown_error(fixture, spans, 2).length, 0);
    fixture->views[1].reason = REASON_NONE;
    assert_int_equal(shown_error(fixture, NULL, 0).length, 0);
}

static void run_page_ends_before_it_is_too_large_for_a_frame(void **state)
{
    struct fixture *fixture = *state;
    struct page_source source = {fixture, view, worker_name};
    struct run_page page;
    uint32_t count;
    static char big[3 * 1024 * 1024];
    memset(big, '1', sizeof big);
    run_page_init(&page, &fixture->plan, &fixture->arena, 0, 10);
    for (uint32_t task = 0; task < 3; task++) {
        struct attempt_row rows[] = {
            row_of(task, 1, ATTEMPT_FAILED), row_of(task, 2, ATTEMPT_SUCCESS)};
        rows[0].outputs = slice_make(big, sizeof big);
        rows[1].outputs = slice_make(big, sizeof big);
        run_page_add(&page, rows, 2);
    }
    struct task_info *tasks = run_page_tasks(&page, &source, NULL, 0, &count);
    assert_int_equal(count, 1);
    assert_true(page.more);
    /* And the one task kept the outputs of its last attempt alone. */
    assert_int_equal(tasks[0].attempts.items[0].outputs.length, 0);
    assert_int_equal(tasks[0].attempts.items[1].outputs.length, sizeof big);
    run_page_fini(&page);
}

/* FAULTS 11: what is shown of an attempt that went on when it had been given up. */
static struct attempt_info shown_with(
    struct fixture *fixture, const struct late_row *late, struct attempt_info second)
{
    struct attempt_info shown = {.attempt = 1, .state = ATTEMPT_LOST};
    second.attempt = 2;
    late_show(late, &fixture->arena, &shown, &second, 1);
    return shown;
}

static void late_end_is_an_overlap_when_a_later_attempt_had_begun(void **state)
{
    struct fixture *fixture = *state;
    struct late_row late = {
        .state = ATTEMPT_SUCCESS, .told_at = 90000, .ended_at = 80000, .sure = true};
    struct attempt_info shown =
        shown_with(fixture, &late, (struct attempt_info){.started_at = 50000, .ended_at = 60000});
    assert_true(slice_is(shown.overlap, "did"));
    assert_int_equal(shown.overlap_attempt, 2);
    assert_true(shown.overlap_from == 50000 && shown.overlap_to == 60000);
    assert_non_null(strstr(
        shown.late.ptr, "ended (success) at 1970-01-01T00:01:20.000Z: it ran beside attempt 2"));
    /* It runs still. */
    shown = shown_with(fixture, &late, (struct attempt_info){.started_at = 50000});
    assert_true(slice_is(shown.overlap, "did") && shown.overlap_to == 80000);
}

static void late_end_is_no_overlap_when_none_had_begun(void **state)
{
    struct fixture *fixture = *state;
    struct late_row late = {
        .state = ATTEMPT_LOST, .told_at = 90000, .ended_at = 80000, .sure = true};
    struct attempt_info shown =
        shown_with(fixture, &late, (struct attempt_info){.started_at = 81000});
    assert_int_equal(shown.overlap.length, 0);
    assert_true(shown.overlap_attempt == 0 && shown.late_ended_at == 80000);
    assert_non_null(strstr(shown.late.ptr, "was killed at"));
    assert_non_null(strstr(shown.late.ptr, "no later attempt had begun by then"));
    shown = shown_with(fixture, &late, (struct attempt_info){.assigned_at = 70000});
    assert_int_equal(shown.overlap.length, 0);
}

static void late_end_that_clocks_cannot_tell_apart_may_be_an_overlap(void **state)
{
    struct fixture *fixture = *state;
    struct late_row late = {
        .state = ATTEMPT_LOST, .told_at = 90000, .ended_at = 80000, .sure = true};
    const int64_t near[] = {79001, 80999};
    for (size_t i = 0; i < 2; i++) {
        struct attempt_info shown =
            shown_with(fixture, &late, (struct attempt_info){.started_at = near[i]});
        assert_true(slice_is(shown.overlap, "may"));
        assert_true(shown.overlap_to >= shown.overlap_from);
    }
    /* Nobody saw its end. */
    late.sure = false;
    struct attempt_info shown =
        shown_with(fixture, &late, (struct attempt_info){.started_at = 10000, .ended_at = 20000});
    assert_true(slice_is(shown.overlap, "may"));
    assert_non_null(strstr(shown.late.ptr, "may have run beside attempt 2"));
}

#define with_plan(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_plan(run_page_goes_by_the_files_order),
        with_plan(run_page_ranges_ascend_and_join_small_gaps),
        with_plan(run_page_live_attempt_is_shown_as_the_core_knows_it),
        with_plan(run_page_error_is_of_what_ended_the_task),
        with_plan(run_page_ends_before_it_is_too_large_for_a_frame),
        with_plan(late_end_is_an_overlap_when_a_later_attempt_had_begun),
        with_plan(late_end_is_no_overlap_when_none_had_begun),
        with_plan(late_end_that_clocks_cannot_tell_apart_may_be_an_overlap),
    };
    hash_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
