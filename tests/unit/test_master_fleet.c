/* Which worker takes which task: labels, users, shares of slots; draining and leaving. */
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

static uint64_t submit_many(struct core_world *world, uint32_t tasks, const char *task)
{
    struct buffer yaml = {0};
    buffer_append_text(&yaml, LEASE "tasks:\n");
    for (uint32_t i = 0; i < tasks; i++)
        buffer_printf(&yaml, "  t%03u: %s\n", i, task);
    uint64_t run = world_submit(world, buffer_text(&yaml));
    buffer_fini(&yaml);
    return run;
}

static struct worker_view view_of(const struct core_world *world, const struct fake *fake)
{
    struct worker_view view;
    assert_true(
        core_view_worker(world->core, (uint32_t)(fake - world->fakes), world->now_ms, &view));
    return view;
}

static struct fake *fake_with(
    struct core_world *world, uint32_t slots, const char *label, const char *user)
{
    struct fake *fake = fake_add(world, slots);
    fake->labels[0] = label;
    fake->users[0] = user;
    fake_register(world, fake, NULL, 0);
    return fake;
}

static void fleet_limits_go_with_the_task_and_their_means_are_shown(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 2);
    (void)world_submit(world, LEASE "tasks:\n  a: {bash: run, memory: 512MiB, cpus: 1.5}\n"
                                    "  b: {bash: run}\n");
    assert_int_equal(fake_assign(fake, 0)->memory_bytes, 512ull * 1024 * 1024);
    assert_int_equal(fake_assign(fake, 0)->cpu_permille, 1500);
    assert_int_equal(fake_assign(fake, 1)->memory_bytes, 0);
    assert_int_equal(fake_assign(fake, 1)->cpu_permille, 0);
    struct worker_view view = view_of(world, fake);
    assert_true(slice_is(view.memory_limit_by, "cgroup"));
    assert_true(slice_is(view.cpu_limit_by, "affinity"));
}

/* ---- labels and users ---- */

static void fleet_task_with_labels_goes_to_a_worker_that_has_them_all(void **state)
{
    struct core_world *world = *state;
    struct fake *plain = fake_up(world, 4);
    struct fake *half = fake_with(world, 4, "gpu", NULL);
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: run, labels: [zone=eu, gpu]}\n");
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
    struct fake *whole = fake_add(world, 1);
    whole->labels[0] = "zone=eu";
    whole->labels[1] = "gpu";
    whole->labels[2] = "more";
    fake_register(world, whole, NULL, 0);
    assert_non_null(fake_assign(whole, 0));
    assert_null(fake_assign(plain, 0));
    assert_null(fake_assign(half, 0));
}

static void fleet_task_of_a_user_goes_where_that_user_is_listed(void **state)
{
    struct core_world *world = *state;
    struct fake *unlisted = fake_up(world, 4);
    struct fake *other = fake_with(world, 4, NULL, "reeve");
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: run, run_as: etl}\n"
                                             "  b: {bash: run}\n");
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
    assert_int_equal(world_task_state(world, run, 1), TASK_ASSIGNED);
    struct fake *listed = fake_add(world, 1);
    listed->users[0] = "reeve";
    listed->users[1] = "etl";
    fake_register(world, listed, NULL, 0);
    assert_non_null(fake_assign(listed, 0));
    assert_true(slice_is(fake_assign(listed, 0)->run_as, "etl"));
    assert_null(fake_assign(unlisted, 0));
    assert_null(fake_assign(other, 0));
}

static void fleet_task_that_nobody_can_take_holds_up_no_other(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t blocked = submit_many(world, 20, "{bash: run, labels: gpu, priority_weight: 100}");
    uint64_t run = submit_many(world, 3, "{bash: run}");
    assert_int_equal(world_task_state(world, blocked, 0), TASK_READY);
    for (uint32_t i = 0; i < 3; i++)
        fake_ended(world, fake, attempt_named(run, i, 1), ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
}

/* What a worker has is what it said last. */
static void fleet_worker_that_comes_back_with_other_labels_takes_other_tasks(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_with(world, 4, "gpu", NULL);
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: run, labels: ssd}\n");
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
    fake->labels[0] = "ssd";
    fake_register(world, fake, NULL, 0);
    assert_non_null(fake_assign(fake, 0));
    fake->labels[0] = "gpu";
    fake_given_back(world, fake, attempt_named(run, 0, 1));
    fake_beat(world, fake);
    assert_int_equal(world_task_state(world, run, 0), TASK_ASSIGNED);
    fake_register(world, fake, NULL, 0);
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
}

/* Classes share slots: the first run's tasks go first, whatever they ask. */
static void fleet_runs_of_several_classes_are_served_in_order(void **state)
{
    struct core_world *world = *state;
    uint64_t first = submit_many(world, 2, "{bash: run, labels: gpu}");
    uint64_t second = submit_many(world, 2, "{bash: run}");
    uint64_t urgent = submit_many(world, 1, "{bash: run, run_as: etl, priority_weight: 5}");
    struct fake *fake = fake_with(world, 2, "gpu", "etl");
    assert_int_equal(world_task_state(world, urgent, 0), TASK_ASSIGNED);
    assert_int_equal(world_task_state(world, first, 0), TASK_ASSIGNED);
    assert_int_equal(world_task_state(world, first, 1), TASK_ASSIGNED);
    assert_int_equal(world_task_state(world, second, 0), TASK_ASSIGNED);
    assert_int_equal(world_task_state(world, second, 1), TASK_READY);
    assert_int_equal(fake_count(fake, MESSAGE_assign), 4);
}

/* At one rank, tasks that few can take get those workers first: the others can go elsewhere. */
static void fleet_rare_workers_are_kept_for_those_that_need_them(void **state)
{
    struct core_world *world = *state;
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: run}\n  b: {bash: run}\n"
                                             "  c: {bash: run, labels: gpu}\n"
                                             "  d: {bash: run, labels: gpu}\n");
    struct fake *gpu = fake_with(world, 1, "gpu", NULL);
    assert_non_null(fake_assign(gpu, 2));
    assert_non_null(fake_assign(gpu, 3));
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
    struct fake *plain = fake_up(world, 1);
    assert_non_null(fake_assign(plain, 0));
    assert_non_null(fake_assign(plain, 1));
}

/* ---- shares ---- */

static void fleet_workers_that_differ_fill_by_their_share(void **state)
{
    struct core_world *world = *state;
    struct fake *small = fake_up(world, 1);
    struct fake *large = fake_up(world, 16);
    (void)submit_many(world, 17, "{bash: run}");
    assert_int_equal(fake_count(large, MESSAGE_assign), 16);
    assert_int_equal(fake_count(small, MESSAGE_assign), 1);
    (void)submit_many(world, 17, "{bash: run}");
    assert_int_equal(fake_count(large, MESSAGE_assign), 32);
    assert_int_equal(fake_count(small, MESSAGE_assign), 2);
}

static void fleet_worker_that_joins_gets_what_a_larger_one_holds_in_hand(void **state)
{
    struct core_world *world = *state;
    struct fake *large = fake_up(world, 8);
    uint64_t run = submit_many(world, 16, "{bash: run}");
    for (uint32_t i = 0; i < 8; i++)
        fake_started(world, large, attempt_named(run, i, 1));
    world_pass(world, 200);
    struct fake *small = fake_up(world, 3);
    world_pass(world, 200);
    /* As many as it has slots, in one go. */
    assert_int_equal(fake_count(large, MESSAGE_take_back), 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct msg_take_back *question = fake_told(large, MESSAGE_take_back, i);
        fake_given_back(world, large, question->id);
    }
    assert_int_equal(fake_count(small, MESSAGE_assign), 3);
    assert_int_equal(view_of(world, large).in_hand, 5);
}

/* Only what the idle one can take is asked for. */
static void fleet_idle_worker_is_given_nothing_that_it_cannot_take(void **state)
{
    struct core_world *world = *state;
    struct fake *busy = fake_with(world, 1, "gpu", NULL);
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: run, labels: gpu}\n"
                                             "  b: {bash: run, labels: gpu}\n");
    fake_started(world, busy, attempt_named(run, 0, 1));
    uint64_t light = world_submit(world, LEASE "tasks:\n  a: {bash: run}\n");
    (void)fake_up(world, 4);
    assert_int_equal(world_task_state(world, light, 0), TASK_ASSIGNED);
    world_pass(world, 2000);
    assert_int_equal(fake_count(busy, MESSAGE_take_back), 0);
}

static void fleet_worker_with_a_full_disk_takes_nothing_until_it_has_room(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    fake->full = true;
    fake_beat(world, fake);
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: run}\n");
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
    fake->full = false;
    fake_beat(world, fake);
    assert_int_equal(world_task_state(world, run, 0), TASK_ASSIGNED);
}

/* It would give back the next one as well, as fast as it can be sent. */
static void fleet_worker_that_gives_back_unasked_rests_until_its_next_heartbeat(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 4);
    uint64_t run = submit_many(world, 1, "{bash: run}");
    fake_given_back(world, fake, attempt_named(run, 0, 1));
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
    fake_beat(world, fake);
    assert_int_equal(world_task_state(world, run, 0), TASK_ASSIGNED);
    fake_given_back(world, fake, attempt_named(run, 0, 2));
    struct fake *other = fake_up(world, 1);
    assert_non_null(fake_assign(other, 0));
}

/* ---- drain ---- */

static void fleet_draining_worker_keeps_what_runs_and_gives_back_the_rest(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = submit_many(world, 3, "{bash: run}");
    fake_started(world, fake, attempt_named(run, 0, 1));
    assert_string_equal(world_drain_worker(world, "w1", false),
        "w1 takes no more tasks; 1 still runs there, 1 not started yet is asked back");
    assert_int_equal(view_of(world, fake).state, WORKER_DRAINING);
    assert_int_equal(world_task_state(world, run, 0), TASK_RUNNING);
    assert_int_equal(fake_count(fake, MESSAGE_take_back), 1);
    struct fake *other = fake_up(world, 1);
    assert_non_null(fake_assign(other, 2));
    fake_given_back(world, fake, attempt_named(run, 1, 1));
    assert_non_null(fake_assign(other, 1));
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_SUCCESS);
    assert_int_equal(fake_count(fake, MESSAGE_assign), 2);
    assert_int_equal(view_of(world, fake).state, WORKER_DRAINING);
    assert_string_equal(
        world_drain_worker(world, "w1", false), "w1 takes no more tasks; nothing runs there");
}

static void fleet_undrained_worker_takes_tasks_again(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    (void)world_drain_worker(world, "w1", false);
    uint64_t run = submit_many(world, 1, "{bash: run}");
    world_pass(world, 5000);
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
    assert_string_equal(world_drain_worker(world, "w1", true), "w1 takes tasks again");
    assert_int_equal(view_of(world, fake).state, WORKER_UP);
    assert_non_null(fake_assign(fake, 0));
}

static void fleet_drain_survives_restarts_of_worker_and_master(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 2);
    uint64_t run = submit_many(world, 3, "{bash: run}");
    fake_started(world, fake, attempt_named(run, 0, 1));
    (void)world_drain_worker(world, "w1", false);
    struct held_attempt held[] = {
        fake_holds(fake, attempt_named(run, 0, 1), HOLDING_RUNNING),
        fake_holds(fake, attempt_named(run, 1, 1), HOLDING_IN_HAND),
    };
    fake_empty(fake);
    fake_register(world, fake, held, 2);
    assert_int_equal(view_of(world, fake).state, WORKER_DRAINING);
    /* The question died with its session, and is asked again. */
    assert_int_equal(fake_count(fake, MESSAGE_take_back), 1);
    assert_int_equal(fake_count(fake, MESSAGE_assign), 0);
    fake_empty(fake);
    world_restart(world);
    fake_register(world, fake, held, 2);
    assert_int_equal(view_of(world, fake).state, WORKER_DRAINING);
    assert_int_equal(fake_count(fake, MESSAGE_take_back), 1);
    assert_int_equal(fake_count(fake, MESSAGE_assign), 0);
    assert_true(world->rows.workers[0].draining);
    (void)world_drain_worker(world, "w1", true);
    assert_false(world->rows.workers[0].draining);
}

static void fleet_draining_worker_that_falls_silent_is_shown_so_and_drains_again(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    (void)world_drain_worker(world, "w1", false);
    fake->beats = false;
    world_pass(world, SILENT_AFTER_MS + 200);
    assert_int_equal(view_of(world, fake).state, WORKER_SILENT);
    fake_beat(world, fake);
    assert_int_equal(view_of(world, fake).state, WORKER_DRAINING);
    fake->beats = false;
    world_pass(world, LEASE_DEFAULT_MS + 1000);
    assert_int_equal(view_of(world, fake).state, WORKER_GONE);
    assert_string_equal(world_drain_worker(world, "w1", false),
        "w1 is gone; it takes no tasks when it comes back, until it is undrained");
    fake_register(world, fake, NULL, 0);
    assert_int_equal(view_of(world, fake).state, WORKER_DRAINING);
}

static void fleet_drain_of_an_unknown_worker_names_the_nearest(void **state)
{
    struct core_world *world = *state;
    (void)fake_up(world, 1);
    struct fake *named = fake_add(world, 1);
    (void)memcpy(named->name, "north", 6);
    fake_register(world, named, NULL, 0);
    assert_string_equal(world_drain_worker(world, "nroth", false),
        "no worker is called \"nroth\": did you mean \"north\"?");
    assert_int_equal(((const struct msg_refused *)world->answer.body)->code, ERR_NOT_FOUND);
    assert_string_equal(world_drain_worker(world, "mainframe", true),
        "no worker is called \"mainframe\" (reeve workers lists them)");
}

static void fleet_worker_that_says_it_leaves_drains_while_it_says_so(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = submit_many(world, 3, "{bash: run}");
    fake_started(world, fake, attempt_named(run, 0, 1));
    fake->leaving = true;
    fake_beat(world, fake);
    assert_int_equal(view_of(world, fake).state, WORKER_DRAINING);
    assert_int_equal(fake_count(fake, MESSAGE_take_back), 1);
    fake_given_back(world, fake, attempt_named(run, 1, 1));
    assert_int_equal(world_task_state(world, run, 1), TASK_READY);
    assert_string_equal(world_drain_worker(world, "w1", true),
        "w1 takes no tasks still: it was told to stop, on its own host");
    assert_int_equal(view_of(world, fake).state, WORKER_DRAINING);
    assert_false(world->rows.workers[0].draining);
    fake->leaving = false;
    fake_beat(world, fake);
    assert_int_equal(view_of(world, fake).state, WORKER_UP);
    assert_int_equal(world_task_state(world, run, 2), TASK_ASSIGNED);
}

/* ---- leave ---- */

static void fleet_worker_that_left_is_gone_at_once(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    struct msg_leave leave = {.why = slice_of("stopped")};
    fake_say(world, fake, MESSAGE_leave, &leave);
    assert_int_equal(view_of(world, fake).state, WORKER_GONE);
    assert_int_equal(fake->again, 1);
    uint64_t run = submit_many(world, 1, "{bash: run}");
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
    fake_register(world, fake, NULL, 0);
    assert_int_equal(view_of(world, fake).state, WORKER_UP);
    assert_non_null(fake_assign(fake, 0));
}

static void fleet_worker_that_left_with_a_task_keeps_it_until_its_lease(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, LEASE "tasks:\n  a: {bash: run}\n", &run);
    struct msg_leave leave = {.why = slice_of("stopped")};
    fake->beats = false;
    fake_say(world, fake, MESSAGE_leave, &leave);
    struct fake *other = fake_up(world, 1);
    assert_int_equal(view_of(world, fake).state, WORKER_SILENT);
    assert_int_equal(world_task_state(world, run, 0), TASK_UNREACHABLE);
    world_pass(world, LEASE_MS + MARGIN_MS - 1000);
    assert_null(fake_assign(other, 0));
    world_pass(world, 2000);
    assert_non_null(fake_assign(other, 0));
    assert_int_equal(view_of(world, fake).state, WORKER_GONE);
}

/* ---- what is seen ---- */

static void fleet_worker_is_shown_with_what_it_said(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_with(world, 1, "gpu", "etl");
    fake->leaving = true;
    fake_beat(world, fake);
    struct worker_view view = view_of(world, fake);
    assert_int_equal(view.labels.count, 1);
    assert_true(slice_is(view.labels.items[0], "gpu"));
    assert_true(slice_is(view.users.items[0], "etl"));
    assert_true(view.load.leaving);
    assert_int_equal(view.address.length, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(fleet_limits_go_with_the_task_and_their_means_are_shown),
        TEST(fleet_task_with_labels_goes_to_a_worker_that_has_them_all),
        TEST(fleet_task_of_a_user_goes_where_that_user_is_listed),
        TEST(fleet_task_that_nobody_can_take_holds_up_no_other),
        TEST(fleet_worker_that_comes_back_with_other_labels_takes_other_tasks),
        TEST(fleet_runs_of_several_classes_are_served_in_order),
        TEST(fleet_rare_workers_are_kept_for_those_that_need_them),
        TEST(fleet_workers_that_differ_fill_by_their_share),
        TEST(fleet_worker_that_joins_gets_what_a_larger_one_holds_in_hand),
        TEST(fleet_idle_worker_is_given_nothing_that_it_cannot_take),
        TEST(fleet_worker_with_a_full_disk_takes_nothing_until_it_has_room),
        TEST(fleet_worker_that_gives_back_unasked_rests_until_its_next_heartbeat),
        TEST(fleet_draining_worker_keeps_what_runs_and_gives_back_the_rest),
        TEST(fleet_undrained_worker_takes_tasks_again),
        TEST(fleet_drain_survives_restarts_of_worker_and_master),
        TEST(fleet_draining_worker_that_falls_silent_is_shown_so_and_drains_again),
        TEST(fleet_drain_of_an_unknown_worker_names_the_nearest),
        TEST(fleet_worker_that_says_it_leaves_drains_while_it_says_so),
        TEST(fleet_worker_that_left_is_gone_at_once),
        TEST(fleet_worker_that_left_with_a_task_keeps_it_until_its_lease),
        TEST(fleet_worker_is_shown_with_what_it_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
