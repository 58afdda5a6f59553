/* What operators note, and what that means for later attempts. See core_world.h. */
#include "tests/unit/core_world.h"

#include "common/limits.h"
#include "common/table.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
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

static const char *const one_task =
    LEASE "tasks:\n  a: {operator: slack, retries: 2, retry_delay: 1s}\n";

/* A worker that has the operator, and the first attempt on it. */
static struct fake *begin(struct core_world *world, const char *yaml, uint64_t *ret_run)
{
    struct fake *fake = fake_add(world, 1);
    fake->operators[0] = (struct operator_line){.name = slice_of("slack")};
    fake_register(world, fake, NULL, 0);
    *ret_run = world_submit(world, yaml);
    world_pass(world, 2000);
    assert_int_equal(world_task_state(world, *ret_run, 0), TASK_ASSIGNED);
    fake_started(world, fake, attempt_named(*ret_run, 0, 1));
    fake_empty(fake);
    return fake;
}

static const struct msg_noted *note(struct core_world *world, struct fake *fake,
    struct attempt_id id, uint32_t number, const char *text)
{
    struct msg_note message = {.id = id, .note = number, .text = slice_of(text)};
    fake_empty(fake);
    fake_say(world, fake, MESSAGE_note, &message);
    assert_int_equal(fake_count(fake, MESSAGE_noted), 1);
    const struct msg_noted *noted = fake_told(fake, MESSAGE_noted, 0);
    assert_int_equal(noted->note, number);
    return noted;
}

static void end_badly(
    struct core_world *world, struct fake *fake, struct attempt_id id, bool no_retry)
{
    struct msg_ended ended = {.id = id,
        .state = ATTEMPT_FAILED,
        .reason = REASON_EXIT_CODE,
        .exit_code = 1,
        .error = slice_of("no such table"),
        .started_at = world->now_ms,
        .ended_at = world->now_ms,
        .no_retry = no_retry};
    fake_empty(fake);
    fake_say(world, fake, MESSAGE_ended, &ended);
}

/* The notes that the task's last assignment carried, as compact JSON without their times. */
static void assert_notes(const struct fake *fake, const char *wanted)
{
    const struct msg_assign *assign = fake_assign(fake, 0);
    assert_non_null(assign);
    json_t *document = json_loadb(assign->document.ptr, assign->document.length, 0, NULL);
    json_t *notes = json_object_get(document, "notes");
    for (size_t i = 0; i < json_array_size(notes); i++) {
        json_t *at = json_object_get(json_array_get(notes, i), "at");
        assert_int_equal(json_string_length(at), strlen("2026-11-21T03:00:02.117Z"));
        (void)json_object_del(json_array_get(notes, i), "at");
    }
    char *text = json_dumps(notes, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, wanted);
    free(text);
    json_decref(document);
}

static void notes_are_told_to_each_later_attempt(void **state)
{
    struct core_world *world = *state;
    uint64_t run = 0;
    struct fake *fake = begin(world, one_task, &run);
    assert_int_equal(note(world, fake, attempt_named(run, 0, 1), 1, "{\"a\":1}")->code, 0);
    assert_int_equal(world->rows.note_count, 1);
    assert_int_equal(note(world, fake, attempt_named(run, 0, 1), 2, "{\"a\":2}")->code, 0);
    end_badly(world, fake, attempt_named(run, 0, 1), false);
    world_pass(world, 2000);
    assert_notes(fake, "[{\"attempt\":1,\"id\":1,\"note\":{\"a\":1}},"
                       "{\"attempt\":1,\"id\":2,\"note\":{\"a\":2}}]");
    assert_int_equal(note(world, fake, attempt_named(run, 0, 2), 1, "{\"b\":1}")->code, 0);
    end_badly(world, fake, attempt_named(run, 0, 2), false);
    world_pass(world, 2000);
    assert_notes(fake, "[{\"attempt\":1,\"id\":1,\"note\":{\"a\":1}},"
                       "{\"attempt\":1,\"id\":2,\"note\":{\"a\":2}},"
                       "{\"attempt\":2,\"id\":1,\"note\":{\"b\":1}}]");
}

static void notes_said_again_are_one_note(void **state)
{
    struct core_world *world = *state;
    uint64_t run = 0;
    struct fake *fake = begin(world, one_task, &run);
    for (int i = 0; i < 3; i++)
        assert_int_equal(note(world, fake, attempt_named(run, 0, 1), 1, "{\"a\":1}")->code, 0);
    assert_int_equal(world->rows.note_count, 1);
}

static void notes_survive_a_restart_of_the_master(void **state)
{
    struct core_world *world = *state;
    uint64_t run = 0;
    struct fake *fake = begin(world, one_task, &run);
    struct attempt_id id = attempt_named(run, 0, 1);
    (void)note(world, fake, id, 1, "{\"a\":1}");
    world_restart(world);
    struct held_attempt held = fake_holds(fake, id, HOLDING_RUNNING);
    fake_register(world, fake, &held, 1);
    end_badly(world, fake, id, false);
    world_pass(world, 2000);
    assert_notes(fake, "[{\"attempt\":1,\"id\":1,\"note\":{\"a\":1}}]");
    struct task_view view;
    assert_true(core_view_task(world->core, run, 0, &view));
    assert_int_equal(view.note_count, 1);
}

static void notes_beyond_their_bounds_are_refused(void **state)
{
    struct core_world *world = *state;
    uint64_t run = 0;
    char big[NOTE_MAX_BYTES + 10];
    struct fake *fake = begin(world, one_task, &run);
    struct attempt_id id = attempt_named(run, 0, 1);
    (void)snprintf(big, sizeof big, "{\"a\":\"%0*d\"}", NOTE_MAX_BYTES, 0);
    assert_int_equal(note(world, fake, id, 1, big)->code, ERR_INVALID);
    assert_int_equal(note(world, fake, id, 1, "[1]")->code, ERR_INVALID);
    for (uint32_t i = 1; i <= ATTEMPT_NOTES_MAX; i++)
        assert_int_equal(note(world, fake, id, i, "{}")->code, 0);
    assert_int_equal(note(world, fake, id, ATTEMPT_NOTES_MAX + 1, "{}")->code, ERR_TOO_BIG);
    assert_int_equal(world->rows.note_count, ATTEMPT_NOTES_MAX);
}

static void notes_of_an_attempt_that_is_over_are_refused(void **state)
{
    struct core_world *world = *state;
    uint64_t run = 0;
    struct fake *fake = begin(world, one_task, &run);
    end_badly(world, fake, attempt_named(run, 0, 1), false);
    assert_int_equal(note(world, fake, attempt_named(run, 0, 1), 1, "{}")->code, ERR_NOT_FOUND);
    assert_int_equal(world->rows.note_count, 0);
}

static void failure_that_no_retry_can_help_is_final(void **state)
{
    struct core_world *world = *state;
    uint64_t run = 0;
    struct fake *fake = begin(world, one_task, &run);
    end_badly(world, fake, attempt_named(run, 0, 1), true);
    assert_int_equal(world_task_state(world, run, 0), TASK_FAILED);
    assert_int_equal(world_run_state(world, run), RUN_FAILED);
    world_restart(world);
    assert_int_equal(world->rows.spans[0].state, TASK_FAILED);
    assert_true(slice_is(world->rows.spans[0].error, "no such table"));
}

static void progress_is_shown_while_it_runs(void **state)
{
    struct core_world *world = *state;
    uint64_t run = 0;
    struct task_view view;
    struct fake *fake = begin(world, one_task, &run);
    struct msg_progress progress = {
        .id = attempt_named(run, 0, 1), .text = slice_of("stage 3 of 7"), .done = 3, .total = 7};
    struct buffer frame = {0};
    struct frame_header header = {
        .version = PROTOCOL_VERSION, .epoch = world->epoch, .session = fake->session};
    frame_begin(&frame, &header);
    message_encode(&frame, MESSAGE_progress, &progress);
    fake_send(world, fake, buffer_slice(&frame));
    buffer_fini(&frame);
    assert_true(core_view_task(world->core, run, 0, &view));
    assert_true(slice_is(view.progress, "stage 3 of 7"));
    assert_int_equal(view.progress_done, 3);
    assert_true(slice_is(world->last_change.progress, "stage 3 of 7"));
    assert_int_equal(world->last_change.progress_total, 7);
    assert_int_equal(world->last_change.state, TASK_RUNNING);
    end_badly(world, fake, attempt_named(run, 0, 1), false);
    assert_true(core_view_task(world->core, run, 0, &view));
    assert_int_equal(view.progress.length, 0);
    assert_int_equal(world->last_change.progress.length, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(notes_are_told_to_each_later_attempt),
        TEST(notes_said_again_are_one_note),
        TEST(notes_survive_a_restart_of_the_master),
        TEST(notes_beyond_their_bounds_are_refused),
        TEST(notes_of_an_attempt_that_is_over_are_refused),
        TEST(failure_that_no_retry_can_help_is_final),
        TEST(progress_is_shown_while_it_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
