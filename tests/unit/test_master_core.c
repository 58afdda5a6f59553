/* The scheduler among fake workers: what it assigns, records and tells. See core_world.h. */
#include "tests/unit/core_world.h"

#include "common/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char CHAIN[] = LEASE "tasks:\n"
                                  "  a: {bash: run}\n"
                                  "  b: {bash: run, needs: a}\n";
static const char ONE[] = LEASE "tasks:\n  a: {bash: run}\n";

static int setup(void **state)
{
    *state = world_create();
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

/* ---- the straight way ---- */

static void core_chain_runs_to_success_with_a_row_a_step(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 2);
    uint64_t run = world_submit(world, CHAIN);
    assert_int_equal(world->answer.number, MESSAGE_submitted);
    const struct msg_assign *assign = fake_assign(fake, 0);
    assert_non_null(assign);
    assert_true(slice_is(assign->text, "run"));
    assert_true(slice_is(assign->run_name, "test/1"));
    assert_int_equal(assign->lease_ms, LEASE_MS);
    assert_null(fake_assign(fake, 1));
    assert_int_equal(world_task_state(world, run, 0), TASK_ASSIGNED);
    fake_started(world, fake, assign->id);
    assert_int_equal(world_task_state(world, run, 0), TASK_RUNNING);
    fake_ended(world, fake, assign->id, ATTEMPT_SUCCESS);
    /* The next is dispatched by that very event, and its row is in that batch. */
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_SUCCESS);
    assert_non_null(fake_assign(fake, 1));
    assert_int_equal(fake_count(fake, MESSAGE_settled), 1);
    fake_ended(world, fake, attempt_named(run, 1, 1), ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
    assert_int_equal(world->rows.runs[0].state, RUN_SUCCESS);
    assert_int_not_equal(world->rows.runs[0].ended_at, 0);
}

static void core_failed_task_fails_what_is_below_and_the_run(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, CHAIN);
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_FAILED);
    assert_int_equal(world_task_state(world, run, 1), TASK_UPSTREAM_FAILED);
    assert_int_equal(world_run_state(world, run), RUN_FAILED);
    assert_int_equal(world->rows.spans[0].state, TASK_UPSTREAM_FAILED);
    assert_int_equal(world->rows.spans[0].reason, REASON_UPSTREAM);
}

static void core_allowed_failure_leaves_the_run_green(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, LEASE "tasks:\n"
                                             "  a: {bash: run, allow_failure: true}\n"
                                             "  b: {bash: run, needs: a}\n");
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_FAILED);
    assert_int_equal(world_task_state(world, run, 0), TASK_FAILED);
    assert_int_equal(world_task_state(world, run, 1), TASK_UPSTREAM_FAILED);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
}

/* ---- retries ---- */

static void core_failed_try_waits_its_delay_and_goes_again(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, "default_args: {lease: 60s, kill_grace: 2s}\n"
                                       "tasks:\n"
                                       "  a: {bash: run, retries: 1, retry_delay: 30s}\n");
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_FAILED);
    assert_int_equal(world_task_state(world, run, 0), TASK_RETRYING);
    struct task_view view;
    assert_true(core_view_task(world->core, run, 0, &view));
    assert_int_equal(view.due_at, world->now_wall + 30000);
    world_pass(world, 29900);
    assert_int_equal(world_task_state(world, run, 0), TASK_RETRYING);
    world_pass(world, 200);
    assert_int_equal(world_task_state(world, run, 0), TASK_ASSIGNED);
    fake_ended(world, fake, attempt_named(run, 0, 2), ATTEMPT_FAILED);
    assert_int_equal(world_task_state(world, run, 0), TASK_FAILED);
    assert_int_equal(world_run_state(world, run), RUN_FAILED);
}

static void core_lost_attempts_cost_no_try(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, "tasks:\n  a: {bash: run, max_losses: none}\n");
    for (uint32_t i = 1; i <= 5; i++) {
        assert_non_null(world_attempt(world, run, 0, i));
        fake_ended(world, fake, attempt_named(run, 0, i), ATTEMPT_LOST);
        assert_int_equal(world_attempt(world, run, 0, i)->state, ATTEMPT_LOST);
    }
    fake_ended(world, fake, attempt_named(run, 0, 6), ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
}

/* ---- cancel ---- */

static void core_cancelled_run_ends_what_waits_at_once_and_kills_the_rest(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, CHAIN, &run);
    world_cancel(world, run, TASK_ALL);
    assert_int_equal(world->answer.number, MESSAGE_done);
    assert_int_equal(world_task_state(world, run, 0), TASK_CANCELLING);
    assert_int_equal(world_task_state(world, run, 1), TASK_CANCELLED);
    assert_int_equal(fake_count(fake, MESSAGE_kill), 1);
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_FAILED);
    assert_int_equal(world_task_state(world, run, 0), TASK_CANCELLED);
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_CANCELLED);
    assert_int_equal(world_run_state(world, run), RUN_CANCELLED);
}

static void core_cancel_that_comes_too_late_leaves_the_success(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, ONE, &run);
    world_cancel(world, run, TASK_ALL);
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_SUCCESS);
    assert_int_equal(world_task_state(world, run, 0), TASK_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
}

static void core_cancelled_task_goes_as_a_failure(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, CHAIN, &run);
    world_cancel(world, run, 0);
    assert_int_equal(world_task_state(world, run, 0), TASK_CANCELLING);
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_CANCELLED);
    assert_int_equal(world_task_state(world, run, 0), TASK_CANCELLED);
    assert_int_equal(world_task_state(world, run, 1), TASK_UPSTREAM_FAILED);
    assert_int_equal(world_run_state(world, run), RUN_FAILED);
}

/* A state of the only task, made by the test, and then a cancel of it. */
static void core_cancel_of_a_task_ends_it_from_ready_and_retrying(void **state)
{
    struct core_world *world = *state;
    uint64_t ready = world_submit(world, ONE);
    assert_int_equal(world_task_state(world, ready, 0), TASK_READY);
    world_cancel(world, ready, 0);
    assert_int_equal(world_task_state(world, ready, 0), TASK_CANCELLED);
    assert_int_equal(world_run_state(world, ready), RUN_FAILED);
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: run, retries: 3}\n");
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_FAILED);
    assert_int_equal(world_task_state(world, run, 0), TASK_RETRYING);
    world_cancel(world, run, 0);
    assert_int_equal(world_task_state(world, run, 0), TASK_CANCELLED);
    world_cancel(world, run, 0);
    assert_int_equal(world->answer.number, MESSAGE_done);
}

static void core_cancel_of_a_queued_run_ends_it(void **state)
{
    struct core_world *world = *state;
    static const char yaml[] = "max_active_runs: 1\n" LEASE "tasks:\n  a: {bash: run}\n";
    uint64_t first = world_submit(world, yaml), second = world_submit(world, yaml);
    assert_int_equal(world_run_state(world, second), RUN_QUEUED);
    world_cancel(world, second, TASK_ALL);
    assert_int_equal(world_run_state(world, second), RUN_CANCELLED);
    uint64_t third = world_submit(world, yaml);
    assert_int_equal(world_run_state(world, third), RUN_QUEUED);
    world_cancel(world, first, TASK_ALL);
    assert_int_equal(world_run_state(world, third), RUN_RUNNING);
}

/* ---- retry and mark ---- */

static void core_retry_of_a_run_repeats_what_failed_and_what_is_below(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 3);
    uint64_t run = world_submit(world, LEASE "tasks:\n"
                                             "  a: {bash: run}\n"
                                             "  b: {bash: run}\n"
                                             "  c: {bash: run, needs: [a, b]}\n");
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_SUCCESS);
    fake_ended(world, fake, attempt_named(run, 1, 1), ATTEMPT_FAILED);
    assert_int_equal(world_run_state(world, run), RUN_FAILED);
    world_retry(world, run, TASK_ALL, false);
    assert_int_equal(world_run_state(world, run), RUN_RUNNING);
    assert_int_equal(world_task_state(world, run, 0), TASK_SUCCESS);
    assert_int_equal(world_task_state(world, run, 1), TASK_ASSIGNED);
    assert_int_equal(world_task_state(world, run, 2), TASK_WAITING);
    assert_int_equal(fake_assign(fake, 1)->id.attempt, 2);
    fake_ended(world, fake, attempt_named(run, 1, 2), ATTEMPT_SUCCESS);
    fake_ended(world, fake, attempt_named(run, 2, 1), ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
}

static void core_retry_of_one_task_takes_the_rest_along_unless_only(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, CHAIN);
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_SUCCESS);
    fake_ended(world, fake, attempt_named(run, 1, 1), ATTEMPT_SUCCESS);
    world_retry(world, run, 0, true);
    assert_int_equal(world_task_state(world, run, 1), TASK_SUCCESS);
    fake_ended(world, fake, attempt_named(run, 0, 2), ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
    world_retry(world, run, 0, false);
    assert_int_equal(world_task_state(world, run, 1), TASK_WAITING);
    fake_ended(world, fake, attempt_named(run, 0, 3), ATTEMPT_SUCCESS);
    assert_int_equal(world_task_state(world, run, 1), TASK_ASSIGNED);
}

static void core_retry_and_mark_of_a_running_task_are_refused(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    (void)world_run_one(world, CHAIN, &run);
    world_retry(world, run, 0, false);
    assert_true(world_was_refused(world));
    world_mark(world, run, 0, TASK_SUCCESS);
    assert_true(world_was_refused(world));
    assert_int_equal(world_task_state(world, run, 0), TASK_RUNNING);
}

static void core_retry_of_a_retrying_task_ends_its_wait(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: run, retries: 1}\n");
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_FAILED);
    world_retry(world, run, 0, false);
    assert_int_equal(world_task_state(world, run, 0), TASK_ASSIGNED);
    fake_ended(world, fake, attempt_named(run, 0, 2), ATTEMPT_FAILED);
    assert_int_equal(world_task_state(world, run, 0), TASK_FAILED);
}

static void core_mark_decides_what_is_below_and_the_run(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, LEASE "tasks:\n"
                                             "  a: {bash: run, retries: 1, retry_delay: 1h}\n"
                                             "  b: {bash: run, needs: a}\n");
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_FAILED);
    world_mark(world, run, 0, TASK_SUCCESS);
    assert_int_equal(world_task_state(world, run, 1), TASK_ASSIGNED);
    fake_ended(world, fake, attempt_named(run, 1, 1), ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
    world_mark(world, run, 0, TASK_FAILED);
    assert_int_equal(world_run_state(world, run), RUN_FAILED);
    assert_int_equal(world->rows.runs[0].state, RUN_FAILED);
}

/* A run fails if a task ended upstream_failed, unless only through allowed failures. */
static void core_upstream_failed_below_a_mended_task_keeps_the_run_failed(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, CHAIN);
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_FAILED);
    world_mark(world, run, 0, TASK_SUCCESS);
    assert_int_equal(world_task_state(world, run, 1), TASK_UPSTREAM_FAILED);
    assert_int_equal(world_run_state(world, run), RUN_FAILED);
    world_retry(world, run, TASK_ALL, false);
    fake_ended(world, fake, attempt_named(run, 1, 1), ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
}

static void core_repeated_request_gets_its_first_answer(void **state)
{
    struct core_world *world = *state;
    uint64_t run = world_submit(world, ONE);
    struct event event = {
        .kind = EVENT_CANCEL, .ticket = 1, .request = 77, .change = {.run = run, .task = TASK_ALL}};
    world_event(world, event);
    (void)world_drain(world);
    assert_int_equal(((const struct msg_done *)world->answer.body)->tasks, 1);
    world_retry(world, run, TASK_ALL, false);
    world_event(world, event);
    assert_int_equal(((const struct msg_done *)world->answer.body)->tasks, 1);
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
}

/* ---- caps, slots, priorities ---- */

static void core_runs_over_the_cap_wait_their_turn(void **state)
{
    struct core_world *world = *state;
    static const char yaml[] = "max_active_runs: 2\n" LEASE "tasks:\n  a: {bash: run}\n";
    struct fake *fake = fake_up(world, 8);
    uint64_t runs[4];
    for (int i = 0; i < 4; i++)
        runs[i] = world_submit(world, yaml);
    assert_int_equal(world_run_state(world, runs[1]), RUN_RUNNING);
    assert_int_equal(world_run_state(world, runs[2]), RUN_QUEUED);
    fake_ended(world, fake, attempt_named(runs[1], 0, 1), ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, runs[2]), RUN_RUNNING);
    assert_int_equal(world_run_state(world, runs[3]), RUN_QUEUED);
    world_retry(world, runs[1], 0, false);
    assert_int_equal(world_run_state(world, runs[1]), RUN_QUEUED);
    fake_ended(world, fake, attempt_named(runs[0], 0, 1), ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, runs[3]), RUN_RUNNING);
    assert_int_equal(world_run_state(world, runs[1]), RUN_QUEUED);
}

static void core_active_tasks_keep_to_their_cap(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 8);
    uint64_t run = world_submit(world, "max_active_tasks: 2\n" LEASE "tasks:\n"
                                       "  a: {bash: run}\n  b: {bash: run}\n"
                                       "  c: {bash: run}\n  d: {noop: }\n");
    assert_int_equal(fake_count(fake, MESSAGE_assign), 2);
    uint32_t told = 2, ended = 0;
    for (; ended < 4; ended++) {
        const struct msg_assign *assign = fake_told(fake, MESSAGE_assign, ended);
        assert_non_null(assign);
        fake_ended(world, fake, assign->id, ATTEMPT_SUCCESS);
        told = fake_count(fake, MESSAGE_assign);
        assert_true(told - (ended + 1) <= 2);
    }
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
}

static void core_higher_priority_goes_first(void **state)
{
    struct core_world *world = *state;
    uint64_t run = world_submit(world, LEASE "tasks:\n"
                                             "  a: {bash: run, priority_weight: 1}\n"
                                             "  b: {bash: run, priority_weight: 9}\n"
                                             "  c: {bash: run, priority_weight: 5}\n");
    struct fake *fake = fake_up(world, 1);
    const struct msg_assign *first = fake_told(fake, MESSAGE_assign, 0);
    assert_int_equal(first->id.task, 1);
    fake_started(world, fake, first->id);
    const struct msg_assign *second = fake_told(fake, MESSAGE_assign, 1);
    assert_int_equal(second->id.task, 2);
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
}

static void core_hands_out_at_most_a_second_task_a_slot(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 2);
    uint64_t run = world_submit(world, LEASE "tasks:\n"
                                             "  a: {bash: run}\n  b: {bash: run}\n"
                                             "  c: {bash: run}\n  d: {bash: run}\n"
                                             "  e: {bash: run}\n  f: {bash: run}\n"
                                             "  g: {noop: }\n  h: {noop: }\n");
    /* The no-ops come besides. */
    assert_int_equal(fake_count(fake, MESSAGE_assign) - 2, 4);
    fake_started(world, fake, ((const struct msg_assign *)fake_told(fake, MESSAGE_assign, 0))->id);
    fake_started(world, fake, ((const struct msg_assign *)fake_told(fake, MESSAGE_assign, 1))->id);
    assert_int_equal(fake_count(fake, MESSAGE_assign) - 2, 4);
    struct worker_view view;
    assert_true(core_view_worker(world->core, 0, world->now_ms, &view));
    assert_int_equal(view.running, 2);
    assert_int_equal(view.in_hand, 2);
    (void)run;
}

static struct worker_view only_worker(const struct core_world *world)
{
    struct worker_view view;
    assert_true(core_view_worker(world->core, 0, world->now_ms, &view));
    return view;
}

static void core_hand_of_a_fast_worker_holds_more_until_it_is_slow(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    struct buffer yaml = {0};
    buffer_printf(&yaml, LEASE "tasks:\n");
    for (int i = 0; i < 400; i++)
        buffer_printf(&yaml, "  t%d: {bash: run}\n", i);
    uint64_t run = world_submit(world, buffer_text(&yaml));
    buffer_fini(&yaml);
    assert_int_equal(only_worker(world).in_hand, 2);
    uint32_t next = 0;
    /* 300 in this second, and what it holds is to last for HAND_MS. */
    for (; next < 300; next++)
        fake_ended(world, fake, attempt_named(run, next, 1), ATTEMPT_SUCCESS);
    assert_int_equal(only_worker(world).in_hand, 2);
    world->now_ms += 1000;
    fake_beat(world, fake);
    fake_ended(world, fake, attempt_named(run, next++, 1), ATTEMPT_SUCCESS);
    assert_int_equal(only_worker(world).in_hand, 1 + 300 * HAND_MS / 1000);
    world->now_ms += 1000;
    fake_beat(world, fake);
    for (uint32_t i = 0; i < 10; i++)
        fake_ended(world, fake, attempt_named(run, next++, 1), ATTEMPT_SUCCESS);
    assert_int_equal(only_worker(world).in_hand, 2);
}

static void core_idle_worker_gets_what_another_holds_in_hand(void **state)
{
    struct core_world *world = *state;
    struct fake *busy = fake_up(world, 1);
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: run}\n  b: {bash: run}\n");
    fake_started(world, busy, attempt_named(run, 0, 1));
    assert_non_null(fake_assign(busy, 1));
    world_pass(world, 200);
    struct fake *idle = fake_up(world, 1);
    world_pass(world, 200);
    const struct msg_take_back *question = fake_told(busy, MESSAGE_take_back, 0);
    assert_non_null(question);
    assert_int_equal(question->id.task, 1);
    fake_given_back(world, busy, question->id);
    assert_int_equal(world_attempt(world, run, 1, 1)->state, ATTEMPT_LOST);
    assert_non_null(fake_assign(idle, 1));
    assert_int_equal(fake_assign(idle, 1)->id.attempt, 2);
}

static void core_queue_without_a_worker_waits_for_one(void **state)
{
    struct core_world *world = *state;
    (void)fake_up(world, 4);
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: run, queue: gpu}\n");
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
    struct buffer text = {0};
    core_explain_run(world->core, run, &text);
    assert_non_null(strstr(buffer_text(&text), "gpu"));
    buffer_fini(&text);
    struct fake *gpu = fake_add(world, 1);
    gpu->queue = "gpu";
    fake_register(world, gpu, NULL, 0);
    assert_non_null(fake_assign(gpu, 0));
}

/* ---- many ---- */

static void append_many(struct buffer *yaml, uint32_t tasks, const char *task)
{
    buffer_append_text(yaml, LEASE "tasks:\n");
    for (uint32_t i = 0; i < tasks; i++)
        buffer_printf(yaml, "  t%06u: %s\n", i, task);
}

static void core_large_cancel_goes_in_slices_and_starts_nothing_more(void **state)
{
    struct core_world *world = *state;
    struct buffer yaml = {0};
    append_many(&yaml, 100000, "{bash: run}");
    uint64_t run = world_submit(world, buffer_text(&yaml));
    buffer_fini(&yaml);
    struct fake *fake = fake_up(world, 4);
    uint32_t told = fake_count(fake, MESSAGE_assign);
    assert_int_equal(told, 8);
    world_event(world, (struct event){.kind = EVENT_CANCEL,
                           .request = 5,
                           .ticket = 5,
                           .change = {.run = run, .task = TASK_ALL}});
    assert_true(core_has_work(world->core));
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_CANCELLED);
    /* What is not reached yet is cancelled all the same: the free slot gets nothing. */
    assert_int_equal(fake_count(fake, MESSAGE_assign), told);
    assert_true(world_drain(world) > 0);
    for (uint32_t i = 1; i < told; i++)
        fake_ended(world, fake, attempt_named(run, i, 1), ATTEMPT_CANCELLED);
    assert_int_equal(world_run_state(world, run), RUN_CANCELLED);
    /* Neighbours that end alike are one row. */
    assert_true(world->rows.span_count < 100);
}

static void core_run_that_left_memory_is_loaded_as_its_rows_have_it(void **state)
{
    struct core_world *world = *state;
    struct buffer yaml = {0};
    append_many(&yaml, 210000, "{bash: run, needs: z}");
    buffer_append_text(&yaml, "  z: {bash: run}\n");
    uint64_t run = world_submit(world, buffer_text(&yaml));
    buffer_fini(&yaml);
    world_event(world, (struct event){.kind = EVENT_CANCEL,
                           .request = 5,
                           .ticket = 5,
                           .change = {.run = run, .task = TASK_ALL}});
    for (int i = 0; i < 100 && core_has_run(world->core, run); i++)
        world_event(world, (struct event){.kind = EVENT_TIMER});
    assert_false(core_has_run(world->core, run));
    assert_int_equal(world->rows.runs[0].state, RUN_CANCELLED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(core_chain_runs_to_success_with_a_row_a_step),
        TEST(core_failed_task_fails_what_is_below_and_the_run),
        TEST(core_allowed_failure_leaves_the_run_green),
        TEST(core_failed_try_waits_its_delay_and_goes_again),
        TEST(core_lost_attempts_cost_no_try),
        TEST(core_cancelled_run_ends_what_waits_at_once_and_kills_the_rest),
        TEST(core_cancel_that_comes_too_late_leaves_the_success),
        TEST(core_cancelled_task_goes_as_a_failure),
        TEST(core_cancel_of_a_task_ends_it_from_ready_and_retrying),
        TEST(core_cancel_of_a_queued_run_ends_it),
        TEST(core_retry_of_a_run_repeats_what_failed_and_what_is_below),
        TEST(core_retry_of_one_task_takes_the_rest_along_unless_only),
        TEST(core_retry_and_mark_of_a_running_task_are_refused),
        TEST(core_retry_of_a_retrying_task_ends_its_wait),
        TEST(core_mark_decides_what_is_below_and_the_run),
        TEST(core_upstream_failed_below_a_mended_task_keeps_the_run_failed),
        TEST(core_repeated_request_gets_its_first_answer),
        TEST(core_runs_over_the_cap_wait_their_turn),
        TEST(core_active_tasks_keep_to_their_cap),
        TEST(core_higher_priority_goes_first),
        TEST(core_hands_out_at_most_a_second_task_a_slot),
        TEST(core_hand_of_a_fast_worker_holds_more_until_it_is_slow),
        TEST(core_idle_worker_gets_what_another_holds_in_hand),
        TEST(core_queue_without_a_worker_waits_for_one),
        TEST(core_large_cancel_goes_in_slices_and_starts_nothing_more),
        TEST(core_run_that_left_memory_is_loaded_as_its_rows_have_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
