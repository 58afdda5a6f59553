/* What a task is given to run with, and that a restart changes nothing. See core_world.h. */
#include "tests/unit/core_world.h"

#include "common/limits.h"
#include "common/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

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

static bool has_text(const struct texts *texts, const char *wanted)
{
    for (uint32_t i = 0; i < texts->count; i++) {
        if (slice_is(texts->items[i], wanted))
            return true;
    }
    return false;
}

static void end_with(struct core_world *world, struct fake *fake, struct attempt_id id,
    const char *outputs, const char *artifacts)
{
    struct msg_ended ended = {.id = id,
        .state = ATTEMPT_SUCCESS,
        .started_at = world->now_ms,
        .ended_at = world->now_ms,
        .outputs = slice_of(outputs),
        .artifacts = slice_of(artifacts)};
    fake_say(world, fake, MESSAGE_ended, &ended);
}

/* ---- values ---- */

static void core_operator_gets_its_task_as_a_document(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_add(world, 1);
    fake->operators[0] = (struct operator_line){.name = slice_of("slack")};
    fake_register(world, fake, NULL, 0);
    world->context = "{\"values\":{\"ds\":\"2026-11-21\"},\"params\":{\"who\":\"\\\"x\\n$(id)\","
                     "\"ids\":[1,2]}}";
    uint64_t run = world_submit(world,
        LEASE "params: {who: x, ids: {type: array, default: []}}\n"
              "tasks:\n  a: {operator: slack, execution_timeout: 5s, with: {n: 1, t: \"{{ ds }} {{ "
              "params.who }}\", ids: \"{{ params.ids }}\", l: [true, null]}}\n");
    world_pass(world, 2000);
    struct slice text = fake_assign(fake, 0)->document;
    json_t *task = json_loadb(text.ptr, text.length, 0, NULL);
    const char *type = NULL, *name = NULL, *key = NULL, *tag = NULL, *prefix = NULL;
    json_int_t version = 0, attempt = 0, timeout = 0;
    json_t *with = NULL, *context = NULL, *notes = NULL;
    char wanted[64];
    assert_int_equal(
        json_unpack(task, "{s:s,s:I,s:s,s:s,s:s,s:s,s:I,s:I,s:o,s:o,s:o}", "type", &type, "reeve",
            &version, "run", &name, "run_key", &key, "tag", &tag, "tag_prefix", &prefix, "attempt",
            &attempt, "timeout_ms", &timeout, "with", &with, "context", &context, "notes", &notes),
        0);
    assert_string_equal(type, "task");
    assert_int_equal(version, 1);
    assert_int_equal(timeout, 5000);
    (void)snprintf(wanted, sizeof wanted, "%016llx", (unsigned long long)run);
    assert_string_equal(key, wanted);
    (void)snprintf(wanted, sizeof wanted, "reeve:%016llx:0:0:1", (unsigned long long)run);
    assert_string_equal(tag, wanted);
    wanted[strlen(wanted) - 1] = '\0';
    assert_string_equal(prefix, wanted);
    char *rendered = json_dumps(with, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(rendered, "{\"ids\":[1,2],\"l\":[true,null],\"n\":1,\"t\":\"2026-11-21 "
                                  "\\\"x\\n$(id)\"}");
    free(rendered);
    assert_string_equal(json_string_value(json_object_get(context, "ds")), "2026-11-21");
    assert_int_equal(
        json_array_size(json_object_get(json_object_get(context, "params"), "ids")), 2);
    assert_int_equal(json_array_size(notes), 0);
    json_decref(task);
}

static void core_task_gets_params_dates_and_outputs_as_values(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 2);
    world->context = "{\"values\":{\"ds\":\"2026-11-21\"},\"params\":{\"region\":\"$(id); x\","
                     "\"count\":3,\"none\":null}}";
    uint64_t run =
        world_submit(world, LEASE "params: {region: EU, count: 3, none: {type: string}}\n"
                                  "env: {DAY: \"{{ ds }}\"}\n"
                                  "tasks:\n"
                                  "  a: {bash: run}\n"
                                  "  b: {needs: a, exec: [echo, \"{{ outputs.a.rows }}\"]}\n");
    const struct msg_assign *assign = fake_assign(fake, 0);
    assert_true(has_text(&assign->env, "REEVE_PARAM_region=$(id); x"));
    assert_true(has_text(&assign->env, "REEVE_PARAM_count=3"));
    for (uint32_t i = 0; i < assign->env.count; i++)
        assert_null(strstr(assign->env.items[i].ptr, "REEVE_PARAM_none"));
    assert_true(has_text(&assign->env, "DAY=2026-11-21"));
    assert_true(has_text(&assign->env, "REEVE_RUN_ID=test/1"));
    assert_true(has_text(&assign->env, "REEVE_TASK=a"));
    assert_true(has_text(&assign->env, "REEVE_ATTEMPT=1"));
    end_with(world, fake, attempt_named(run, 0, 1), "{\"rows\":\"`7`\"}", "");
    assert_true(slice_is(fake_assign(fake, 1)->arguments.items[1], "`7`"));
}

static void core_value_that_is_missing_fails_the_task_by_name(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 2);
    uint64_t run = world_submit(world,
        LEASE "tasks:\n"
              "  a: {bash: run}\n"
              "  b: {needs: a, retries: 3, exec: [echo, \"{{ outputs.a.rows }}\"]}\n");
    end_with(world, fake, attempt_named(run, 0, 1), "{\"other\":\"7\"}", "");
    assert_null(fake_assign(fake, 1));
    assert_int_equal(world_task_state(world, run, 1), TASK_FAILED);
    assert_int_equal(world->rows.spans[0].reason, REASON_MISSING_VALUE);
    assert_non_null(strstr(world->rows.spans[0].error.ptr, "rows"));
    assert_int_equal(world_run_state(world, run), RUN_FAILED);
}

static void core_value_that_no_process_can_be_given_fails_the_task(void **state)
{
    struct core_world *world = *state;
    (void)fake_up(world, 2);
    world->context = "{\"values\":{\"ds\":\"2026-11-21\"},\"params\":{\"p\":\"a\\u0000b\"}}";
    uint64_t run = world_submit(world, LEASE "params: {p: x}\ntasks:\n  a: {bash: run}\n");
    assert_int_equal(world_task_state(world, run, 0), TASK_FAILED);
    assert_int_equal(world->rows.spans[0].reason, REASON_BAD_VALUE);
    assert_non_null(strstr(world->rows.spans[0].error.ptr, "param p"));
    struct buffer context = {0};
    buffer_append_text(&context, "{\"values\":{},\"params\":{\"p\":\"");
    memset(buffer_reserve(&context, ARGUMENT_MAX_BYTES), 'y', ARGUMENT_MAX_BYTES);
    context.length += ARGUMENT_MAX_BYTES;
    buffer_append_text(&context, "\"}}");
    world->context = buffer_text(&context);
    run = world_submit(world, LEASE "params: {p: x}\ntasks:\n  a: {bash: run}\n");
    assert_int_equal(world_task_state(world, run, 0), TASK_FAILED);
    assert_int_equal(world->rows.spans[1].reason, REASON_TOO_BIG);
    buffer_fini(&context);
}

/* A message that no worker can take would be sent again for ever, and all behind it with it. */
static void core_task_that_no_frame_can_carry_fails_by_name(void **state)
{
    struct core_world *world = *state;
    (void)fake_up(world, 2);
    struct buffer yaml = {0};
    buffer_append_text(&yaml, LEASE "tasks:\n  a:\n    exec: [echo");
    for (int i = 0; i < 70000; i++)
        buffer_append_text(&yaml, ", x");
    buffer_append_text(&yaml, "]\n");
    uint64_t run = world_submit(world, buffer_text(&yaml));
    buffer_fini(&yaml);
    assert_int_equal(world_task_state(world, run, 0), TASK_FAILED);
    assert_int_equal(world->rows.spans[0].reason, REASON_TOO_BIG);
}

static void core_task_is_told_of_the_artifacts_above_it(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 3);
    uint64_t run = world_submit(world, LEASE "tasks:\n"
                                             "  a: {bash: run, artifacts: [x]}\n"
                                             "  b: {bash: run, needs: a}\n"
                                             "  c: {bash: run, needs: b}\n"
                                             "  d: {bash: run, artifacts: [y]}\n");
    end_with(world, fake, attempt_named(run, 0, 1), "", "0123456789abcdef0123456789abcdef");
    assert_int_equal(fake_assign(fake, 1)->sources.count, 1);
    end_with(world, fake, attempt_named(run, 1, 1), "", "");
    const struct msg_assign *assign = fake_assign(fake, 2);
    assert_int_equal(assign->sources.count, 1);
    assert_true(slice_is(assign->sources.items[0].task, "a"));
    assert_int_equal(assign->sources.items[0].manifest.ptr[10], 'a');
    /* And after a restart: the rows have it. */
    world_restart(world);
    fake_register(world, fake, NULL, 0);
    assert_int_equal(fake_assign(fake, 2)->id.attempt, 2);
    assert_int_equal(fake_assign(fake, 2)->sources.count, 1);
}

/* ---- a restart ---- */

struct chance {
    uint64_t seed;
};

static uint32_t roll(struct chance *dice, uint32_t below)
{
    dice->seed = hash_mix(dice->seed + 0x9e3779b97f4a7c15u);
    return (uint32_t)(dice->seed % below);
}

enum { HISTORY_TASKS = 8, HISTORY_EVENTS = 60, HISTORIES = 300 };

static uint64_t submit_random(struct core_world *world, struct chance *dice)
{
    struct buffer yaml = {0};
    buffer_append_text(&yaml, "max_active_runs: 2\n" LEASE "tasks:\n");
    for (uint32_t i = 0; i < HISTORY_TASKS; i++) {
        buffer_printf(&yaml, "  t%u: {bash: run, retries: %u, trigger_rule: %s", i, roll(dice, 3),
            roll(dice, 2) ? "all_success" : trigger_rule_name((int)roll(dice, TRIGGER_COUNT)));
        if (i > 0)
            buffer_printf(&yaml, ", needs: t%u", roll(dice, i));
        buffer_append_text(&yaml, "}\n");
    }
    uint64_t run = world_submit(world, buffer_text(&yaml));
    buffer_fini(&yaml);
    return run;
}

static void play_end(struct core_world *world, struct fake *fake, struct chance *dice)
{
    static const uint32_t ends[] = {ATTEMPT_SUCCESS, ATTEMPT_SUCCESS, ATTEMPT_SUCCESS,
        ATTEMPT_FAILED, ATTEMPT_FAILED, ATTEMPT_SKIPPED, ATTEMPT_LOST};
    uint32_t count = fake_count(fake, MESSAGE_assign);
    if (count == 0)
        return;
    const struct msg_assign *assign = fake_told(fake, MESSAGE_assign, roll(dice, count));
    if (roll(dice, 3) == 0)
        fake_started(world, fake, assign->id);
    else
        fake_ended(world, fake, assign->id, ends[roll(dice, 7)]);
}

static void play(struct core_world *world, struct fake *fake, struct chance *dice)
{
    static const uint32_t marks[] = {TASK_SUCCESS, TASK_SKIPPED, TASK_FAILED};
    uint64_t run = world->keys[roll(dice, world->run_count)];
    uint32_t task = roll(dice, HISTORY_TASKS);
    if (!core_has_run(world->core, run))
        return;
    switch (roll(dice, 12)) {
    case 0:
        world_cancel(world, run, roll(dice, 3) == 0 ? TASK_ALL : task);
        break;
    case 1:
        world_retry(world, run, roll(dice, 2) ? TASK_ALL : task, roll(dice, 2));
        break;
    case 2:
        world_mark(world, run, task, marks[roll(dice, 3)]);
        break;
    case 3:
        world_pass(world, roll(dice, 20) == 0 ? 400000 : 500);
        break;
    default:
        play_end(world, fake, dice);
        break;
    }
}

/* As it must look after a restart: what runs is not known to, and what is ready is derived. */
static uint32_t after_restart(const struct task_view *view)
{
    return view->live ? TASK_UNREACHABLE : view->state;
}

static void compare(
    struct core_world *world, struct task_view before[][HISTORY_TASKS], const uint32_t *run_states)
{
    for (uint32_t r = 0; r < world->run_count; r++) {
        if (run_states[r] != RUN_QUEUED && run_states[r] != RUN_RUNNING)
            continue;
        assert_int_equal(world_run_state(world, world->keys[r]), run_states[r]);
        for (uint32_t i = 0; i < HISTORY_TASKS; i++) {
            struct task_view now;
            assert_true(core_view_task(world->core, world->keys[r], i, &now));
            assert_int_equal(now.state, after_restart(&before[r][i]));
            assert_int_equal(now.attempt, before[r][i].attempt);
            assert_int_equal(now.tries, before[r][i].tries);
            if (before[r][i].due_at != 0)
                assert_true(now.due_at <= before[r][i].due_at + 1);
        }
    }
}

static void restart_and_compare(struct core_world *world)
{
    struct task_view before[3][HISTORY_TASKS] = {0};
    uint32_t run_states[3] = {0};
    for (uint32_t r = 0; r < world->run_count; r++) {
        if (!core_has_run(world->core, world->keys[r]))
            continue;
        run_states[r] = world_run_state(world, world->keys[r]);
        for (uint32_t i = 0; i < HISTORY_TASKS; i++)
            assert_true(core_view_task(world->core, world->keys[r], i, &before[r][i]));
    }
    world_restart(world);
    compare(world, before, run_states);
}

static void core_restart_finds_every_history_as_it_was(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
        struct core_world *world = world_create();
        struct chance dice = {.seed = seed};
        struct fake *fake = fake_up(world, 3);
        for (int i = 0; i < 3; i++)
            (void)submit_random(world, &dice);
        for (uint32_t i = 0; i < HISTORY_EVENTS; i++)
            play(world, fake, &dice);
        restart_and_compare(world);
        world_destroy(world);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(core_operator_gets_its_task_as_a_document),
        TEST(core_task_gets_params_dates_and_outputs_as_values),
        TEST(core_value_that_is_missing_fails_the_task_by_name),
        TEST(core_value_that_no_process_can_be_given_fails_the_task),
        TEST(core_task_that_no_frame_can_carry_fails_by_name),
        TEST(core_task_is_told_of_the_artifacts_above_it),
        cmocka_unit_test(core_restart_finds_every_history_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
