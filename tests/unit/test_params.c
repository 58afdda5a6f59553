#include "common/dag/params.h"

#include "common/dag/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *from_text(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    return value;
}

/* Resolves and compares: `wanted` is JSON, or NULL when `part` must stand in the error. */
static void expect(
    const char *declared, const char *given, bool typed, const char *wanted, const char *part)
{
    json_t *declarations = from_text(declared);
    json_t *values = from_text(given);
    json_t *params = NULL;
    struct error error = {0};
    int result = params_resolve(declarations, values, typed, &params, &error);
    if (wanted != NULL) {
        if (result != 0)
            print_error("%s\n", error.text);
        assert_int_equal(result, 0);
        json_t *expected = from_text(wanted);
        assert_true(json_equal(params, expected));
        json_decref(expected);
    } else {
        assert_int_equal(result, ERR_USAGE);
        if (strstr(error.text, part) == NULL)
            print_error("\"%s\" lacks \"%s\"\n", error.text, part);
        assert_non_null(strstr(error.text, part));
        assert_null(params);
    }
    json_decref(params);
    json_decref(values);
    json_decref(declarations);
}

static void params_defaults_fill_what_was_not_given(void **state)
{
    (void)state;
    expect("{}", "{}", false, "{}", NULL);
    expect("{\"a\":{\"type\":\"string\",\"default\":\"EU\"},\"b\":{\"type\":\"integer\"}}",
        "{\"b\":\"7\"}", false, "{\"a\":\"EU\",\"b\":7}", NULL);
}

static void params_texts_are_read_by_the_declared_type(void **state)
{
    (void)state;
    expect("{\"a\":{\"type\":\"string\"}}", "{\"a\":\"1\"}", false, "{\"a\":\"1\"}", NULL);
    expect("{\"a\":{\"type\":\"integer\"}}", "{\"a\":\"-12\"}", false, "{\"a\":-12}", NULL);
    expect("{\"a\":{\"type\":\"number\"}}", "{\"a\":\"1.5e1\"}", false, "{\"a\":15.0}", NULL);
    expect("{\"a\":{\"type\":\"number\"}}", "{\"a\":\"2\"}", false, "{\"a\":2}", NULL);
    expect("{\"a\":{\"type\":\"boolean\"}}", "{\"a\":\"false\"}", false, "{\"a\":false}", NULL);
    expect("{\"a\":{\"type\":\"array\"}}", "{\"a\":\"[1,{}]\"}", false, "{\"a\":[1,{}]}", NULL);
    expect("{\"a\":{\"type\":\"object\"}}", "{\"a\":\"{\\\"k\\\":1}\"}", false, "{\"a\":{\"k\":1}}",
        NULL);
}

static void params_text_of_another_type_is_refused(void **state)
{
    (void)state;
    expect(
        "{\"a\":{\"type\":\"integer\"}}", "{\"a\":\"1.5\"}", false, NULL, "\"1.5\" is no integer");
    expect("{\"a\":{\"type\":\"integer\"}}", "{\"a\":\" 1\"}", false, NULL, "is no integer");
    expect("{\"a\":{\"type\":\"integer\"}}", "{\"a\":\"99999999999999999999\"}", false, NULL,
        "is no integer");
    expect("{\"a\":{\"type\":\"number\"}}", "{\"a\":\"nan\"}", false, NULL, "is no number");
    expect("{\"a\":{\"type\":\"number\"}}", "{\"a\":\"1e999\"}", false, NULL, "is no number");
    expect("{\"a\":{\"type\":\"boolean\"}}", "{\"a\":\"yes\"}", false, NULL, "write true or false");
    expect("{\"a\":{\"type\":\"object\"}}", "{\"a\":\"[1]\"}", false, NULL, "[1] is no object");
    expect("{\"a\":{\"type\":\"object\"}}", "{\"a\":\"{\"}", false, NULL, "is no JSON object");
}

/* A C string would end there, and the task get another value than was given. */
static void params_text_with_a_nul_byte_is_refused(void **state)
{
    (void)state;
    json_t *declarations = from_text("{\"v\": {\"type\": \"string\"}}");
    json_t *given = json_object();
    assert_int_equal(json_object_set_new(given, "v", json_stringn("a\0b", 3)), 0);
    for (int typed = 0; typed <= 1; typed++) {
        json_t *params = NULL;
        struct error error = {0};
        assert_int_equal(params_resolve(declarations, given, typed, &params, &error), ERR_USAGE);
        assert_non_null(strstr(error.text, "parameter \"v\": it holds a NUL byte"));
    }
    json_decref(given);
    json_decref(declarations);
}

static void params_typed_values_are_checked_as_they_are(void **state)
{
    (void)state;
    expect("{\"a\":{\"type\":\"integer\"}}", "{\"a\":3}", true, "{\"a\":3}", NULL);
    expect("{\"a\":{\"type\":\"integer\"}}", "{\"a\":\"3\"}", true, NULL, "\"3\" is no integer");
    expect("{\"a\":{\"type\":\"string\",\"default\":null}}", "{\"a\":null}", true, "{\"a\":null}",
        NULL);
    expect("{\"a\":{\"type\":\"string\"}}", "{\"a\":null}", true, NULL, "null is no string");
}

static void params_value_outside_its_schema_is_refused(void **state)
{
    (void)state;
    expect("{\"a\":{\"type\":\"string\",\"enum\":[\"EU\",\"KR\"]}}", "{\"a\":\"US\"}", false, NULL,
        "\"US\" is none of [\"EU\",\"KR\"]");
    expect("{\"a\":{\"type\":\"integer\",\"minimum\":1}}", "{\"a\":\"0\"}", false, NULL,
        "less than 1");
    expect("{\"a\":{\"type\":\"integer\",\"maximum\":1}}", "{\"a\":\"2\"}", false, NULL,
        "more than 1");
    expect("{\"a\":{\"type\":\"number\",\"exclusiveMinimum\":0.5}}", "{\"a\":\"0.5\"}", false, NULL,
        "not more than 0.5");
    expect("{\"a\":{\"type\":\"number\",\"exclusiveMaximum\":1}}", "{\"a\":\"1\"}", false, NULL,
        "not less than 1");
    expect(
        "{\"a\":{\"type\":\"string\",\"minLength\":2}}", "{\"a\":\"é\"}", false, NULL, "too short");
    expect("{\"a\":{\"type\":\"string\",\"maxLength\":2}}", "{\"a\":\"éé\"}", false,
        "{\"a\":\"éé\"}", NULL);
    expect("{\"a\":{\"type\":\"string\",\"pattern\":\"^[a-z]+$\"}}", "{\"a\":\"aB\"}", false, NULL,
        "does not match the pattern ^[a-z]+$");
    expect("{\"a\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}}",
        "{\"a\":\"[1,\\\"x\\\"]\"}", false, NULL, "item 1: \"x\" is no integer");
    expect("{\"a\":{\"type\":\"array\",\"maxItems\":1}}", "{\"a\":\"[1,2]\"}", false, NULL,
        "too many");
}

static void params_value_at_its_limits_fits(void **state)
{
    (void)state;
    expect("{\"a\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1}}", "{\"a\":\"1\"}", false,
        "{\"a\":1}", NULL);
    expect("{\"a\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":1}}", "{\"a\":\"é\"}", false,
        "{\"a\":\"é\"}", NULL);
    expect("{\"a\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":1}}", "{\"a\":\"[1]\"}", false,
        "{\"a\":[1]}", NULL);
}

static void params_every_mistake_is_listed_once(void **state)
{
    (void)state;
    const char *declared = "{\"region\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"}}";
    expect(declared, "{\"regoin\":\"EU\",\"n\":\"x\",\"zzz\":\"1\"}", false, NULL,
        "parameter \"region\": it has no default, give it with -p NAME=VALUE\n"
        "parameter \"n\": \"x\" is no integer\n"
        "parameter \"regoin\": this DAG has none; did you mean \"region\"?\n"
        "parameter \"zzz\": this DAG has none of that name");
}

static void params_environment_text_is_plain_or_json(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"\"a b\"", "a b"}, {"3", "3"}, {"0.1", "0.1"},
        {"0.30000000000000004", "0.30000000000000004"}, {"true", "true"},
        {"[0.1,\"x\"]", "[0.1,\"x\"]"}, {"{\"k\":null}", "{\"k\":null}"}, {"null", NULL}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        json_t *value = from_text(pairs[i][0]);
        char *text = params_environment_text(value);
        if (pairs[i][1] == NULL)
            assert_null(text);
        else
            assert_string_equal(text, pairs[i][1]);
        free(text);
        json_decref(value);
    }
}

static void params_hostile_pattern_is_refused(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(schema_check_pattern("^[A-Z]{2,3}$", &error), 0);
    assert_int_equal(schema_check_pattern("((a{200}){200}){200}", &error), ERR_INVALID);
    assert_int_equal(schema_check_pattern("a{99999999999999}", &error), ERR_INVALID);
    assert_int_equal(schema_check_pattern("(a*)\\1", &error), ERR_INVALID);
    assert_int_equal(schema_check_pattern("(a", &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "POSIX"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(params_defaults_fill_what_was_not_given),
        cmocka_unit_test(params_texts_are_read_by_the_declared_type),
        cmocka_unit_test(params_text_of_another_type_is_refused),
        cmocka_unit_test(params_text_with_a_nul_byte_is_refused),
        cmocka_unit_test(params_typed_values_are_checked_as_they_are),
        cmocka_unit_test(params_value_outside_its_schema_is_refused),
        cmocka_unit_test(params_value_at_its_limits_fits),
        cmocka_unit_test(params_every_mistake_is_listed_once),
        cmocka_unit_test(params_environment_text_is_plain_or_json),
        cmocka_unit_test(params_hostile_pattern_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
