/*
 * Connections in the master's core: which one counts, who gets it, what is said when none is there,
 * and what is taken out of what a worker says.
 */
#include "core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct event event_of(enum event_kind kind, uint32_t source, const char *name)
{
    static uint64_t last_id;
    struct event event = {.kind = kind};
    event.connection.row = (struct connection_row){.id = ++last_id,
        .source = source,
        .name = slice_of(name),
        .key = 1,
        .sealed = slice_of("sealed")};
    return event;
}

static void find(struct core_world *world, uint32_t source, const char *name, const char *document)
{
    struct event event = event_of(EVENT_FIND_CONNECTION, source, name);
    event.connection.document = slice_of(document);
    world_event(world, event);
}

static void set(struct core_world *world, const char *name, const char *document)
{
    struct event event = event_of(EVENT_SET_CONNECTION, CONNECTION_STORE, name);
    event.connection.document = slice_of(document);
    world_ask(world, event);
}

static const char one[] = "{\"type\":\"generic\",\"password\":\"first-one\"}";
static const char two[] = "{\"type\":\"generic\",\"password\":\"second-one\"}";

static void connection_goes_with_the_assignment_of_the_task_that_names_it(void **state)
{
    struct core_world *world = *state;
    set(world, "my-db", one);
    struct fake *fake = fake_up(world, 4);
    uint64_t run =
        world_submit(world, LEASE "tasks:\n  a: {bash: ls, connection: my-db}\n  b: {bash: ls}\n");
    world_drain(world);
    const struct msg_assign *assign = fake_assign(fake, 0);
    assert_int_equal(assign->connections.count, 1);
    assert_true(slice_is(assign->connections.items[0].name, "my-db"));
    assert_true(slice_is(assign->connections.items[0].document, one));
    assert_int_equal(fake_assign(fake, 1)->connections.count, 0);
    /* The environment goes before the store from now on. */
    find(world, CONNECTION_ENVIRONMENT, "MY_DB", two);
    fake_started(world, fake, attempt_named(run, 0, 1));
    fake_ended(world, fake, attempt_named(run, 0, 1), ATTEMPT_SUCCESS);
    world_submit(world, LEASE "dag: other\ntasks:\n  a: {bash: ls, connections: [my-db]}\n");
    world_drain(world);
    assert_true(slice_is(fake_assign(fake, 0)->connections.items[0].document, two));
}

static void connection_that_is_not_there_fails_its_task_before_dispatch(void **state)
{
    struct core_world *world = *state;
    struct fake *fake = fake_up(world, 4);
    uint64_t run =
        world_submit(world, LEASE "tasks:\n  a: {bash: ls, connection: nowhere, retries: 3}\n");
    const struct msg_submitted *submitted = world->answer.body;
    assert_int_equal(submitted->missing.count, 1);
    world_drain(world);
    assert_int_equal(world_task_state(world, run, 0), TASK_FAILED);
    assert_null(fake_assign(fake, 0));
    set(world, "nowhere", one);
    world_retry(world, run, TASK_ALL, false);
    world_drain(world);
    assert_non_null(fake_assign(fake, 0));
}

static void connection_outlives_a_restart_sealed_and_locked_ones_fail_by_name(void **state)
{
    struct core_world *world = *state;
    set(world, "db", one);
    const struct connection_row *row = NULL;
    for (size_t i = 0; i < world->fact_count; i++) {
        if (world->facts[i].kind == FACT_CONNECTION)
            row = &world->facts[i].connection;
    }
    assert_non_null(row);
    assert_true(slice_is(row->sealed, "sealed") && slice_is(row->name, "db"));
    struct core_world *other = world_create();
    struct event event = event_of(EVENT_LOAD_CONNECTION, CONNECTION_STORE, "db");
    world_event(other, event);
    (void)fake_up(other, 1);
    uint64_t run = world_submit(other, LEASE "tasks:\n  a: {bash: ls, connection: db}\n");
    world_drain(other);
    assert_int_equal(world_task_state(other, run, 0), TASK_FAILED);
    world_destroy(other);
}

static void connection_is_replaced_kept_removed_and_audited(void **state)
{
    struct core_world *world = *state;
    struct connection_view view;
    set(world, "db", one);
    assert_string_equal(world_answer_text(world), "set");
    assert_true(slice_is(world_last_audit(world)->action, "set_connection"));
    assert_true(slice_is(world_last_audit(world)->target, "db"));
    set(world, "db", one);
    assert_string_equal(world_answer_text(world), "unchanged");
    set(world, "db", two);
    assert_string_equal(world_answer_text(world), "replaced");
    assert_true(core_view_connection(world->core, 0, &view) && view.row->replaced_at != 0);
    struct event event = event_of(EVENT_SET_CONNECTION, CONNECTION_STORE, "db");
    event.connection.document = slice_of(one);
    event.connection.keep = true;
    world_ask(world, event);
    assert_true(world_was_refused(world));
    world_ask(world, event_of(EVENT_REMOVE_CONNECTION, CONNECTION_STORE, "db"));
    assert_string_equal(world_answer_text(world), "removed");
    assert_false(core_has_connection(world->core, slice_of("db")));
    world_ask(world, event_of(EVENT_REMOVE_CONNECTION, CONNECTION_STORE, "db"));
    assert_true(world_was_refused(world));
    find(world, CONNECTION_AIRFLOW, "DB", one);
    world_ask(world, event_of(EVENT_REMOVE_CONNECTION, CONNECTION_STORE, "db"));
    assert_true(world_was_refused(world));
    assert_non_null(strstr(world_answer_text(world), "it is in the master's environment"));
    /* What was replaced goes when nothing that had it may come any more. */
    world->now_wall += INT64_C(31) * 24 * 3600 * 1000;
    set(world, "x", one);
    assert_true(core_view_connection(world->core, 1, &view));
    assert_false(core_view_connection(world->core, 2, &view));
}

static void connection_secrets_are_taken_out_of_errors_outputs_and_notes(void **state)
{
    struct core_world *world = *state;
    set(world, "db", one);
    struct fake *fake = fake_up(world, 1);
    uint64_t run = world_submit(world, LEASE "tasks:\n  a: {bash: ls, connection: db}\n");
    world_drain(world);
    fake_started(world, fake, attempt_named(run, 0, 1));
    set(world, "db", two);
    struct msg_note note = {
        .id = attempt_named(run, 0, 1), .note = 1, .text = slice_of("{\"at\":\"x first-one\"}")};
    fake_say(world, fake, MESSAGE_note, &note);
    assert_true(slice_is(world->rows.notes[0].text, "{\"at\":\"x *********\"}"));
    struct msg_ended ended = {.id = attempt_named(run, 0, 1),
        .state = ATTEMPT_SUCCESS,
        .error = slice_of("at first-one, second-one"),
        .outputs = slice_of("{\"a\":[\"x first-one\",1],\"second-one\":null}")};
    fake_say(world, fake, MESSAGE_ended, &ended);
    const struct attempt_row *row = world_attempt(world, run, 0, 1);
    assert_int_equal(row->state, ATTEMPT_SUCCESS);
    assert_true(slice_is(row->outputs, "{\"a\":[\"x *********\",1],\"**********\":null}"));
    assert_true(slice_is(row->error, "at *********, **********"));
    /* The message lay where the mask worked: what is settled is this attempt and no other. */
    const struct msg_settled *settled = fake_told(fake, MESSAGE_settled, 0);
    const struct attempt_id id = attempt_named(run, 0, 1);
    assert_non_null(settled);
    assert_memory_equal(&settled->id, &id, sizeof id);
}

static int set_up(void **state)
{
    *state = world_create();
    return 0;
}

static int tear_down(void **state)
{
    world_destroy(*state);
    return 0;
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(connection_goes_with_the_assignment_of_the_task_that_names_it),
        IN_WORLD(connection_that_is_not_there_fails_its_task_before_dispatch),
        IN_WORLD(connection_outlives_a_restart_sealed_and_locked_ones_fail_by_name),
        IN_WORLD(connection_is_replaced_kept_removed_and_audited),
        IN_WORLD(connection_secrets_are_taken_out_of_errors_outputs_and_notes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
