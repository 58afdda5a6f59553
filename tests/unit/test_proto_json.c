#include "common/arena.h"
#include "proto/json.h"
#include "proto_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_json(enum message_id number, const void *body, const char *wanted)
{
    json_t *json = record_json(&message_shape(number)->record, body);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(text, wanted);
    free(text);
    json_decref(json);
}

static void proto_json_kinds_are_as_the_contract_says(void **state)
{
    (void)state;
    struct attempt_info attempts[] = {
        {.attempt = 1,
            .state = ATTEMPT_FAILED,
            .worker = slice_of("w1"),
            .exit_code = 3,
            .reason = REASON_EXIT_CODE,
            .error = slice_of("it said \"no\""),
            .started_at = 1763694000001,
            .ended_at = 1763694000999,
            .assigned_at = 1763694000000,
            .log_bytes = 12,
            .outputs = slice_of("{\"rows\":3}"),
            .artifacts = slice_make("\x00\xab\xff", 3)},
        {.attempt = 2, .state = ATTEMPT_RUNNING, .exit_code = -1},
    };
    struct note_info note = {
        .attempt = 1, .id = 2, .at = 1763694000000, .note = slice_of("{\"app\": \"a\"}")};
    struct task_info task = {.task = slice_of("load"),
        .state = TASK_RUNNING,
        .attempts = {attempts, 2},
        .index = 4,
        .tries = 1,
        .retries = 2,
        .notes = {&note, 1},
        .progress_done = -1,
        .progress_total = 4};
    struct state_count count = {.state = TASK_RUNNING, .count = 1};
    struct msg_run_info info = {.request = 99,
        .run = slice_of("salaries/17"),
        .dag = slice_of("salaries"),
        .state = RUN_RUNNING,
        .submitted_at = 1763694000000,
        .cancelling = true,
        .params = slice_of("{\"region\": \"EU\"}"),
        .key = 0xfedcba9876543210u,
        .task_count = 1,
        .counts = {&count, 1},
        .tasks = {&task, 1}};
    assert_json(MESSAGE_run_info, &info,
        "{\"run\":\"salaries/17\",\"dag\":\"salaries\",\"state\":\"running\",\"logical_date\":null,"
        "\"submitted_at\":\"2025-11-21T03:00:00.000Z\",\"started_at\":null,\"ended_at\":null,"
        "\"cancelling\":true,\"params\":{\"region\":\"EU\"},\"key\":\"fedcba9876543210\","
        "\"task_count\":1,\"counts\":[{\"state\":\"running\",\"count\":1}],\"tasks\":[{"
        "\"task\":\"load\",\"state\":\"running\",\"reason\":null,\"error\":null,\"attempts\":["
        "{\"attempt\":1,\"state\":\"failed\",\"worker\":\"w1\",\"exit_code\":3,"
        "\"reason\":\"exit_code\",\"error\":\"it said \\\"no\\\"\","
        "\"started_at\":\"2025-11-21T03:00:00.001Z\",\"ended_at\":\"2025-11-21T03:00:00.999Z\","
        "\"assigned_at\":\"2025-11-21T03:00:00.000Z\",\"log_bytes\":12,\"outputs\":{\"rows\":3},"
        "\"artifacts\":\"00abff\","
        "\"late\":null,\"late_at\":null,\"late_ended_at\":null,\"overlap\":null,"
        "\"overlap_attempt\":0,\"overlap_from\":null,\"overlap_to\":null},"
        "{\"attempt\":2,\"state\":\"running\",\"worker\":null,\"exit_code\":null,\"reason\":null,"
        "\"error\":null,\"started_at\":null,\"ended_at\":null,\"assigned_at\":null,"
        "\"log_bytes\":0,\"outputs\":null,\"artifacts\":null,"
        "\"late\":null,\"late_at\":null,\"late_ended_at\":null,\"overlap\":null,"
        "\"overlap_attempt\":0,\"overlap_from\":null,\"overlap_to\":null}],"
        "\"index\":4,\"tries\":1,\"retries\":2,\"due_at\":null,"
        "\"notes\":[{\"attempt\":1,\"id\":2,\"at\":\"2025-11-21T03:00:00.000Z\","
        "\"note\":{\"app\":\"a\"}}],\"progress\":null,\"progress_done\":null,"
        "\"progress_total\":4}],\"more\":false,"
        "\"waits_for\":null}");
}

static void proto_json_params_that_are_no_object_stay_text(void **state)
{
    (void)state;
    struct msg_run_info info = {.params = slice_of("[1]")};
    json_t *json = record_json(&message_shape(MESSAGE_run_info)->record, &info);
    assert_string_equal(json_string_value(json_object_get(json, "params")), "[1]");
    json_decref(json);
    struct slice typed[] = {slice_of("{\"a\":1}")};
    struct msg_submit submit = {.params = {typed, 1}};
    assert_json(MESSAGE_submit, &submit,
        "{\"file\":\"\",\"dag\":\"\",\"params\":[\"{\\\"a\\\":1}\"],\"date\":\"\",\"key\":\"\","
        "\"again\":false,\"bundle\":null}");
}

static void proto_json_numbers_over_63_bits_are_digits(void **state)
{
    (void)state;
    struct msg_heartbeat_ack ack = {.stamp = UINT64_MAX};
    assert_json(MESSAGE_heartbeat_ack, &ack, "{\"stamp\":\"18446744073709551615\"}");
    ack.stamp = INT64_MAX;
    assert_json(MESSAGE_heartbeat_ack, &ack, "{\"stamp\":9223372036854775807}");
}

static void proto_json_bytes_that_are_no_utf8_are_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *wanted;
    } cases[] = {
        {"plain", "plain"},
        {"\xec\x84\x9c\xec\x9a\xb8", "\xec\x84\x9c\xec\x9a\xb8"},
        {"a\xff"
         "b",
            "a\xef\xbf\xbd"
            "b"},
        {"\xc3", "\xef\xbf\xbd"},                                                 /* cut off */
        {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},                                 /* overlong */
        {"\xe0\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* a surrogate */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* beyond */
        {"\xf0\x9f\x98\x80\xf0", "\xf0\x9f\x98\x80\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json = text_json(slice_of(cases[i].text));
        assert_string_equal(json_string_value(json), cases[i].wanted);
        json_decref(json);
    }
    json_t *json = text_json(slice_make("a\0b", 3));
    assert_int_equal(json_string_length(json), 3);
    json_decref(json);
}

static void proto_json_of_random_messages_is_read_back(void **state)
{
    (void)state;
    size_t count;
    const struct message_shape *shapes = message_shapes(&count);
    for (size_t i = 0; i < count * 10; i++) {
        const struct record_shape *shape = &shapes[i % count].record;
        struct arena arena = {0};
        struct random_source random = {.state = i, .items_max = 3, .arena = &arena};
        char *body = arena_alloc(&arena, shape->size);
        random_record(&random, shape, body);
        json_t *json = record_json(shape, body);
        char *text = json_dumps(json, JSON_COMPACT);
        json_t *again = json_loads(text, JSON_ALLOW_NUL, NULL);
        if (again == NULL || !json_equal(json, again))
            fail_msg("%s, seed %zu: not read back", shape->name, i);
        json_decref(again);
        json_decref(json);
        free(text);
        arena_fini(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proto_json_kinds_are_as_the_contract_says),
        cmocka_unit_test(proto_json_params_that_are_no_object_stay_text),
        cmocka_unit_test(proto_json_numbers_over_63_bits_are_digits),
        cmocka_unit_test(proto_json_bytes_that_are_no_utf8_are_replaced),
        cmocka_unit_test(proto_json_of_random_messages_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
