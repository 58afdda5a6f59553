/*
 * What people type at the master: names of runs, and the options of reeve-master.
 */
#include "master/io/options.h"
#include "master/io/run_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void run_name_with_number_names_one_run(void **state)
{
    (void)state;
    struct run_name name;
    assert_int_equal(run_name_parse(slice_of("salaries/17"), &name, NULL), 0);
    assert_true(slice_is(name.dag, "salaries"));
    assert_int_equal(name.number, 17);
    assert_int_equal(run_name_parse(slice_of("last/4294967295"), &name, NULL), 0);
    assert_true(slice_is(name.dag, "last"));
    assert_int_equal(name.number, 4294967295);
}

static void run_name_without_number_is_the_latest(void **state)
{
    (void)state;
    struct run_name name;
    assert_int_equal(run_name_parse(slice_of("_a-b9"), &name, NULL), 0);
    assert_true(slice_is(name.dag, "_a-b9"));
    assert_int_equal(name.number, 0);
    assert_int_equal(run_name_parse(slice_of("last"), &name, NULL), 0);
    assert_int_equal(name.dag.length, 0);
    assert_int_equal(name.number, 0);
}

static void run_name_of_another_shape_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "/", "/1", "a/", "a/0", "a/01", "a/-1", "a/1/b", "a/x",
        "a/4294967296", "a/99999999999", "a b", "-a", "a.b/1", "../a/1", "a\n/1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct run_name name = {.number = 7};
        struct error error = {0};
        assert_int_equal(run_name_parse(slice_of(wrong[i]), &name, &error), ERR_USAGE);
        assert_int_equal(name.number, 7);
        assert_non_null(strstr(error.text, "salaries/17"));
    }
}

static void run_name_of_128_bytes_is_the_longest(void **state)
{
    (void)state;
    char text[130];
    struct run_name name;
    memset(text, 'a', sizeof text);
    assert_int_equal(run_name_parse(slice_make(text, 128), &name, NULL), 0);
    assert_int_equal(run_name_parse(slice_make(text, 129), &name, NULL), ERR_USAGE);
}

static int parse(struct options *options, struct error *error, const char *const *words)
{
    char *argv[16] = {(char *)(uintptr_t) "reeve-master"};
    int argc = 1;
    for (; words[argc - 1] != NULL; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
    return options_parse(options, argc, argv, error);
}

static void clear_environment(void)
{
    (void)unsetenv("REEVE_DATA");
    (void)unsetenv("REEVE_DAGS");
    (void)unsetenv("REEVE_LOG_LEVEL");
    (void)unsetenv("REEVE_TRACE");
}

static void options_flag_wins_over_environment(void **state)
{
    (void)state;
    struct options options;
    clear_environment();
    (void)setenv("REEVE_DATA", "/from/environment", 1);
    (void)setenv("REEVE_DAGS", "/a::/b", 1);
    (void)setenv("REEVE_LOG_LEVEL", "debug", 1);
    const char *words[] = {"--data", "/from/flag/", "--log-level=warn", NULL};
    assert_int_equal(parse(&options, NULL, words), 0);
    assert_string_equal(options.data, "/from/flag");
    assert_string_equal(options.data_source, "--data");
    assert_int_equal(options.common.log_level, LOG_LEVEL_WARN);
    assert_int_equal(options.dag_count, 2);
    assert_string_equal(options.dags[1], "/b");
    assert_string_equal(options.dags_source, "$REEVE_DAGS");
    options_fini(&options);
    assert_int_equal(parse(&options, NULL, (const char *[]){NULL}), 0);
    assert_string_equal(options.data, "/from/environment");
    assert_int_equal(options.common.log_level, LOG_LEVEL_DEBUG);
    options_fini(&options);
    clear_environment();
}

static void options_relative_folder_becomes_absolute(void **state)
{
    (void)state;
    struct options options;
    clear_environment();
    const char *words[] = {"--data=x/y", "--dags", "dags", "--dags", "/", NULL};
    assert_int_equal(parse(&options, NULL, words), 0);
    assert_int_equal(options.data[0], '/');
    assert_non_null(strstr(options.data, "/x/y"));
    assert_int_equal(options.dags[0][0], '/');
    assert_string_equal(options.dags[1], "/");
    options_fini(&options);
}

static void options_mistake_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *words[3];
        int code;
        const char *text;
    } cases[] = {
        {{"--dat", "x"}, ERR_USAGE, "did you mean \"--data\""},
        {{"--data"}, ERR_USAGE, "--data needs a value"},
        {{"--data="}, ERR_USAGE, "--data is empty"},
        {{"--version=1"}, ERR_USAGE, "--version takes no value"},
        {{"--log-level", "loud"}, ERR_USAGE, "unknown level \"loud\""},
        {{"--listen", "udp://x"}, ERR_USAGE, "--listen"},
        {{"--config", "f.yaml"}, ERR_UNSUPPORTED, "--config is not supported in this version"},
        {{"word"}, ERR_USAGE, "unknown argument \"word\""},
    };
    clear_environment();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct options options;
        struct error error = {0};
        assert_int_equal(parse(&options, &error, cases[i].words), cases[i].code);
        assert_non_null(strstr(error.text, cases[i].text));
        options_fini(&options);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_name_with_number_names_one_run),
        cmocka_unit_test(run_name_without_number_is_the_latest),
        cmocka_unit_test(run_name_of_another_shape_is_refused),
        cmocka_unit_test(run_name_of_128_bytes_is_the_longest),
        cmocka_unit_test(options_flag_wins_over_environment),
        cmocka_unit_test(options_relative_folder_becomes_absolute),
        cmocka_unit_test(options_mistake_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
