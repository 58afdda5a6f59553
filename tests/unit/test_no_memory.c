/*
 * Out of memory at each site of the codec, the DAG reader and the master's core: the process ends
 * as common/memory.h says, by abort with "out of memory: " as its last words, or it made what it
 * always makes. See no_memory.h.
 */
#include "common/dag/dates.h"
#include "common/dag/json_text.h"
#include "common/json_memory.h"
#include "proto_random.h"
#include "tests/unit/core_world.h"
#include "tests/unit/no_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

/* ---- the scenarios ---- */

static const char SALARIES[] =
    "dag: salaries\n"
    "description: \"Average \\u00fc\"\n"
    "tags: [hr, spark]\n"
    "timezone: Asia/Seoul\n"
    "params: {region: {type: string, default: EU, pattern: '^[A-Z]+$'}, n: 3, l: [1, {a: null}]}\n"
    "default_args: {retries: 2, retry_delay: 1m, env: {A: b}, lease: 60s, kill_grace: 2s}\n"
    "env: {LC_ALL: C.UTF-8}\n"
    "tasks:\n"
    "  extract: {bash: ./x.sh, env: {DAY: '{{ ds }}', R: '{{ params.region }}'}}\n"
    "  check: {needs: extract, exec: [./c, '{{ outputs.extract.rows }}']}\n"
    "  load: {needs: [extract, check], noop: , labels: [gpu], trigger_rule: all_done}\n";

static void compile(void *context, struct buffer *out)
{
    (void)context;
    struct diagnostics diagnostics = {0};
    if (dag_compile(slice_of(SALARIES), "salaries.yaml", out, &diagnostics) != 0)
        diagnostics_print(&diagnostics, "salaries.yaml", out);
    diagnostics_fini(&diagnostics);
    (void)dag_is_dag(slice_of(SALARIES));
}

static void compile_mistakes(void *context, struct buffer *out)
{
    (void)context;
    struct diagnostics diagnostics = {0};
    struct buffer plan = {0};
    static const char text[] = "timezone: Asia/Seol\nparams: {p: {type: string, pattern: '('}}\n"
                               "tasks:\n  a: {needs: b, bash: 'x {{ params.q }}'}\n"
                               "  b: {needs: a, retires: 3}\n";
    (void)dag_compile(slice_of(text), "mistakes.yaml", &plan, &diagnostics);
    diagnostics_print(&diagnostics, "mistakes.yaml", out);
    diagnostics_fini(&diagnostics);
    buffer_fini(&plan);
}

static void make_dates(void *context, struct buffer *out)
{
    static const char *const texts[] = {"2026-03-29T02:30", "2026-11-21"};
    (void)context;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int64_t ms = 0;
        struct error error = {0};
        int rc = dates_parse(slice_of(texts[i]), "Europe/Berlin", &ms, &error);
        buffer_printf(out, "%d %lld %s\n", rc, (long long)ms, error.text);
        json_t *dates = dates_of_run(ms, "Asia/Seoul");
        json_append_compact(dates, out);
        json_decref(dates);
    }
}

/* Every message, there and back. */
static void codec(void *context, struct buffer *out)
{
    size_t count;
    const struct message_shape *shapes = message_shapes(&count);
    (void)context;
    for (size_t i = 0; i < count; i++) {
        struct arena arena = {0};
        struct random_source random = {.state = 7 + i, .items_max = 3, .arena = &arena};
        struct buffer frame = {0};
        struct frame_header header = {.number = shapes[i].numbered ? 1 : 0};
        struct frame_reader reader;
        struct message message;
        char *body = arena_alloc(&arena, shapes[i].record.size);
        random_record(&random, &shapes[i].record, body);
        frame_begin(&frame, &header);
        message_encode(&frame, shapes[i].number, body);
        int rc = frame_open(buffer_slice(&frame), &arena, &reader, NULL);
        while (rc == 0 && (rc = frame_next(&reader, &message, NULL)) == 1) {
            message_print(message.number, message.body, out);
            rc = 0;
        }
        buffer_printf(out, " %d\n", rc);
        buffer_fini(&frame);
        arena_fini(&arena);
    }
}

static void print_told(const struct fake *fake, struct buffer *out)
{
    for (size_t i = 0; i < fake->inbox_count; i++) {
        message_print(fake->inbox[i].number, fake->inbox[i].body, out);
        buffer_append_text(out, "\n");
    }
}

/* A run with values, a failure, a retry and a lost worker; then a restart from the rows. */
static void core(void *context, struct buffer *out)
{
    struct core_world *world = world_create();
    struct fake *fake = fake_up(world, 2);
    (void)context;
    world->context = "{\"values\":{\"ds\":\"2026-11-21\"},\"params\":{\"region\":\"EU\"}}";
    uint64_t run = world_submit(world,
        LEASE "params: {region: EU}\n"
              "tasks:\n"
              "  a: {bash: run, env: {DAY: '{{ ds }}', R: '{{ params.region }}'}}\n"
              "  b: {needs: a, exec: [echo, '{{ outputs.a.rows }}'], retries: 1, retry_delay: 1s}\n"
              "  c: {needs: [a, b], bash: run, trigger_rule: all_done}\n");
    struct msg_ended ended = {.id = attempt_named(run, 0, 1),
        .state = ATTEMPT_SUCCESS,
        .outputs = slice_of("{\"rows\":\"7\"}")};
    fake_started(world, fake, ended.id);
    fake_say(world, fake, MESSAGE_ended, &ended);
    fake_ended(world, fake, attempt_named(run, 1, 1), ATTEMPT_FAILED);
    world_pass(world, 1500);
    world_restart(world);
    fake_register(world, fake, NULL, 0);
    world_cancel(world, run, 2);
    world_pass(world, 500);
    print_told(fake, out);
    buffer_printf(out, "run %u, b %u, answer %s\n", world_run_state(world, run),
        world_task_state(world, run, 1), world_answer_text(world));
    world_destroy(world);
}

/* ---- the tests ---- */

static void no_memory_for_a_dag_file_ends_cleanly(void **state)
{
    (void)state;
    no_memory_expect_clean_ends(compile, NULL);
    no_memory_expect_clean_ends(compile_mistakes, NULL);
}

static void no_memory_for_a_date_ends_cleanly(void **state)
{
    (void)state;
    no_memory_expect_clean_ends(make_dates, NULL);
}

static void no_memory_for_a_message_ends_cleanly(void **state)
{
    (void)state;
    no_memory_expect_clean_ends(codec, NULL);
}

static void no_memory_for_the_core_ends_cleanly(void **state)
{
    (void)state;
    no_memory_expect_clean_ends(core, NULL);
}

int main(void)
{
    json_memory_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_for_a_dag_file_ends_cleanly),
        cmocka_unit_test(no_memory_for_a_date_ends_cleanly),
        cmocka_unit_test(no_memory_for_a_message_ends_cleanly),
        cmocka_unit_test(no_memory_for_the_core_ends_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
