/*
 * Who follows a run gets its changes with the batch that made them, numbered, in bounded messages.
 */
#include "common/dag/compile.h"
#include "common/hash.h"
#include "master/io/watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct plan plan;
static struct buffer plan_bytes;

/* In place of the core's: run 1 is there, no other. */
bool core_view_run(const struct core *core, uint64_t run, struct run_view *ret_view)
{
    (void)core;
    *ret_view =
        (struct run_view){.plan = &plan, .dag = slice_of("d"), .number = 3, .state = RUN_RUNNING};
    ret_view->counts[TASK_READY] = 2;
    return run == 1;
}

static struct slice worker_name(void *context, uint32_t number)
{
    (void)context;
    return number == 4 ? slice_of("w4") : slice_of(NULL);
}

struct heard {
    uint64_t number;
    uint32_t changes;
    char first_task[8];
};

static struct heard read_frame(struct slice frame, uint64_t request)
{
    struct arena arena = {0};
    struct frame_reader reader;
    struct message message;
    assert_int_equal(frame_open(frame, &arena, &reader, NULL), 0);
    assert_int_equal(frame_next(&reader, &message, NULL), 1);
    assert_int_equal(message.number, MESSAGE_run_changed);
    const struct msg_run_changed *body = message.body;
    assert_int_equal(body->request, request);
    assert_true(slice_is(body->run, "d/3"));
    assert_int_equal(body->state, RUN_RUNNING);
    assert_int_equal(body->task_count, 2);
    assert_int_equal(body->counts.count, 1);
    assert_int_equal(body->counts.items[0].count, 2);
    struct heard heard = {.number = body->number, .changes = body->changes.count};
    if (body->changes.count > 0)
        memcpy(
            heard.first_task, body->changes.items[0].task.ptr, body->changes.items[0].task.length);
    arena_fini(&arena);
    return heard;
}

static void begin(struct watches *watches, uint64_t peer, uint64_t request, bool tasks)
{
    struct buffer frame = {0};
    struct watch_wish wish = {{peer, request}, 1, tasks};
    assert_true(watch_begin(watches, &wish, 0, &frame));
    struct heard heard = read_frame(buffer_slice(&frame), request);
    assert_int_equal(heard.number, 1);
    assert_int_equal(heard.changes, 0);
    buffer_fini(&frame);
}

static struct batch batch_of(uint64_t run, uint32_t changes)
{
    struct batch batch = {.effects = effects_create()};
    for (uint32_t i = 0; i < changes; i++) {
        struct change_effect *change = effects_add_change(batch.effects);
        change->run = run;
        change->task = i % 2;
        change->state = TASK_RUNNING;
        change->worker = 4;
    }
    return batch;
}

static void batch_free(struct batch *batch)
{
    effects_destroy(batch->effects);
    free(batch->parcels);
}

static void watch_without_watchers_makes_nothing(void **state)
{
    (void)state;
    struct watches watches = {.worker_name = worker_name};
    struct batch batch = batch_of(1, 5);
    watch_batch(&watches, &batch);
    assert_int_equal(batch.parcel_count, 0);
    begin(&watches, 8, 80, true);
    struct batch other = batch_of(2, 5);
    watch_batch(&watches, &other);
    assert_int_equal(other.parcel_count, 0);
    batch_free(&batch);
    batch_free(&other);
    watches_fini(&watches);
}

static void watch_changes_are_numbered_and_cut(void **state)
{
    (void)state;
    struct watches watches = {.worker_name = worker_name};
    begin(&watches, 8, 80, true);
    struct batch batch = batch_of(1, 2500);
    watch_batch(&watches, &batch);
    assert_int_equal(batch.parcel_count, 3);
    uint32_t changes = 0;
    for (uint64_t i = 0; i < 3; i++) {
        struct heard heard = read_frame(batch.parcels[i].frame, 80);
        assert_int_equal(batch.parcels[i].peer, 8);
        assert_int_equal(heard.number, i + 2);
        assert_true(heard.changes <= WATCH_CHANGES_MAX);
        assert_string_equal(heard.first_task, "a");
        changes += heard.changes;
    }
    assert_int_equal(changes, 2500);
    batch_free(&batch);
    watches_fini(&watches);
}

static void watch_of_the_run_alone_gets_no_tasks(void **state)
{
    (void)state;
    struct watches watches = {.worker_name = worker_name};
    begin(&watches, 8, 80, false);
    begin(&watches, 9, 80, true);
    struct batch batch = batch_of(1, 1500);
    watch_batch(&watches, &batch);
    assert_int_equal(batch.parcel_count, 3);
    for (size_t i = 0; i < 3; i++) {
        struct heard heard = read_frame(batch.parcels[i].frame, 80);
        assert_true((batch.parcels[i].peer == 8) == (heard.changes == 0));
    }
    batch_free(&batch);
    watches_fini(&watches);
}

static void watch_that_is_not_renewed_ends(void **state)
{
    (void)state;
    struct watches watches = {.worker_name = worker_name};
    begin(&watches, 8, 80, true);
    begin(&watches, 8, 81, true);
    assert_true(watch_renew(&watches, (struct watch_key){8, 81}, 20000));
    assert_false(watch_renew(&watches, (struct watch_key){9, 81}, 20000));
    watch_sweep(&watches, WATCH_LIFE_MS + 1000);
    assert_int_equal(watch_count(&watches), 1);
    struct batch batch = batch_of(1, 1);
    watch_batch(&watches, &batch);
    assert_int_equal(batch.parcel_count, 1);
    assert_int_equal(read_frame(batch.parcels[0].frame, 81).changes, 1);
    watch_end(&watches, (struct watch_key){8, 81});
    assert_int_equal(watch_count(&watches), 0);
    batch_free(&batch);
    watches_fini(&watches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watch_without_watchers_makes_nothing),
        cmocka_unit_test(watch_changes_are_numbered_and_cut),
        cmocka_unit_test(watch_of_the_run_alone_gets_no_tasks),
        cmocka_unit_test(watch_that_is_not_renewed_ends),
    };
    struct diagnostics diagnostics = {0};
    hash_start();
    if (dag_compile(slice_of("tasks:\n  a: {noop: }\n  b: {noop: }\n"), "x.yaml", &plan_bytes,
            &diagnostics) != 0 ||
        plan_open(buffer_slice(&plan_bytes), &plan, NULL) != 0)
        return 1;
    diagnostics_fini(&diagnostics);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buffer_fini(&plan_bytes);
    return failed;
}
