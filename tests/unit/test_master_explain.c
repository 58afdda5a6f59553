/* The sentences that say what a run or a task waits for. */
#include "tests/unit/core_world.h"

#include "common/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

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

static struct msg_explained explain(struct core_world *world, uint64_t run, uint32_t task)
{
    struct msg_explained explained;
    core_explain(world->core, run, task, &world->arena, &explained);
    return explained;
}

/* One task's line is exactly this. */
static void expect(
    struct core_world *world, uint64_t run, uint32_t task, const char *waits_for, const char *text)
{
    struct msg_explained explained = explain(world, run, task);
    assert_int_equal(explained.lines.count, 1);
    assert_string_equal(explained.lines.items[0].text.ptr, text);
    assert_true(slice_is(explained.lines.items[0].waits_for, waits_for));
    assert_int_equal(explained.lines.items[0].state, world_task_state(world, run, task));
}

static int64_t since(struct core_world *world, uint64_t run, uint32_t task)
{
    return explain(world, run, task).lines.items[0].since;
}

static void expect_run(struct core_world *world, uint64_t run, const char *text)
{
    assert_string_equal(explain(world, run, TASK_ALL).text.ptr, text);
}

/* What status says of the run. */
static void expect_status(struct core_world *world, uint64_t run, const char *wanted)
{
    struct buffer text = {0};
    core_explain_run(world->core, run, &text);
    assert_string_equal(buffer_text(&text), wanted);
    buffer_fini(&text);
}

static struct fake *fake_with(
    struct core_world *world, const char *queue, const char *label, const char *user)
{
    struct fake *fake = fake_add(world, 1);
    fake->queue = queue;
    fake->labels[0] = label;
    fake->users[0] = user;
    fake_register(world, fake, NULL, 0);
    return fake;
}

/* ---- dependencies ---- */

static void explain_waiting_task_names_what_it_waits_for(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: run}\n  b: {bash: run}\n"
                                             "  c: {bash: run, needs: [a, b]}\n"
                                             "  d: {bash: run, needs: [c]}\n"
                                             "  e: {bash: run, needs: [a, b, c, d], "
                                             "trigger_rule: all_done}\n");
    fake_started(world, fake, attempt_named(run, 0, 1));
    world_pass(world, 12000);
    expect(world, run, 2, "dependency",
        "waits for a (running on w1 for 12s), b (assigned on w1 for 12s)");
    expect(world, run, 3, "dependency",
        "waits for c (waiting); in the end for a (running on w1 for 12s)");
    expect(world, run, 4, "dependency",
        "waits for a (running on w1 for 12s), b (assigned on w1 for 12s), c (waiting) and 1 more "
        "(trigger rule all_done)");
    assert_int_equal(since(world, run, 2), world->now_wall - 12000);
}

/* ---- nobody has what it asks ---- */

static void explain_without_any_worker_says_so(void **state)
{
    struct core_world *world = *state;
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: run}\n");
    const char *text = "no live worker serves queue \"default\": no worker has joined yet "
                       "(reeve-worker --join)";
    expect(world, run, 0, "worker", text);
    expect_status(world, run,
        "1 ready task: no live worker serves queue \"default\": no worker has joined yet "
        "(reeve-worker --join)");
    world_pass(world, 5000);
    assert_int_equal(since(world, run, 0), world->now_wall - 5000);
    struct fake *fake = fake_with(world, "other", NULL, NULL);
    struct msg_leave leave = {.why = slice_of("stopped")};
    fake_say(world, fake, MESSAGE_leave, &leave);
    expect(world, run, 0, "worker",
        "no live worker serves queue \"default\": no worker is there (reeve workers)");
}

static void explain_queue_that_nobody_serves_names_those_that_are(void **state)
{
    struct core_world *world = *state;
    (void)fake_with(world, "default", NULL, NULL);
    (void)fake_with(world, "etl", NULL, NULL);
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: run, queue: gpu}\n");
    expect(world, run, 0, "queue",
        "no live worker serves queue \"gpu\"; those that are up serve default, etl");
    struct fake *gone = fake_with(world, "gpu", NULL, NULL);
    fake_given_back(world, gone, attempt_named(run, 0, 1));
    expect(world, run, 0, "worker",
        "no worker that serves queue \"gpu\" takes tasks now: w3 has just given a task back, and "
        "gets the next in a second");
    fake_say(world, gone, MESSAGE_leave, &(struct msg_leave){0});
    expect(world, run, 0, "queue",
        "no live worker serves queue \"gpu\"; those that are up serve default, etl; w3 could, and "
        "is gone");
}

static void explain_labels_that_nobody_has_name_who_lacks_which(void **state)
{
    struct core_world *world = *state;
    (void)fake_with(world, "default", NULL, NULL);
    (void)fake_with(world, "default", "gpu", NULL);
    (void)fake_with(world, "other", "gpu", NULL);
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: run, labels: [gpu, zone=eu]}\n");
    expect(world, run, 0, "worker",
        "no live worker of queue \"default\" has all its labels (gpu, zone=eu): w1 lacks gpu, "
        "zone=eu; w2 lacks zone=eu");
    for (int i = 0; i < 4; i++)
        (void)fake_with(world, "default", NULL, NULL);
    expect(world, run, 0, "worker",
        "no live worker of queue \"default\" has all its labels (gpu, zone=eu): w1 lacks gpu, "
        "zone=eu; w2 lacks zone=eu; w4 lacks gpu, zone=eu; and 3 more");
}

static void explain_user_that_nobody_runs_names_those_they_run(void **state)
{
    struct core_world *world = *state;
    (void)fake_with(world, "default", NULL, NULL);
    (void)fake_with(world, "default", NULL, "app");
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: run, run_as: etl}\n");
    expect(world, run, 0, "worker",
        "no live worker that could take it runs tasks as user \"etl\": w1 runs them as its "
        "agent's user alone; w2 as app");
}

static void explain_operator_that_nobody_has_says_who_lacks_it(void **state)
{
    struct core_world *world = *state;
    (void)fake_with(world, "default", NULL, NULL);
    uint64_t run = world_submit(
        world, LEASE "tasks:\n  a: {operator: slack, with: {text: hi}}\n  b: {bash: run}\n");
    world_pass(world, 2000);
    assert_int_equal(world_task_state(world, run, 1), TASK_ASSIGNED);
    expect(world, run, 0, "worker",
        "no live worker that could take it has the operator \"slack\": w1 lacks it");
    struct fake *broken = fake_add(world, 1);
    broken->operators[0] = (struct operator_line){
        .name = slice_of("slack"), .problem = slice_of("curl is not in PATH")};
    fake_register(world, broken, NULL, 0);
    expect(world, run, 0, "worker",
        "no live worker that could take it has the operator \"slack\": w1 lacks it; w2: curl is "
        "not in PATH");
    struct fake *able = fake_add(world, 1);
    able->operators[0] =
        (struct operator_line){.name = slice_of("slack"), .version = slice_of("1.2")};
    fake_register(world, able, NULL, 0);
    world_pass(world, 2000);
    assert_int_equal(world_task_state(world, run, 0), TASK_ASSIGNED);
    assert_true(slice_is(fake_assign(able, 0)->operator, "slack"));
}

/* ---- those who have it do not take it ---- */

static void explain_taken_slots_count_who_is_before(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    (void)world_submit(world, LEASE "tasks:\n  a: {bash: run}\n  b: {bash: run}\n");
    uint64_t run = world_submit(
        world, LEASE "tasks:\n  a: {bash: run}\n  b: {bash: run}\n  c: {bash: run, labels: gpu}\n");
    expect(
        world, run, 0, "slot", "the one slot of the worker that serves queue \"default\" is taken");
    expect(world, run, 1, "slot",
        "the one slot of the worker that serves queue \"default\" is taken; 1 task is before it");
    uint64_t urgent = world_submit(world, LEASE "tasks:\n  a: {bash: run, priority_weight: 9}\n");
    (void)urgent;
    struct fake *large = fake_add(world, 3);
    large->full = true;
    fake_register(world, large, NULL, 0);
    (void)fake;
    expect_status(world, run,
        "1 ready task: no live worker of queue \"default\" has all its labels (gpu): w1 lacks "
        "gpu; w2 lacks gpu");
}

static void explain_fleet_that_is_full_or_away_says_which(void **state)
{
    struct core_world *world = *state;
    struct fake *first = fake_up(world, 2), *second = fake_up(world, 2);
    struct buffer yaml = {0};
    buffer_append_text(&yaml, LEASE "tasks:\n");
    for (int i = 0; i < 12; i++)
        buffer_printf(&yaml, "  t%02d: {bash: run}\n", i);
    uint64_t run = world_submit(world, buffer_text(&yaml));
    buffer_fini(&yaml);
    expect(world, run, 11, "slot",
        "all 4 slots of the 2 workers that serve queue \"default\" are taken; 3 tasks are before "
        "it");
    (void)world_drain_worker(world, "w1", false);
    expect(world, run, 11, "slot",
        "all 2 slots of the worker that serves queue \"default\" are taken; w1 is draining; 3 "
        "tasks are before it");
    second->full = true;
    fake_beat(world, second);
    expect(world, run, 11, "worker",
        "no worker that serves queue \"default\" takes tasks now: w1 is draining, w2 has a full "
        "disk");
    first->leaving = true;
    second->beats = false;
    world_pass(world, 4000);
    expect(world, run, 11, "worker",
        "no worker that serves queue \"default\" takes tasks now: w1 was told to stop, w2 is "
        "silent");
}

static void explain_cap_of_a_run_is_named(void **state)
{
    struct core_world *world = *state;
    (void)fake_up(world, 8);
    uint64_t run = world_submit(world,
        "max_active_tasks: 2\n" LEASE "tasks:\n  a: {bash: run}\n  b: {bash: run}\n"
        "  c: {bash: run}\n  d: {bash: run}\n");
    expect(world, run, 3, "cap",
        "2 tasks of its run are active already, and max_active_tasks is 2; 1 ready one is before "
        "it");
    expect_run(world, run, "2 assigned, 2 ready; max_active_tasks is 2");
}

static void explain_queued_run_names_the_runs_that_hold_it(void **state)
{
    struct core_world *world = *state;
    (void)fake_up(world, 8);
    static const char text[] = "max_active_runs: 1\n" LEASE "tasks:\n  a: {bash: run}\n";
    (void)world_submit(world, text);
    uint64_t second = world_submit(world, text);
    uint64_t third = world_submit(world, text);
    expect_run(world, second, "queued: max_active_runs of test is 1, and test/1 is running");
    expect_status(world, third,
        "queued: max_active_runs of test is 1, and test/1 is running; 1 run is before it");
    expect(world, second, 0, "run",
        "its run is queued: max_active_runs of test is 1, and test/1 is running");
}

/* ---- on a worker ---- */

static void explain_task_on_a_worker_says_where(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, LEASE "tasks:\n"
                                             "  a: {bash: run, execution_timeout: 10m}\n"
                                             "  b: {bash: run}\n");
    expect(world, run, 0, "nothing", "sent to w1, which starts it now");
    fake_started(world, fake, attempt_named(run, 0, 1));
    world_pass(world, 3000);
    expect(world, run, 0, "nothing", "runs on w1, and is stopped after 10m00s at the latest");
    expect(world, run, 1, "slot", "sent to w1, which starts it when one of its 1 slot is free");
    assert_int_equal(since(world, run, 0), world->now_wall - 3000);
    assert_int_equal(since(world, run, 1), world->now_wall - 3000);
    (void)world_drain_worker(world, "w1", false);
    expect(
        world, run, 1, "slot", "sent to w1, and asked back: another worker may start it at once");
    world_cancel(world, run, 0);
    expect(world, run, 0, "cancel",
        "is to be cancelled: w1 was told to stop it, and has not said that it ended");
}

static void explain_unreachable_task_says_when_it_goes_again(void **state)
{
    struct core_world *world = *state;
    uint64_t run, endless;
    struct fake *fake = world_run_one(world, LEASE "tasks:\n  a: {bash: run}\n", &run);
    endless = world_submit(world, "tasks:\n  a: {bash: run, lease: none}\n");
    fake->beats = false;
    fake_beat(world, fake);
    world_pass(world, 10000);
    struct msg_explained explained = explain(world, run, 0);
    assert_string_equal(explained.lines.items[0].text.ptr,
        "w1 is silent for 7.4s, and it may still be there: it goes on as soon as that worker is "
        "back, else it starts again in 1m07s, when its lease has run out (reeve workers --lost w1 "
        "if you know that its host is gone)");
    assert_true(slice_is(explained.lines.items[0].waits_for, "lease"));
    assert_int_equal(explained.lines.items[0].since, world->now_wall - 7400);
    world_pass(world, 60000);
    assert_string_equal(explain(world, endless, 0).lines.items[0].text.ptr,
        "w1 is silent for 1m07s, and it may still be there: it goes on as soon as that worker is "
        "back; its lease is none, so that nothing else ends this wait (reeve "
        "workers --lost w1 if you know that its host is gone)");
}

/* ---- between tries, and over ---- */

static void explain_retrying_task_says_which_try_and_when(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run =
        world_submit(world, LEASE "tasks:\n  a: {bash: run, retries: 3, retry_delay: 5m}\n"
                                  "  b: {bash: run, needs: a}\n");
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_FAILED);
    world_pass(world, 30000);
    expect(world, run, 0, "retry",
        "try 1 of 4 failed (exit_code); the next begins in 4m30s (reeve retry test/1/a begins it "
        "now)");
    expect(world, run, 1, "dependency", "waits for a (retrying for 30s)");
    assert_int_equal(since(world, run, 0), world->now_wall - 30000);
    world_restart(world);
    expect(world, run, 0, "retry",
        "try 1 of 4 failed (exit_code); the next begins in 4m30s (reeve retry test/1/a begins it "
        "now)");
    assert_int_equal(since(world, run, 0), world->now_wall - 30000);
}

static void explain_ended_task_says_why(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 4);
    uint64_t run =
        world_submit(world, LEASE "tasks:\n  a: {bash: run, retries: 1, retry_delay: 1s}\n"
                                  "  b: {bash: run, needs: a}\n  c: {bash: run}\n"
                                  "  d: {bash: run, needs: a, trigger_rule: all_failed}\n");
    fake_ended(world, fake, attempt_named(run, 2, 1), ATTEMPT_SUCCESS);
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_FAILED);
    world_pass(world, 1200);
    fake_ended(world, fake, attempt_named(run, 0, 2), ATTEMPT_FAILED);
    world_mark(world, run, 3, TASK_SKIPPED);
    assert_true(world_was_refused(world));
    fake_ended(world, fake, attempt_named(run, 3, 1), ATTEMPT_SUCCESS);
    world_pass(world, 120000);
    expect(world, run, 0, "nothing",
        "ended 2m00s ago: exit_code, after 2 tries (reeve logs test/1/a)");
    expect(
        world, run, 1, "nothing", "ended 2m00s ago by its trigger rule all_success: a has failed");
    expect(world, run, 2, "nothing", "succeeded 2m01s ago");
    expect_run(
        world, run, "ended 2m00s ago: 1 of its 4 tasks failed, and so 1 below them never ran");
    struct msg_explained explained = explain(world, run, TASK_ALL);
    assert_int_equal(explained.lines.count, 1);
    assert_int_equal(explained.more, 0);
    expect_status(world, run, "");
    world_mark(world, run, 0, TASK_SUCCESS);
    expect(world, run, 0, "nothing", "succeeded 0.0s ago: a person marked it so");
}

static void explain_master_that_was_fenced_says_so(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    fake->says_epoch = world->epoch + 5;
    fake_beat(world, fake);
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: run}\n");
    struct msg_explained explained = explain(world, run, 0);
    assert_non_null(strstr(explained.lines.items[0].text.ptr, "nothing is dispatched"));
    assert_non_null(strstr(explained.text.ptr, "nothing is dispatched"));
}

/* ---- a run's lines ---- */

static void explain_run_lists_the_worst_first_and_counts_the_rest(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 2);
    uint64_t run = world_submit(world, LEASE "tasks:\n"
                                             "  a: {bash: run}\n"
                                             "  b: {bash: run, retries: 1}\n"
                                             "  c: {bash: run, queue: gpu}\n"
                                             "  d: {bash: run, needs: [a, b, c]}\n"
                                             "  e: {bash: run, needs: d}\n");
    fake_started(world, fake, attempt_named(run, 0, 1));
    fake_ended(world, fake, attempt_named(run, 1, 1), ATTEMPT_FAILED);
    struct msg_explained explained = explain(world, run, TASK_ALL);
    assert_string_equal(explained.text.ptr, "1 running, 1 ready, 1 retrying, 2 waiting");
    assert_string_equal(explained.run.ptr, "test/1");
    assert_int_equal(explained.lines.count, 3);
    assert_int_equal(explained.more, 2);
    assert_true(slice_is(explained.lines.items[0].task, "c"));
    assert_true(slice_is(explained.lines.items[1].task, "b"));
    assert_true(slice_is(explained.lines.items[2].task, "a"));
}

/* Many ready tasks of a kind wait for the same: a few of them are told. */
static void explain_large_run_is_bounded(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1000);
    struct buffer yaml = {0};
    buffer_append_text(&yaml, LEASE "tasks:\n");
    for (int i = 0; i < 4000; i++)
        buffer_printf(&yaml, "  t%04d: {bash: run}\n", i);
    uint64_t run = world_submit(world, buffer_text(&yaml));
    buffer_fini(&yaml);
    struct msg_explained explained = explain(world, run, TASK_ALL);
    assert_int_equal(explained.lines.count, 1000);
    assert_int_equal(explained.more, 3000);
    assert_true(slice_is(explained.lines.items[0].waits_for, "slot"));
    assert_int_equal(explained.lines.items[9].state, TASK_READY);
    assert_int_equal(explained.lines.items[10].state, TASK_ASSIGNED);
    assert_int_equal(fake_count(fake, MESSAGE_assign), 2000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(explain_waiting_task_names_what_it_waits_for),
        TEST(explain_without_any_worker_says_so),
        TEST(explain_queue_that_nobody_serves_names_those_that_are),
        TEST(explain_labels_that_nobody_has_name_who_lacks_which),
        TEST(explain_user_that_nobody_runs_names_those_they_run),
        TEST(explain_operator_that_nobody_has_says_who_lacks_it),
        TEST(explain_taken_slots_count_who_is_before),
        TEST(explain_fleet_that_is_full_or_away_says_which),
        TEST(explain_cap_of_a_run_is_named),
        TEST(explain_queued_run_names_the_runs_that_hold_it),
        TEST(explain_task_on_a_worker_says_where),
        TEST(explain_unreachable_task_says_when_it_goes_again),
        TEST(explain_retrying_task_says_which_try_and_when),
        TEST(explain_ended_task_says_why),
        TEST(explain_master_that_was_fenced_says_so),
        TEST(explain_run_lists_the_worst_first_and_counts_the_rest),
        TEST(explain_large_run_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
