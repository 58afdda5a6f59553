/* `memory` and `cpus` in a DAG file: what is taken, and what is told of what is not. */
#include "common/dag/compile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* Compiles one task with that key; the only mistake must stand at its value (21 + the key's length
 * and ": ") and hold the text, or there must be none (NULL). */
static void check_value(const char *key, const char *value, const char *mistake)
{
    struct buffer yaml = {0};
    struct buffer plan = {0};
    struct diagnostics diagnostics = {0};
    buffer_printf(&yaml, "tasks: {a: {noop: , %s: %s}}\n", key, value);
    int code = dag_compile(buffer_slice(&yaml), "x.yaml", &plan, &diagnostics);
    assert_int_equal(code, mistake != NULL ? ERR_INVALID : 0);
    assert_int_equal(diagnostics.count, mistake != NULL);
    if (mistake != NULL) {
        assert_int_equal(diagnostics.items[0].line, 1);
        assert_int_equal(diagnostics.items[0].column, 23 + strlen(key));
        if (strstr(diagnostics.items[0].message, mistake) == NULL)
            fail_msg("%s: %s", value, diagnostics.items[0].message);
    }
    diagnostics_fini(&diagnostics);
    buffer_fini(&yaml);
    buffer_fini(&plan);
}

static void memory_is_a_size_of_at_least_4_mib(void **state)
{
    (void)state;
    static const char *const right[] = {"4MiB", "512 MiB", "4096KiB", "900GiB", "none", "", "~"};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        check_value("memory", right[i], NULL);
    check_value("memory", "0", "\"memory\" is at least 4MiB, not 0");
    check_value("memory", "0GiB", "\"memory\" is at least 4MiB, not 0GiB");
    check_value("memory", "4095KiB", "is at least 4MiB, not 4095KiB");
    check_value("memory", "512", "a size needs a unit: write 512MiB");
    check_value("memory", "-1GiB", "\"-1GiB\" is not a size");
    check_value("memory", "512Mi", "write it with B, KiB, MiB or GiB, as in 256MiB");
    check_value("memory", "1g", "write it with B, KiB, MiB or GiB, as in 256MiB");
    check_value("memory", "lots", "\"lots\" is not a size");
    check_value("memory", "99999GiB", "\"99999GiB\" is too much");
    check_value("memory", "[1]", "\"memory\" must be a size like 256MiB, not a list");
}

static void cpus_are_a_number_from_a_hundredth(void **state)
{
    (void)state;
    static const char *const right[] = {"1", "1.5", ".5", "0.01", "1024", "2e0", "none", "", "~"};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        check_value("cpus", right[i], NULL);
    static const char *const outside[] = {
        "0", "-1", "0.009", "1024.1", "1e9", "1e999", ".nan", ".inf", "-.inf", "0o7777"};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        check_value("cpus", outside[i], "\"cpus\" must lie between 0.01 and 1024, and is ");
    check_value("cpus", "500m", "\"cpus\" must be a number of processors like 1.5, not text");
    check_value("cpus", "\"1\"", "a number of processors like 1.5, without quotes, not text");
    check_value("cpus", "all", "must be a number of processors like 1.5, not text");
    check_value("cpus", "true", "must be a number of processors like 1.5, not a boolean");
    check_value("cpus", "[1]", "must be a number of processors like 1.5, not a list");
}

static void limits_stand_in_default_args_too(void **state)
{
    (void)state;
    struct buffer plan = {0};
    struct diagnostics diagnostics = {0};
    assert_int_equal(dag_compile(slice_of("default_args: {memory: 1GiB, cpus: 2}\n"
                                          "tasks: {a: {noop: , memory: none}, b: {noop: }}\n"),
                         "x.yaml", &plan, &diagnostics),
        0);
    diagnostics_fini(&diagnostics);
    buffer_clear(&plan);
    assert_int_equal(
        dag_compile(slice_of("default_args: {memory: 1, cpus: x}\ntasks: {a: {noop: }}\n"),
            "x.yaml", &plan, &diagnostics),
        ERR_INVALID);
    assert_int_equal(diagnostics.count, 2);
    diagnostics_fini(&diagnostics);
    buffer_fini(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_a_size_of_at_least_4_mib),
        cmocka_unit_test(cpus_are_a_number_from_a_hundredth),
        cmocka_unit_test(limits_stand_in_default_args_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
