/* The runner's core in virtual time: what waits for a slot, and when it starts or never will. */
#include "tests/unit/runner_core_stage.h"

#include "common/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* A runs on the only slot, B and C wait. */
static void queue_two(struct stage *stage)
{
    stage->slots = 1;
    list(stage);
    run(stage, order(stage, A));
    start(stage, order(stage, B));
    assert_non_null(effect_of(stage, RUNNER_EFFECT_KEEP));
    assert_null(effect_of(stage, RUNNER_EFFECT_SPAWN));
    start(stage, order(stage, C));
    assert_null(effect_of(stage, RUNNER_EFFECT_SPAWN));
}

static void end_now(struct stage *stage, struct attempt_id id)
{
    exited(stage, id, 0);
    assert_null(effect_of(stage, RUNNER_EFFECT_SPAWN));
    (void)emptied(stage, id);
}

static void assert_spawns(struct stage *stage, struct attempt_id id)
{
    const struct runner_effect *effect = effect_of(stage, RUNNER_EFFECT_SPAWN);
    assert_non_null(effect);
    assert_int_equal(effect->id.task, id.task);
    assert_ptr_equal(effect, &stage->effects.items[stage->effects.count - 1]);
}

static void assert_not_started(struct stage *stage, struct attempt_id id)
{
    const struct msg_runner_exited *end = sent(stage, MESSAGE_runner_exited);
    assert_non_null(end);
    assert_int_equal(end->id.task, id.task);
    assert_int_equal(end->reason, REASON_NOT_STARTED);
    assert_int_equal(end->started_at, 0);
}

static void take_back(struct stage *stage, struct attempt_id id)
{
    struct msg_runner_take_back body = {.id = id};
    say(stage, MESSAGE_runner_take_back, &body);
}

static const struct msg_runner_holds *holds_of(struct stage *stage, struct attempt_id id)
{
    for (size_t i = 0; i < stage->effects.count; i++) {
        const struct runner_effect *effect = &stage->effects.items[i];
        if (effect->kind == RUNNER_EFFECT_SEND && effect->number == MESSAGE_runner_holds &&
            effect->id.task == id.task) {
            assert_true(effect->pipe);
            return effect->body;
        }
    }
    return NULL;
}

static void hello_says_that_starts_may_be_sent_ahead(void **state)
{
    struct stage *stage = *state;
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_DISCONNECTED});
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_CONNECTED});
    assert_true(((const struct msg_runner_hello *)sent(stage, MESSAGE_runner_hello))->queues);
}

static void turn_comes_in_order_when_the_tree_before_is_gone(void **state)
{
    struct stage *stage = *state;
    queue_two(stage);
    end_now(stage, A);
    assert_spawns(stage, B);
    spawned(stage, B);
    assert_int_equal(
        ((const struct msg_runner_started *)sent(stage, MESSAGE_runner_started))->id.task, B.task);
    assert_null(effect_of(stage, RUNNER_EFFECT_SPAWN));
    end_now(stage, B);
    assert_spawns(stage, C);
}

static void turn_passes_on_when_a_spawn_fails(void **state)
{
    struct stage *stage = *state;
    queue_two(stage);
    end_now(stage, A);
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_SPAWN_FAILED,
                    .id = B,
                    .reason = REASON_NOT_FOUND,
                    .text = slice_of("nope")});
    assert_spawns(stage, C);
}

static void turn_of_many_comes_one_a_step(void **state)
{
    struct stage *stage = *state;
    queue_two(stage);
    stage->slots = 3;
    list(stage);
    assert_null(effect_of(stage, RUNNER_EFFECT_SPAWN));
    stage->now_ms += 10;
    renew(stage, stage->now_ms);
    assert_spawns(stage, B);
    spawned(stage, B);
    assert_spawns(stage, C);
    spawned(stage, C);
}

static void turn_does_not_come_while_more_run_than_there_are_slots(void **state)
{
    struct stage *stage = *state;
    stage->slots = 2;
    list(stage);
    run(stage, order(stage, A));
    run(stage, order(stage, B));
    start(stage, order(stage, C));
    stage->slots = 1;
    list(stage);
    renew(stage, stage->now_ms);
    end_now(stage, A);
    assert_null(effect_of(stage, RUNNER_EFFECT_SPAWN));
    end_now(stage, B);
    assert_spawns(stage, C);
}

static void turn_on_an_old_stamp_waits_for_the_next(void **state)
{
    struct stage *stage = *state;
    queue_two(stage);
    stage->now_ms += START_FRESH_MS;
    end_now(stage, A);
    assert_null(effect_of(stage, RUNNER_EFFECT_SPAWN));
    renew(stage, stage->now_ms - START_FRESH_MS);
    assert_null(effect_of(stage, RUNNER_EFFECT_SPAWN));
    renew(stage, stage->now_ms - START_FRESH_MS + 1);
    assert_spawns(stage, B);
}

static void turn_without_an_agent_comes_only_while_its_stamp_is_fresh(void **state)
{
    struct stage *stage = *state;
    queue_two(stage);
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_DISCONNECTED});
    stage->now_ms += START_FRESH_MS - 1;
    exited(stage, A, 0);
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_EMPTY, .id = A});
    assert_spawns(stage, B);
    spawned(stage, B);
    stage->now_ms += 1;
    exited(stage, B, 0);
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_EMPTY, .id = B});
    assert_null(effect_of(stage, RUNNER_EFFECT_SPAWN));
}

static void turn_inside_the_grace_of_the_lease_never_comes(void **state)
{
    struct stage *stage = *state;
    queue_two(stage);
    stage->now_ms += 50000; /* lease 60 s, grace 10 s */
    struct msg_runner_start fresh = order(stage, (struct attempt_id){.run = 9, .task = 4});
    start(stage, fresh); /* its stamp is no renewal of the others' leases */
    end_now(stage, A);
    /* A's end, then those of B and C, then the spawn of what came last. */
    assert_spawns(stage, fresh.id);
    uint32_t never = 0;
    for (size_t i = 0; i < stage->effects.count; i++) {
        const struct runner_effect *effect = &stage->effects.items[i];
        const struct msg_runner_exited *end = effect->body;
        never += effect->kind == RUNNER_EFFECT_SEND && end->reason == REASON_NOT_STARTED;
    }
    assert_int_equal(never, 2);
}

static void renewal_moves_the_lease_of_what_waits(void **state)
{
    struct stage *stage = *state;
    queue_two(stage);
    stage->now_ms += 49000;
    renew(stage, stage->now_ms);
    stage->now_ms += 2000;
    end_now(stage, A);
    assert_spawns(stage, B);
}

static void list_names_what_waits_and_holds_it_until_the_next_stamp(void **state)
{
    struct stage *stage = *state;
    queue_two(stage);
    list(stage);
    assert_false(holds_of(stage, A)->queued);
    const struct msg_runner_holds *holds = holds_of(stage, B);
    assert_true(holds->queued);
    assert_false(holds->over);
    assert_true(slice_is(holds->cookie, "biscuit"));
    assert_int_equal(holds->started_at, 0);
    assert_non_null(holds_of(stage, C));
    end_now(stage, A);
    assert_null(effect_of(stage, RUNNER_EFFECT_SPAWN));
    /* What shall not go on is killed before the renewal. */
    ask_kill(stage, B, REASON_WORKER_LOST);
    assert_not_started(stage, B);
    renew(stage, stage->now_ms);
    assert_spawns(stage, C);
}

static void kill_of_what_waits_ends_it_unstarted_with_its_reason(void **state)
{
    struct stage *stage = *state;
    queue_two(stage);
    ask_kill(stage, B, REASON_CANCELLED);
    const struct msg_runner_exited *end = sent(stage, MESSAGE_runner_exited);
    assert_int_equal(end->reason, REASON_CANCELLED);
    assert_int_equal(end->started_at, 0);
    assert_int_equal(end->exit_code, -1);
    assert_null(effect_of(stage, RUNNER_EFFECT_TERMINATE));
    end_now(stage, A);
    assert_spawns(stage, C);
}

static void take_back_ends_what_waits(void **state)
{
    struct stage *stage = *state;
    queue_two(stage);
    take_back(stage, C);
    assert_not_started(stage, C);
    forget(stage, C);
    assert_non_null(effect_of(stage, RUNNER_EFFECT_FORGET));
    end_now(stage, A);
    assert_spawns(stage, B);
    spawned(stage, B);
    end_now(stage, B);
    assert_null(effect_of(stage, RUNNER_EFFECT_SPAWN));
}

static void take_back_of_what_started_changes_nothing(void **state)
{
    struct stage *stage = *state;
    queue_two(stage);
    take_back(stage, A);
    assert_int_equal(stage->effects.count, 0);
    end_now(stage, A);
    spawned(stage, B);
    take_back(stage, B);
    assert_int_equal(stage->effects.count, 0);
    take_back(stage, A);
    assert_int_equal(stage->effects.count, 0);
    take_back(stage, (struct attempt_id){.run = 9, .task = 99});
    assert_int_equal(stage->effects.count, 0);
}

static void stop_ends_what_waits_and_leaves_what_runs(void **state)
{
    struct stage *stage = *state;
    queue_two(stage);
    struct msg_runner_stop stop = {.now = false};
    say(stage, MESSAGE_runner_stop, &stop);
    assert_int_equal(stage->effects.count, 2);
    assert_not_started(stage, B);
    assert_null(effect_of(stage, RUNNER_EFFECT_TERMINATE));
    end_now(stage, A);
    assert_null(effect_of(stage, RUNNER_EFFECT_SPAWN));
}

static void stop_now_ends_what_waits_unstarted(void **state)
{
    struct stage *stage = *state;
    queue_two(stage);
    struct msg_runner_stop stop = {.now = true};
    say(stage, MESSAGE_runner_stop, &stop);
    assert_not_started(stage, B);
    assert_int_equal(effect_of(stage, RUNNER_EFFECT_TERMINATE)->id.task, A.task);
    exited(stage, A, 0);
    (void)emptied(stage, A);
    assert_null(effect_of(stage, RUNNER_EFFECT_SPAWN));
    assert_non_null(effect_of(stage, RUNNER_EFFECT_EXIT));
}

static void alone_for_a_day_does_not_wait_for_what_waits(void **state)
{
    struct stage *stage = *state;
    queue_two(stage);
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_DISCONNECTED});
    stage->now_ms += START_FRESH_MS;
    exited(stage, A, 0);
    step(stage, (struct runner_event){.kind = RUNNER_EVENT_EMPTY, .id = A});
    timer_at(stage, stage->now_ms + RUNNER_ALONE_MAX_MS);
    assert_non_null(effect_of(stage, RUNNER_EFFECT_EXIT));
    assert_null(effect_of(stage, RUNNER_EFFECT_SPAWN));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(hello_says_that_starts_may_be_sent_ahead),
        TEST(turn_comes_in_order_when_the_tree_before_is_gone),
        TEST(turn_passes_on_when_a_spawn_fails),
        TEST(turn_of_many_comes_one_a_step),
        TEST(turn_does_not_come_while_more_run_than_there_are_slots),
        TEST(turn_on_an_old_stamp_waits_for_the_next),
        TEST(turn_without_an_agent_comes_only_while_its_stamp_is_fresh),
        TEST(turn_inside_the_grace_of_the_lease_never_comes),
        TEST(renewal_moves_the_lease_of_what_waits),
        TEST(list_names_what_waits_and_holds_it_until_the_next_stamp),
        TEST(kill_of_what_waits_ends_it_unstarted_with_its_reason),
        TEST(take_back_ends_what_waits),
        TEST(take_back_of_what_started_changes_nothing),
        TEST(stop_ends_what_waits_and_leaves_what_runs),
        TEST(stop_now_ends_what_waits_unstarted),
        TEST(alone_for_a_day_does_not_wait_for_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
