/*
 * Commit, then act: nothing that rests on a fact leaves before its batch is durable, and batches
 * leave in order.
 */
#include "master/io/pipeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* In place of the store: batches are durable when the test says so. */
static struct effects *committing[8];
static size_t begun, committed, taken;

void store_commit(struct store *store, struct effects *batch)
{
    (void)store;
    assert_true(begun - taken < STORE_BATCHES_IN_FLIGHT);
    committing[begun++] = batch;
}

uint32_t store_in_flight(const struct store *store)
{
    (void)store;
    return (uint32_t)(begun - taken);
}

struct effects *store_take_committed(struct store *store)
{
    (void)store;
    return taken < committed ? committing[taken++] : NULL;
}

/* In place of the core: what a step shall append. */
static struct step {
    bool fact, send, send_at_once, answer, change, forgotten, access;
} next_step;

void core_step(struct core *core, const struct event *event, struct effects *effects)
{
    (void)core;
    if (event->kind == EVENT_FLUSH)
        return;
    if (next_step.fact)
        (void)effects_add_fact(effects, FACT_DAG);
    if (next_step.send)
        effects_add_send(effects, event->ticket, slice_of("late"), false);
    if (next_step.send_at_once)
        effects_add_send(effects, event->ticket, slice_of("at once"), true);
    if (next_step.answer)
        effects_add_answer(effects, event->ticket, slice_of("answer"));
    if (next_step.change)
        (void)effects_add_change(effects);
    if (next_step.access)
        effects_add_access(effects)->role = 3;
    if (next_step.forgotten)
        effects_add_forgotten(effects, event->ticket);
}

/* What left, as letters. */
static char left[64];

static void note(char letter, uint64_t number)
{
    size_t length = strlen(left);
    left[length] = letter;
    left[length + 1] = (char)('0' + number);
    left[length + 2] = '\0';
}

static void on_send(void *context, uint64_t peer, struct slice frame)
{
    (void)context;
    note(slice_is(frame, "late") ? 's' : 'o', peer);
}

static void on_answer(void *context, const struct answer_effect *answer)
{
    (void)context;
    note('a', answer->ticket);
}

static void on_parcel(void *context, const struct parcel *parcel)
{
    (void)context;
    note('p', parcel->peer);
}

static void on_access(void *context, const struct access_effect *access)
{
    (void)context;
    note('k', access->role);
}

static void on_forgotten(void *context, uint64_t run)
{
    (void)context;
    note('f', run);
}

static void on_changed(void *context, const struct change_effect *change)
{
    (void)context;
    (void)change;
    note('c', 0);
}

static void on_flushed(void *context, struct batch *batch)
{
    (void)context;
    (void)batch;
}

static void on_durable(void *context, const struct effects *effects)
{
    (void)context;
    (void)effects;
}

static const struct pipeline_exits exits = {
    .durable = on_durable,
    .send = on_send,
    .answer = on_answer,
    .parcel = on_parcel,
    .access = on_access,
    .forgotten = on_forgotten,
    .changed = on_changed,
    .flushed = on_flushed,
};

static void step(struct pipeline *pipeline, uint64_t ticket, struct step what)
{
    struct event event = {.kind = EVENT_FRAME, .ticket = ticket};
    next_step = what;
    pipeline_step(pipeline, &event);
}

static void begin(struct pipeline *pipeline)
{
    begun = committed = taken = 0;
    left[0] = '\0';
    pipeline_init(pipeline, NULL, NULL, &exits);
}

static void pipeline_effects_leave_after_the_commit(void **state)
{
    (void)state;
    struct pipeline pipeline;
    begin(&pipeline);
    step(&pipeline, 1, (struct step){.fact = true, .send = true, .send_at_once = true});
    assert_string_equal(left, "o1");
    step(&pipeline, 2, (struct step){.answer = true, .change = true, .forgotten = true});
    pipeline_flush(&pipeline);
    assert_string_equal(left, "o1");
    assert_false(pipeline_is_settled(&pipeline));
    committed = 1;
    pipeline_release(&pipeline);
    assert_string_equal(left, "o1s1a2c0f2");
    assert_true(pipeline_is_settled(&pipeline));
    pipeline_fini(&pipeline);
}

static void pipeline_batch_without_facts_waits_for_those_before_it(void **state)
{
    (void)state;
    struct pipeline pipeline;
    begin(&pipeline);
    step(&pipeline, 1, (struct step){.send = true});
    pipeline_flush(&pipeline);
    assert_string_equal(left, "s1");
    step(&pipeline, 2, (struct step){.fact = true, .send = true});
    pipeline_flush(&pipeline);
    step(&pipeline, 3, (struct step){.send = true, .send_at_once = true});
    pipeline_flush(&pipeline);
    assert_string_equal(left, "s1o3");
    committed = 1;
    pipeline_release(&pipeline);
    assert_string_equal(left, "s1o3s2s3");
    pipeline_fini(&pipeline);
}

static void pipeline_keys_are_let_in_before_they_are_told_so(void **state)
{
    (void)state;
    struct pipeline pipeline;
    begin(&pipeline);
    step(&pipeline, 1, (struct step){.fact = true, .answer = true, .send = true, .access = true});
    pipeline_flush(&pipeline);
    assert_string_equal(left, "");
    committed = 1;
    pipeline_release(&pipeline);
    assert_string_equal(left, "k3s1a1");
    /* One without facts, as a restart makes it. */
    step(&pipeline, 1, (struct step){.access = true});
    pipeline_flush(&pipeline);
    assert_string_equal(left, "k3s1a1k3");
    pipeline_fini(&pipeline);
}

static void pipeline_two_batches_in_flight_close_it(void **state)
{
    (void)state;
    struct pipeline pipeline;
    begin(&pipeline);
    for (uint64_t i = 1; i <= 2; i++) {
        assert_true(pipeline_is_open(&pipeline));
        step(&pipeline, i, (struct step){.fact = true, .send = true});
        pipeline_flush(&pipeline);
    }
    assert_false(pipeline_is_open(&pipeline));
    /* A heartbeat is still answered. */
    step(&pipeline, 3, (struct step){.send_at_once = true});
    assert_string_equal(left, "o3");
    committed = 1;
    pipeline_release(&pipeline);
    assert_string_equal(left, "o3s1");
    assert_true(pipeline_is_open(&pipeline));
    pipeline_flush(&pipeline);
    committed = 2;
    pipeline_release(&pipeline);
    assert_string_equal(left, "o3s1s2");
    assert_int_equal(begun, 2);
    assert_true(pipeline_is_settled(&pipeline));
    pipeline_fini(&pipeline);
}

static void pipeline_step_without_effects_makes_no_batch(void **state)
{
    (void)state;
    struct pipeline pipeline;
    begin(&pipeline);
    for (int i = 0; i < 1000; i++) {
        step(&pipeline, 1, (struct step){0});
        assert_false(pipeline_is_settled(&pipeline));
        pipeline_flush(&pipeline);
        assert_true(pipeline_is_settled(&pipeline));
    }
    assert_int_equal(begun, 0);
    assert_null(pipeline.spare);
    pipeline_fini(&pipeline);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipeline_effects_leave_after_the_commit),
        cmocka_unit_test(pipeline_batch_without_facts_waits_for_those_before_it),
        cmocka_unit_test(pipeline_keys_are_let_in_before_they_are_told_so),
        cmocka_unit_test(pipeline_two_batches_in_flight_close_it),
        cmocka_unit_test(pipeline_step_without_effects_makes_no_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
