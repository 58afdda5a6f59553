/* What becomes of a task whose worker is lost: on_lost, max_losses, and a person's word. */
#include "tests/unit/core_world.h"

#include "common/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define OVER_MS (LEASE_MS + MARGIN_MS + 1000)

static const char FAIL[] = LEASE "tasks:\n  a: {bash: run, on_lost: fail, retries: 2}\n";
static const char HOLD[] = LEASE "tasks:\n  a: {bash: run, on_lost: hold}\n";
static const char RERUN[] = LEASE "tasks:\n  a: {bash: run, max_losses: 2}\n";

static const char ONE_LONG[] = "tasks:\n  a: {bash: run, lease: 8m}\n";

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

/* The worker of the run's first attempt is silent past its lease. */
static struct fake *lose(struct core_world *world, const char *yaml, uint64_t *ret_run)
{
    struct fake *fake = world_run_one(world, yaml, ret_run);
    fake->beats = false;
    world_pass(world, OVER_MS);
    return fake;
}

/* Its worker says that its runner killed the attempt, or lost it. */
static void say_lost(
    struct core_world *world, struct fake *fake, struct attempt_id id, enum reason reason)
{
    struct msg_ended message = {.id = id,
        .state = ATTEMPT_LOST,
        .reason = reason,
        .exit_code = -1,
        .error = slice_of("gone"),
        .started_at = world->now_ms,
        .ended_at = world->now_ms};
    fake_say(world, fake, MESSAGE_ended, &message);
}

/* ---- fail ---- */

static void lost_fail_ends_the_task_when_the_lease_is_over_and_takes_no_late_result(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = lose(world, FAIL, &run);
    assert_int_equal(world_task_state(world, run, 0), TASK_FAILED);
    assert_int_equal(world_run_state(world, run), RUN_FAILED);
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_LOST);
    struct held_attempt held = fake_holds(fake, attempt_named(run, 0, 1), HOLDING_ENDED);
    fake_register(world, fake, &held, 1);
    fake_ended(world, fake, held.id, ATTEMPT_SUCCESS);
    assert_int_equal(world_task_state(world, run, 0), TASK_FAILED);
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_LOST);
    assert_int_equal(fake_count(fake, MESSAGE_settled), 1);
}

static void lost_fail_is_no_try_and_what_never_started_goes_again(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, FAIL);
    fake_given_back(world, fake, attempt_named(run, 0, 1));
    fake_beat(world, fake);
    world_pass(world, 1000);
    assert_int_equal(fake_assign(fake, 0)->id.attempt, 2);
    fake_ended(world, fake, attempt_named(run, 0, 2), ATTEMPT_FAILED);
    assert_int_equal(world_task_state(world, run, 0), TASK_RETRYING);
}

static void lost_fail_ends_a_task_whose_runner_died_at_once(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, FAIL, &run);
    fake->dead_instance = fake->instance;
    fake->instance = 4444;
    fake_register(world, fake, NULL, 0);
    assert_int_equal(world_run_state(world, run), RUN_FAILED);
    assert_int_equal(world_attempt(world, run, 0, 1)->reason, REASON_WORKER_LOST);
}

/* What was over when the master ended is over when it starts again: else what was started in its
 * place under max_active_tasks would be one too many, should it come back. */
static void lost_lease_that_was_over_is_not_counted_again_after_a_restart(void **state)
{
    static const char yaml[] = LEASE "max_active_tasks: 1\ntasks:\n  a: {bash: run}\n";
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = lose(world, yaml, &run);
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
    world_restart(world);
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
    struct held_attempt held = fake_holds(fake, attempt_named(run, 0, 1), HOLDING_RUNNING);
    fake_register(world, fake, &held, 1);
    assert_int_equal(fake->registered->keep.count, 0);
    assert_int_equal(fake_assign(fake, 0)->id.attempt, 2);
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_LOST);
}

/* And still its late result counts, as long as nothing was started in its place. */
static void lost_result_of_a_lease_that_was_over_counts_after_a_restart(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = lose(world, LEASE "tasks:\n  a: {bash: run}\n", &run);
    world_restart(world);
    struct held_attempt held = fake_holds(fake, attempt_named(run, 0, 1), HOLDING_ENDED);
    fake_register(world, fake, &held, 1);
    assert_int_equal(fake->registered->keep.count, 1);
    fake_ended(world, fake, held.id, ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
}

/* ---- hold ---- */

static void lost_hold_waits_for_a_person_also_after_a_restart(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    (void)lose(world, HOLD, &run);
    struct fake *other = fake_up(world, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(world_task_state(world, run, 0), TASK_HELD);
        assert_int_equal(world_run_state(world, run), RUN_RUNNING);
        world_restart(world);
        fake_register(world, other, NULL, 0);
        world_pass(world, 2000);
    }
    assert_null(fake_assign(other, 0));
    world_retry(world, run, 0, false);
    assert_false(world_was_refused(world));
    world_pass(world, 1000);
    assert_int_equal(fake_assign(other, 0)->id.attempt, 2);
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_LOST);
    fake_ended(world, other, attempt_named(run, 0, 2), ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
}

static void lost_hold_ends_by_a_mark_or_a_cancel(void **state)
{
    struct core_world *world = *state;
    uint64_t marked, cancelled;
    struct fake *fake = lose(world, HOLD, &marked);
    world_mark(world, marked, 0, TASK_SUCCESS);
    assert_int_equal(world_run_state(world, marked), RUN_SUCCESS);
    fake->slots = 0;
    (void)lose(world, HOLD, &cancelled);
    world_cancel(world, cancelled, TASK_ALL);
    assert_int_equal(world_run_state(world, cancelled), RUN_CANCELLED);
    assert_int_equal(world_attempt(world, cancelled, 0, 1)->state, ATTEMPT_LOST);
}

static void lost_hold_is_ended_by_the_late_result(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = lose(world, HOLD, &run);
    struct held_attempt held = fake_holds(fake, attempt_named(run, 0, 1), HOLDING_ENDED);
    fake_register(world, fake, &held, 1);
    fake_ended(world, fake, held.id, ATTEMPT_SUCCESS);
    assert_int_equal(world_run_state(world, run), RUN_SUCCESS);
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_SUCCESS);
}

static void lost_hold_keeps_a_task_whose_runner_died_also_after_a_restart(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, HOLD, &run);
    fake->dead_instance = fake->instance;
    fake->instance = 4444;
    fake_register(world, fake, NULL, 0);
    assert_int_equal(world_task_state(world, run, 0), TASK_HELD);
    world_restart(world);
    assert_int_equal(world_task_state(world, run, 0), TASK_HELD);
    world_retry(world, run, TASK_ALL, false);
    assert_true(world_was_refused(world));
    world_retry(world, run, 0, false);
    assert_false(world_was_refused(world));
}

static void lost_hold_is_explained_with_what_a_person_can_do(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    (void)lose(world, HOLD, &run);
    struct arena arena = {0};
    struct msg_explained explained = {0};
    core_explain(world->core, run, 0, &arena, &explained);
    assert_int_equal(explained.lines.count, 1);
    assert_true(slice_is(explained.lines.items[0].waits_for, "person"));
    assert_non_null(strstr(explained.lines.items[0].text.ptr, "reeve mark"));
    arena_fini(&arena);
}

/* ---- max_losses ---- */

/* FAULTS 22. */
static void lost_too_many_workers_quarantines_the_task(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    (void)lose(world, RERUN, &run);
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
    struct fake *second = fake_up(world, 1);
    world_pass(world, 1000);
    assert_int_equal(fake_assign(second, 0)->id.attempt, 2);
    world_restart(world);
    world_pass(world, OVER_MS);
    assert_int_equal(world_task_state(world, run, 0), TASK_FAILED);
    assert_int_equal(world_run_state(world, run), RUN_FAILED);
    struct task_view view;
    assert_true(core_view_task(world->core, run, 0, &view));
    assert_int_equal(view.reason, REASON_QUARANTINED);
    struct span_row last = world->rows.spans[world->rows.span_count - 1];
    assert_true(slice_is(last.error, "lost 2 workers"));
}

static void lost_worker_that_was_stopped_or_gave_back_is_not_counted(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, RERUN);
    for (uint32_t i = 1; i <= 5; i++) {
        world_pass(world, 2000);
        assert_int_equal(fake_assign(fake, 0)->id.attempt, i);
        say_lost(world, fake, attempt_named(run, 0, i), REASON_WORKER_STOPPED);
    }
    for (uint32_t i = 6; i <= 10; i++) {
        world_pass(world, 2000);
        assert_int_equal(fake_assign(fake, 0)->id.attempt, i);
        fake_given_back(world, fake, attempt_named(run, 0, i));
    }
    world_pass(world, 2000);
    say_lost(world, fake, attempt_named(run, 0, 11), REASON_LEASE);
    world_pass(world, 2000);
    say_lost(world, fake, attempt_named(run, 0, 12), REASON_WORKER_LOST);
    assert_int_equal(world_run_state(world, run), RUN_FAILED);
}

static void lost_workers_are_counted_afresh_after_a_retry(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, RERUN);
    for (uint32_t i = 1; i <= 2; i++) {
        world_pass(world, 2000);
        say_lost(world, fake, attempt_named(run, 0, i), REASON_WORKER_LOST);
    }
    assert_int_equal(world_run_state(world, run), RUN_FAILED);
    world_retry(world, run, 0, false);
    world_pass(world, 2000);
    say_lost(world, fake, attempt_named(run, 0, 3), REASON_WORKER_LOST);
    world_pass(world, 2000);
    assert_int_equal(fake_assign(fake, 0)->id.attempt, 4);
}

/* ---- a person's word ---- */

static void say_gone(struct core_world *world, const char *worker)
{
    struct event event = {.kind = EVENT_LOST_WORKER};
    event.worker_change.worker = slice_of(worker);
    world_ask(world, event);
}

static void lost_by_a_person_goes_on_at_once_and_is_audited(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, RERUN, &run);
    struct fake *other = fake_up(world, 1);
    fake->beats = false;
    world_pass(world, 4000);
    say_gone(world, fake->name);
    assert_non_null(strstr(world_answer_text(world), "1 task there was lost"));
    assert_int_equal(fake_assign(other, 0)->id.attempt, 2);
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_LOST);
    assert_true(slice_is(world_last_audit(world)->action, "lost_worker"));
    assert_true(slice_is(world_last_audit(world)->target, fake->name));
    /* It was not gone: nothing that it says counts, and what it has is not kept. */
    fake_beat(world, fake);
    assert_int_equal(fake->again, 1);
    struct held_attempt held = fake_holds(fake, attempt_named(run, 0, 1), HOLDING_RUNNING);
    fake_register(world, fake, &held, 1);
    assert_int_equal(fake->registered->keep.count, 0);
}

static void lost_by_a_person_is_refused_while_its_worker_is_heard(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, RERUN, &run);
    say_gone(world, fake->name);
    assert_true(world_was_refused(world));
    assert_non_null(strstr(world_answer_text(world), "reeve drain"));
    assert_int_equal(world_task_state(world, run, 0), TASK_RUNNING);
    say_gone(world, "nobody");
    assert_true(world_was_refused(world));
}

/* A host that came back with another runner does not have what it had, which no lease ends. */
static void lost_by_a_person_ends_what_a_newcomer_does_not_have(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, "tasks:\n  a: {bash: run, lease: none}\n", &run);
    fake->beats = false;
    world_pass(world, 5000);
    fake->instance = 4444;
    fake->boot[5] = 99;
    fake->beats = true;
    fake_register(world, fake, NULL, 0);
    world_pass(world, OVER_MS);
    assert_int_equal(world_task_state(world, run, 0), TASK_UNREACHABLE);
    say_gone(world, fake->name);
    assert_false(world_was_refused(world));
    world_pass(world, 1000);
    assert_int_equal(fake_assign(fake, 0)->id.attempt, 2);
}

static void lost_by_a_person_follows_on_lost_and_a_cancel(void **state)
{
    struct core_world *world = *state;
    uint64_t held, failed, cancelled;
    struct fake *fakes[3] = {world_run_one(world, HOLD, &held)};
    fakes[1] = world_run_one(world, FAIL, &failed);
    fakes[2] = world_run_one(world, RERUN, &cancelled);
    for (int i = 0; i < 3; i++)
        fakes[i]->beats = false;
    world_cancel(world, cancelled, TASK_ALL);
    world_pass(world, 4000);
    for (int i = 0; i < 3; i++)
        say_gone(world, fakes[i]->name);
    assert_int_equal(world_task_state(world, held, 0), TASK_HELD);
    assert_int_equal(world_run_state(world, failed), RUN_FAILED);
    assert_int_equal(world_run_state(world, cancelled), RUN_CANCELLED);
    world_restart(world);
    assert_int_equal(world_task_state(world, held, 0), TASK_HELD);
}

/* ---- a restored store ---- */

/* FAULTS 37. */
static void lost_by_a_restore_nothing_starts_before_every_lease_is_over(void **state)
{
    struct core_world *world = *state;
    uint64_t run = world_submit(world, ONE_LONG);
    world->restored = true;
    world_restart(world);
    world->restored = false;
    struct fake *fake = fake_up(world, 2);
    world_pass(world, 480000 + 480000 / 5 + 5000 - 1000);
    assert_int_equal(fake_count(fake, MESSAGE_assign), 0);
    struct arena arena = {0};
    struct msg_explained explained = {0};
    core_explain(world->core, run, 0, &arena, &explained);
    assert_non_null(strstr(explained.lines.items[0].text.ptr, "restored"));
    arena_fini(&arena);
    world_pass(world, 2000);
    /* Attempt 1 may be what the fleet ran after the backup. */
    assert_int_equal(fake_assign(fake, 0)->id.attempt, 1001);
}

static void lost_by_a_restore_an_attempt_that_is_over_may_have_done_its_work(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, HOLD, &run);
    world->restored = true;
    world_restart(world);
    world->restored = false;
    fake_register(world, fake, NULL, 0);
    assert_int_equal(world_task_state(world, run, 0), TASK_HELD);
    assert_int_equal(world_attempt(world, run, 0, 1)->reason, REASON_WORKER_LOST);
}

static void lost_by_a_restore_an_attempt_that_nobody_knows_is_not_kept(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, ONE_LONG);
    world->restored = true;
    world_restart(world);
    world->restored = false;
    struct held_attempt held = fake_holds(fake, attempt_named(run ^ 1, 0, 1), HOLDING_RUNNING);
    fake_register(world, fake, &held, 1);
    assert_int_equal(fake->registered->keep.count, 0);
}

/* A store that was restored without a word: its next epoch was another master's once. */
static void lost_by_a_restore_same_epoch_of_another_leader_stops_dispatch(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_add(world, 1);
    struct buffer frame = {0};
    struct frame_header header = {
        .version = PROTOCOL_VERSION, .epoch = world->epoch, .leader = 0x5eed, .session = 0x1234};
    struct msg_register message = {.cluster = slice_of(fake->cluster),
        .worker = slice_make(fake->key, sizeof fake->key),
        .boot = slice_make(fake->boot, sizeof fake->boot),
        .name = slice_of(fake->name),
        .instance = fake->instance,
        .slots = 1,
        .now = world->now_ms};
    frame_begin(&frame, &header);
    message_encode(&frame, MESSAGE_register, &message);
    fake_send(world, fake, buffer_slice(&frame));
    buffer_fini(&frame);
    struct slice text = {0};
    assert_true(core_is_fenced(world->core, &text));
    assert_non_null(strstr(text.ptr, "--accept-restore"));
}

/* ---- idempotent ---- */

static const char TWICE[] =
    LEASE "tasks:\n  a: {bash: run, idempotent: true}\n  b: {bash: run, needs: a}\n";

/* The first attempt runs on a worker that has fallen silent, the second on the other one. */
static void double_up(
    struct core_world *world, uint64_t *ret_run, struct fake **ret_elder, struct fake **ret_younger)
{
    *ret_elder = world_run_one(world, TWICE, ret_run);
    *ret_younger = fake_up(world, 1);
    (*ret_elder)->beats = false;
    world_pass(world, 2000);
    assert_null(fake_assign(*ret_younger, 0));
    world_pass(world, 1500);
    assert_int_equal(fake_assign(*ret_younger, 0)->id.attempt, 2);
    assert_int_equal(world_attempt(world, *ret_run, 0, 1)->state, ATTEMPT_ASSIGNED);
    struct task_view view;
    assert_true(core_view_task(world->core, *ret_run, 0, &view));
    assert_int_equal(view.elder, 1);
    assert_int_equal(view.elder_state, ATTEMPT_UNREACHABLE);
    fake_started(world, *ret_younger, attempt_named(*ret_run, 0, 2));
}

static void lost_idempotent_task_starts_again_as_soon_as_its_worker_is_silent(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *elder, *younger;
    double_up(world, &run, &elder, &younger);
    fake_ended(world, younger, attempt_named(run, 0, 2), ATTEMPT_SUCCESS);
    assert_int_equal(world_task_state(world, run, 0), TASK_SUCCESS);
    assert_int_equal(world_attempt(world, run, 0, 1)->state, ATTEMPT_CANCELLED);
    assert_int_equal(world_attempt(world, run, 0, 1)->reason, REASON_SUPERSEDED);
    /* It comes back in the session that it had: it has to register, and is not named. */
    fake_beat(world, elder);
    assert_int_equal(elder->again, 1);
    struct held_attempt held = fake_holds(elder, attempt_named(run, 0, 1), HOLDING_RUNNING);
    fake_register(world, elder, &held, 1);
    assert_int_equal(elder->registered->keep.count, 0);
}

static void lost_idempotent_elder_that_ends_first_wins_and_the_other_is_killed(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *elder, *younger;
    double_up(world, &run, &elder, &younger);
    fake_beat(world, elder);
    fake_ended(world, elder, attempt_named(run, 0, 1), ATTEMPT_SUCCESS);
    assert_int_equal(world_task_state(world, run, 0), TASK_SUCCESS);
    assert_int_equal(fake_count(younger, MESSAGE_kill), 1);
    assert_int_equal(world_attempt(world, run, 0, 2)->reason, REASON_SUPERSEDED);
    fake_ended(world, younger, attempt_named(run, 0, 2), ATTEMPT_SUCCESS);
    assert_int_equal(fake_count(younger, MESSAGE_settled), 1);
    assert_int_equal(world_attempt(world, run, 0, 2)->state, ATTEMPT_CANCELLED);
    world_restart(world);
    assert_int_equal(world_task_state(world, run, 0), TASK_SUCCESS);
}

static void lost_idempotent_task_whose_worker_is_back_in_time_goes_on_alone(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, TWICE, &run);
    fake->beats = false;
    world_pass(world, 5000);
    assert_int_equal(world_task_state(world, run, 0), TASK_READY);
    fake_beat(world, fake);
    assert_int_equal(world_task_state(world, run, 0), TASK_RUNNING);
    struct fake *other = fake_up(world, 1);
    world_pass(world, 1000);
    assert_null(fake_assign(other, 0));
}

/* A copy of its directory leaves: that says nothing of the host where the attempt runs. */
static void lost_idempotent_task_is_not_silent_because_a_copy_of_its_worker_leaves(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *fake = world_run_one(world, TWICE, &run);
    fake->beats = false;
    struct fake *other = fake_up(world, 1);
    struct fake *copy = fake_add(world, 1);
    memcpy(copy->key, fake->key, sizeof copy->key);
    copy->beats = false;
    world_restart(world);
    fake_register(world, other, NULL, 0);
    fake_register(world, copy, NULL, 0);
    assert_int_equal(world_task_state(world, run, 0), TASK_UNREACHABLE);
    fake_say(world, copy, MESSAGE_leave, &(struct msg_leave){0});
    world_pass(world, SILENT_AFTER_MS - 200);
    assert_null(fake_assign(other, 0));
    world_pass(world, 400);
    assert_int_equal(fake_assign(other, 0)->id.attempt, 2);
}

static void lost_idempotent_pair_outlives_one_of_them_and_a_restart(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *elder, *younger;
    double_up(world, &run, &elder, &younger);
    world_restart(world);
    struct held_attempt held[2] = {fake_holds(elder, attempt_named(run, 0, 1), HOLDING_RUNNING),
        fake_holds(younger, attempt_named(run, 0, 2), HOLDING_RUNNING)};
    fake_register(world, elder, &held[0], 1);
    fake_register(world, younger, &held[1], 1);
    assert_int_equal(elder->registered->keep.count, 1);
    assert_int_equal(younger->registered->keep.count, 1);
    say_lost(world, younger, held[1].id, REASON_WORKER_LOST);
    assert_int_equal(world_task_state(world, run, 0), TASK_RUNNING);
    world_restart(world);
    assert_int_equal(world_task_state(world, run, 0), TASK_UNREACHABLE);
    fake_register(world, elder, &held[0], 1);
    fake_ended(world, elder, held[0].id, ATTEMPT_SUCCESS);
    assert_int_equal(world_task_state(world, run, 0), TASK_SUCCESS);
}

static void lost_idempotent_pair_is_cancelled_when_both_are_over(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *elder, *younger;
    double_up(world, &run, &elder, &younger);
    world_mark(world, run, 0, TASK_SUCCESS);
    assert_true(world_was_refused(world));
    fake_beat(world, elder);
    world_cancel(world, run, TASK_ALL);
    assert_int_equal(fake_count(elder, MESSAGE_kill), 1);
    assert_int_equal(fake_count(younger, MESSAGE_kill), 1);
    fake_ended(world, younger, attempt_named(run, 0, 2), ATTEMPT_CANCELLED);
    assert_int_equal(world_run_state(world, run), RUN_RUNNING);
    fake_ended(world, elder, attempt_named(run, 0, 1), ATTEMPT_CANCELLED);
    assert_int_equal(world_run_state(world, run), RUN_CANCELLED);
}

/* Its worker says of one that it was cancelled, and nobody wished that: the task goes by the other,
 * after a restart too. */
static void lost_idempotent_pair_goes_on_when_one_was_ended_unasked(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *elder, *younger;
    double_up(world, &run, &elder, &younger);
    fake_ended(world, younger, attempt_named(run, 0, 2), ATTEMPT_CANCELLED);
    assert_int_equal(world_attempt(world, run, 0, 2)->reason, REASON_SUPERSEDED);
    struct held_attempt held = fake_holds(elder, attempt_named(run, 0, 1), HOLDING_RUNNING);
    fake_register(world, elder, &held, 1);
    say_lost(world, elder, held.id, REASON_WORKER_LOST);
    uint32_t before = world_task_state(world, run, 0);
    assert_int_not_equal(before, TASK_CANCELLED);
    world_restart(world);
    assert_int_not_equal(world_task_state(world, run, 0), TASK_CANCELLED);
}

/* One was ended by a cancel of all, which a retry took back before the other was lost. */
static void lost_idempotent_pair_goes_on_when_its_cancel_is_taken_back(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *elder, *younger;
    double_up(world, &run, &elder, &younger);
    fake_beat(world, elder);
    world_cancel(world, run, TASK_ALL);
    fake_ended(world, younger, attempt_named(run, 0, 2), ATTEMPT_FAILED);
    world_retry(world, run, TASK_ALL, false);
    assert_false(world_was_refused(world));
    (void)world_drain_worker(world, "w1", false);
    (void)world_drain_worker(world, "w2", false);
    struct held_attempt held = fake_holds(elder, attempt_named(run, 0, 1), HOLDING_RUNNING);
    fake_register(world, elder, &held, 1);
    say_lost(world, elder, held.id, REASON_WORKER_LOST);
    uint32_t before = world_task_state(world, run, 0);
    assert_int_not_equal(before, TASK_CANCELLED);
    world_restart(world);
    assert_int_not_equal(world_task_state(world, run, 0), TASK_CANCELLED);
}

static void lost_idempotent_task_has_two_attempts_at_most(void **state)
{
    struct core_world *world = *state;
    uint64_t run;
    struct fake *elder, *younger;
    double_up(world, &run, &elder, &younger);
    struct fake *third = fake_up(world, 1);
    younger->beats = false;
    world_pass(world, 10000);
    assert_null(fake_assign(third, 0));
    world_pass(world, OVER_MS);
    assert_int_equal(fake_assign(third, 0)->id.attempt, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(lost_fail_ends_the_task_when_the_lease_is_over_and_takes_no_late_result),
        TEST(lost_fail_is_no_try_and_what_never_started_goes_again),
        TEST(lost_fail_ends_a_task_whose_runner_died_at_once),
        TEST(lost_lease_that_was_over_is_not_counted_again_after_a_restart),
        TEST(lost_result_of_a_lease_that_was_over_counts_after_a_restart),
        TEST(lost_hold_waits_for_a_person_also_after_a_restart),
        TEST(lost_hold_ends_by_a_mark_or_a_cancel),
        TEST(lost_hold_is_ended_by_the_late_result),
        TEST(lost_hold_keeps_a_task_whose_runner_died_also_after_a_restart),
        TEST(lost_hold_is_explained_with_what_a_person_can_do),
        TEST(lost_too_many_workers_quarantines_the_task),
        TEST(lost_worker_that_was_stopped_or_gave_back_is_not_counted),
        TEST(lost_workers_are_counted_afresh_after_a_retry),
        TEST(lost_by_a_person_goes_on_at_once_and_is_audited),
        TEST(lost_by_a_person_is_refused_while_its_worker_is_heard),
        TEST(lost_by_a_person_ends_what_a_newcomer_does_not_have),
        TEST(lost_by_a_person_follows_on_lost_and_a_cancel),
        TEST(lost_by_a_restore_nothing_starts_before_every_lease_is_over),
        TEST(lost_by_a_restore_an_attempt_that_is_over_may_have_done_its_work),
        TEST(lost_by_a_restore_an_attempt_that_nobody_knows_is_not_kept),
        TEST(lost_by_a_restore_same_epoch_of_another_leader_stops_dispatch),
        TEST(lost_idempotent_task_starts_again_as_soon_as_its_worker_is_silent),
        TEST(lost_idempotent_elder_that_ends_first_wins_and_the_other_is_killed),
        TEST(lost_idempotent_task_whose_worker_is_back_in_time_goes_on_alone),
        TEST(lost_idempotent_task_is_not_silent_because_a_copy_of_its_worker_leaves),
        TEST(lost_idempotent_pair_outlives_one_of_them_and_a_restart),
        TEST(lost_idempotent_pair_is_cancelled_when_both_are_over),
        TEST(lost_idempotent_pair_goes_on_when_one_was_ended_unasked),
        TEST(lost_idempotent_pair_goes_on_when_its_cancel_is_taken_back),
        TEST(lost_idempotent_task_has_two_attempts_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
