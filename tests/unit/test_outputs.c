#include "worker/io/outputs.h"

#include "common/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

static void assert_outputs(const char *text, const char *wanted)
{
    struct buffer json = {0};
    struct error error = {0};
    int rc = outputs_parse(slice_of(text), &json, &error);
    if (rc != 0)
        print_error("%s\n", error.text);
    assert_int_equal(rc, 0);
    assert_string_equal(buffer_text(&json), wanted);
    buffer_fini(&json);
}

static void assert_refused(struct slice text, int code, const char *part)
{
    struct buffer json = {0};
    struct error error = {0};
    assert_int_equal(outputs_parse(text, &json, &error), code);
    if (strstr(error.text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, part);
    assert_int_equal(json.length, 0);
    buffer_fini(&json);
}

static void outputs_lines_become_strings(void **state)
{
    (void)state;
    assert_outputs("rows=3\nname=a b\n\nempty=\nlast=x=y",
        "{\"rows\":\"3\",\"name\":\"a b\",\"empty\":\"\",\"last\":\"x=y\"}");
}

static void outputs_last_of_a_name_counts(void **state)
{
    (void)state;
    assert_outputs("a=1\na=2\n", "{\"a\":\"2\"}");
}

static void outputs_object_keeps_its_types(void **state)
{
    (void)state;
    assert_outputs("\n {\"n\": 3, \"l\": [1, null]}\n", "{\"n\":3,\"l\":[1,null]}");
}

static void outputs_nothing_is_nothing(void **state)
{
    (void)state;
    assert_outputs("", "");
    assert_outputs(" \n\n", "");
    assert_outputs("{}", "");
}

static void outputs_bad_line_is_named(void **state)
{
    (void)state;
    assert_refused(slice_of("a=1\nnonsense\n"), ERR_INVALID, "line 2 ");
    assert_refused(slice_of("1a=1"), ERR_INVALID, "line 1");
    assert_refused(slice_of("a=\xff\xfe"), ERR_INVALID, "UTF-8");
    assert_refused(slice_make("a=x\0y", 5), ERR_INVALID, "NUL");
}

static void outputs_bad_json_is_named(void **state)
{
    (void)state;
    assert_refused(slice_of("{\"a\":\n1,}"), ERR_INVALID, "line 2");
    assert_refused(slice_of("{\"a\": 1, \"a\": 2}"), ERR_INVALID, "not JSON");
    assert_refused(slice_of("{} {}"), ERR_INVALID, "not JSON");
}

/* Quotes are doubled in JSON: a text that fits may not as JSON. */
static void outputs_over_their_bound_are_refused(void **state)
{
    (void)state;
    char *text = malloc(OUTPUTS_MAX_BYTES + 1);
    memset(text, 'x', OUTPUTS_MAX_BYTES + 1);
    text[0] = 'a';
    text[1] = '=';
    assert_refused(slice_make(text, OUTPUTS_MAX_BYTES + 1), ERR_TOO_BIG, "65536");
    memset(text + 2, '"', OUTPUTS_MAX_BYTES - 2);
    assert_refused(slice_make(text, OUTPUTS_MAX_BYTES), ERR_TOO_BIG, "65536");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_lines_become_strings),
        cmocka_unit_test(outputs_last_of_a_name_counts),
        cmocka_unit_test(outputs_object_keeps_its_types),
        cmocka_unit_test(outputs_nothing_is_nothing),
        cmocka_unit_test(outputs_bad_line_is_named),
        cmocka_unit_test(outputs_bad_json_is_named),
        cmocka_unit_test(outputs_over_their_bound_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
