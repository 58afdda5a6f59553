#include "common/dag/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A scope with dates in Seoul, some params, and outputs of the tasks "check" and "a-b". */
struct fixture {
    json_t *values, *params, *outputs;
    struct template_scope scope;
};

static const json_t *task_outputs(void *context, struct slice task)
{
    return json_object_getn(context, task.ptr, task.length);
}

static void task_artifacts(void *context, struct slice task, struct buffer *text)
{
    (void)context;
    if (slice_is(task, "extract"))
        buffer_printf(text, "/art/%.*s", SLICE_PRINT(task));
}

static json_t *from_text(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    return value;
}

static int setup(void **state)
{
    static struct fixture fixture;
    fixture.values = from_text(
        "{\"ds\":\"2026-11-21\",\"ds_nodash\":\"20261121\",\"ts\":\"2026-11-21T03:00:00+09:00\","
        "\"logical_date\":\"2026-11-21T03:00:00.250+09:00\",\"run_id\":\"salaries/17\","
        "\"dag\":\"salaries\",\"task\":\"load\",\"attempt\":2}");
    fixture.params =
        from_text("{\"region\":\"EU\",\"n\":3,\"rate\":0.1,\"off\":false,\"none\":null,"
                  "\"list\":[1,\"b\"],\"map\":{\"k\":{\"z\":1}},\"evil\":\"{{ ds }}\"}");
    fixture.outputs = from_text("{\"check\":{\"rows\":\"12\"},\"a-b\":{\"x\":[1,2]}}");
    fixture.scope = (struct template_scope){.values = fixture.values,
        .params = fixture.params,
        .outputs = task_outputs,
        .artifacts = task_artifacts,
        .context = fixture.outputs};
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    json_decref(fixture->values);
    json_decref(fixture->params);
    json_decref(fixture->outputs);
    return 0;
}

static void expect_text(void **state, const char *text, const char *wanted)
{
    struct fixture *fixture = *state;
    struct buffer out = {0};
    struct error error = {0};
    int result = template_render_text(slice_of(text), &fixture->scope, &out, &error);
    if (result != 0)
        print_error("%s: %s\n", text, error.text);
    assert_int_equal(result, 0);
    assert_string_equal(buffer_text(&out), wanted);
    buffer_fini(&out);
}

static void expect_error(void **state, const char *text, int code, const char *part)
{
    struct fixture *fixture = *state;
    json_t *value = NULL;
    struct error error = {0};
    assert_int_equal(template_render(slice_of(text), &fixture->scope, &value, &error), code);
    if (strstr(error.text, part) == NULL)
        print_error("%s: \"%s\" lacks \"%s\"\n", text, error.text, part);
    assert_non_null(strstr(error.text, part));
    assert_null(value);
}

static void template_names_are_rendered(void **state)
{
    expect_text(state, "", "");
    expect_text(state, "plain } text { {", "plain } text { {");
    expect_text(state, "day {{ ds }}, {{ds_nodash}}!", "day 2026-11-21, 20261121!");
    expect_text(
        state, "{{ run_id }} {{ dag }}.{{ task }}@{{ attempt }}", "salaries/17 salaries.load@2");
    expect_text(state, "{{ params.region }}/{{ params[\"n\"] }}", "EU/3");
    expect_text(state, "{{ params.list[1] }}{{ params.map.k['z'] }}", "b1");
    expect_text(state, "{{ outputs.check.rows }} {{ outputs[\"a-b\"].x }}", "12 [1,2]");
    expect_text(state, "{{ artifacts.extract }}/orders.csv", "/art/extract/orders.csv");
}

static void template_values_in_text_are_written_as_json(void **state)
{
    expect_text(state, "a{{ params.rate }} {{ params.off }} {{ params.none }}.", "a0.1 false .");
    expect_text(state, "{{ params.none }}", "");
    expect_text(state, "{{ params.map }}", "{\"k\":{\"z\":1}}");
    expect_text(state, "{{ params.region | tojson }}", "\"EU\"");
}

static void template_value_that_holds_braces_is_not_rendered_again(void **state)
{
    expect_text(state, "<{{ params.evil }}>", "<{{ ds }}>");
}

static void template_literal_prints_braces(void **state)
{
    expect_text(state, "{{ '{{' }} .Names {{ \"}}\" }}", "{{ .Names }}");
}

static void template_dates_are_calculated(void **state)
{
    expect_text(state, "{{ ds_add(ds, -1) }}", "2026-11-20");
    expect_text(state, "{{ ds_add(ds, 10) }}", "2026-12-01");
    expect_text(state, "{{ ds_add( ds_add(ds, -21), +0 ) }}", "2026-10-31");
    expect_text(
        state, "{{ ds_add('2024-02-28', 1) }}{{ ds_add('1900-02-28',1) }}", "2024-02-291900-03-01");
    expect_text(state, "{{ ds_add(ds, -1) | ds_nodash }}", "20261120");
    expect_text(state, "{{ logical_date | ds }}", "2026-11-21");
    expect_text(state, "{{ logical_date | ts }}", "2026-11-21T03:00:00.250+09:00");
    expect_text(state, "{{ ts | ts_nodash }}", "20261121T030000");
    expect_text(state, "{{ ts|ts_nodash_with_tz }}", "20261121T030000+0900");
}

static void template_single_expression_keeps_its_type(void **state)
{
    struct fixture *fixture = *state;
    json_t *value = NULL;
    assert_int_equal(template_render(slice_of("{{ params.n }}"), &fixture->scope, &value, NULL), 0);
    assert_true(json_is_integer(value));
    json_decref(value);
    assert_int_equal(
        template_render(slice_of("{{ params.list }}"), &fixture->scope, &value, NULL), 0);
    assert_true(json_is_array(value));
    json_decref(value);
    assert_int_equal(
        template_render(slice_of(" {{ params.n }}"), &fixture->scope, &value, NULL), 0);
    assert_string_equal(json_string_value(value), " 3");
    json_decref(value);
}

static void template_absent_value_is_named(void **state)
{
    expect_error(
        state, "x {{ outputs.check.sum }}", ERR_NOT_FOUND, "outputs.check.sum has no value");
    expect_error(state, "{{ outputs.other.rows }}", ERR_NOT_FOUND, "outputs.other.rows");
    expect_error(state, "{{ params.list[7] }}", ERR_NOT_FOUND, "params.list[7]");
    expect_error(state, "{{ artifacts.check }}", ERR_NOT_FOUND, "artifacts.check");
    expect_error(state, "{{ data_interval_end }}", ERR_NOT_FOUND, "data_interval_end");
}

static void template_mistake_is_explained(void **state)
{
    expect_error(state, "{{ dss }}", ERR_INVALID, "did you mean \"ds\"");
    expect_error(state, "{{ execution_date }}", ERR_INVALID, "logical_date");
    expect_error(state, "{{ item.x }}", ERR_INVALID, "not supported in this version");
    expect_error(state, "{{ ds | upper }}", ERR_INVALID, "unknown filter \"upper\"");
    expect_error(state, "{{ ds | ts_nodahs }}", ERR_INVALID, "did you mean \"ts_nodash\"");
    expect_error(state, "{{ ds ds }}", ERR_INVALID, "wanted in place of \"ds\"");
    expect_error(state, "{{ }}", ERR_INVALID, "nothing between");
    expect_error(state, "a {{ ds", ERR_INVALID, "never closed");
    expect_error(state, "{{ 'x }}", ERR_INVALID, "in place of");
    expect_error(state, "{{- ds }}", ERR_INVALID, "{{-");
    expect_error(state, "{{ .Names }}", ERR_INVALID, "{{ '{{' }}");
    expect_error(state, "{{ outputs.check }}", ERR_INVALID, "outputs.check.NAME");
    expect_error(state, "{{ outputs.a-b.x }}", ERR_INVALID, "outputs[\"a-…\"]");
    expect_error(state, "{{ params }}", ERR_INVALID, "params.NAME");
    expect_error(state, "{{ ds_add(ds) }}", ERR_INVALID, "\",\"");
    expect_error(state, "{{ ds_add(ds, 99999999) }}", ERR_INVALID, "too many");
    expect_error(state, "{{ ds_add(ds, 07) }}", ERR_INVALID, "\")\" is wanted in place of \"7\"");
    expect_error(state, "{{ ds_add(params.region, 1) }}", ERR_INVALID, "wants a date");
    expect_error(state, "{{ ds_add(ds, 3660000) }}", ERR_INVALID, "out of the calendar");
    expect_error(state, "{{ ds_add(ds_add(ds_add(ds_add(ds_add(ds,1),1),1),1),1) }}", ERR_INVALID,
        "too deep");
}

static void template_without_braces_is_not_dynamic(void **state)
{
    (void)state;
    assert_false(template_is_dynamic(slice_of("")));
    assert_false(template_is_dynamic(slice_of("{ {a} }")));
    assert_true(template_is_dynamic(slice_of("x{{ ds }}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(template_names_are_rendered),
        cmocka_unit_test(template_values_in_text_are_written_as_json),
        cmocka_unit_test(template_value_that_holds_braces_is_not_rendered_again),
        cmocka_unit_test(template_literal_prints_braces),
        cmocka_unit_test(template_dates_are_calculated),
        cmocka_unit_test(template_single_expression_keeps_its_type),
        cmocka_unit_test(template_absent_value_is_named),
        cmocka_unit_test(template_mistake_is_explained),
        cmocka_unit_test(template_without_braces_is_not_dynamic),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
