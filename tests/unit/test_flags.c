#include "common/flags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The options of a small daemon. */
struct oven {
    char text[32];
    const char *source;
    bool early;
    struct flags_common common;
};

static int set_bread(void *of, struct flag_word word, struct error *error)
{
    struct oven *oven = of;
    if (strcmp(word.value, "stone") == 0)
        return error_set(error, ERR_USAGE, "%s: no bread", word.source);
    (void)snprintf(oven->text, sizeof oven->text, "%s", word.value);
    oven->source = word.source;
    return 0;
}

static int add_part(void *of, struct flag_word word, struct error *error)
{
    struct oven *oven = of;
    if (strcmp(word.value, "stone") == 0)
        return flag_wrong(word, error);
    size_t length = strlen(oven->text);
    (void)snprintf(oven->text + length, sizeof oven->text - length, "[%s]", word.value);
    oven->source = word.source;
    return 0;
}

static int default_bread(void *of, struct error *error)
{
    return set_bread(of, (struct flag_word){"rye", "default"}, error);
}

static const struct flag rows[] = {
    {.name = "--bread",
        .variable = "$OVEN_BREAD",
        .value = "B",
        .help = "what to bake\n($OVEN_BREAD)",
        .take = set_bread,
        .take_default = default_bread},
    {.name = "--folder", .variable = "$OVEN_FOLDERS", .take = add_part, .separator = ':'},
    {.name = "--part", .variable = "$OVEN_PARTS", .take = add_part, .separator = ','},
    {.name = "--empty", .variable = "$OVEN_EMPTY", .take = set_bread, .empty_counts = true},
    {.name = "--gas", .take = flag_refuse},
    {.name = "--early", .sets = offsetof(struct oven, early)},
    {.name = NULL},
};
static const struct flags flags = {.program = "oven",
    .verb = "stop",
    .shown_max = 12,
    .rows = rows,
    .common = offsetof(struct oven, common)};

static int no_environment(void **state)
{
    (void)state;
    return unsetenv("OVEN_BREAD") | unsetenv("OVEN_FOLDERS") | unsetenv("OVEN_PARTS") |
           unsetenv("OVEN_EMPTY") | unsetenv("REEVE_LOG_LEVEL");
}

static int parse(struct oven *oven, char *const *words, struct error *error)
{
    uint32_t given = 0;
    *oven = (struct oven){.common = FLAGS_COMMON_DEFAULT};
    int rc = flags_parse(&flags, words, oven, &given, error);
    return rc != 0 ? rc : flags_complete(&flags, given, oven, error);
}

static void expect(char *const *words, const char *text, const char *source)
{
    struct oven oven;
    assert_int_equal(parse(&oven, words, NULL), 0);
    assert_string_equal(oven.text, text);
    assert_string_equal(oven.source, source);
}

static void flags_are_read_in_both_spellings(void **state)
{
    (void)state;
    expect((char *[]){"--bread", "bun", NULL}, "bun", "--bread");
    expect((char *[]){"--bread=a=b", NULL}, "a=b", "--bread");
    expect((char *[]){"--bread", "--early", NULL}, "--early", "--bread");
    struct oven oven;
    assert_int_equal(parse(&oven, (char *[]){"--early", NULL}, NULL), 0);
    assert_true(oven.early && !oven.common.help);
    assert_int_equal(parse(&oven, (char *[]){"-h", NULL}, NULL), 0);
    assert_true(oven.common.help && !oven.early);
}

static void flags_win_over_variables_and_these_over_defaults(void **state)
{
    (void)state;
    expect((char *[]){NULL}, "rye", "default");
    assert_int_equal(setenv("OVEN_BREAD", "", 1), 0);
    expect((char *[]){NULL}, "rye", "default");
    assert_int_equal(setenv("OVEN_BREAD", "pita", 1), 0);
    expect((char *[]){NULL}, "pita", "$OVEN_BREAD");
    expect((char *[]){"--bread", "bun", NULL}, "bun", "--bread");
}

static void flags_variable_may_have_several_values(void **state)
{
    (void)state;
    assert_int_equal(setenv("OVEN_FOLDERS", ":a::b,c:", 1), 0);
    expect((char *[]){NULL}, "rye[a][b,c]", "$OVEN_FOLDERS");
    expect((char *[]){"--bread=x", "--folder", "a:b", "--folder=c", NULL}, "x[a:b][c]", "--folder");
    assert_int_equal(unsetenv("OVEN_FOLDERS"), 0);
    assert_int_equal(setenv("OVEN_PARTS", "a,,b:c,", 1), 0);
    expect((char *[]){NULL}, "rye[a][][b:c]", "$OVEN_PARTS");
    assert_int_equal(setenv("OVEN_PARTS", "a,stone,b", 1), 0);
    struct oven oven;
    struct error error = {0};
    assert_int_equal(parse(&oven, (char *[]){NULL}, &error), ERR_USAGE);
    assert_non_null(strstr(error.text, "$OVEN_PARTS"));
}

static void flags_empty_variable_counts_where_it_may(void **state)
{
    (void)state;
    expect((char *[]){NULL}, "rye", "default");
    assert_int_equal(setenv("OVEN_EMPTY", "", 1), 0);
    expect((char *[]){NULL}, "", "$OVEN_EMPTY");
}

static void flags_mistake_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        char *words[3];
        int code;
        const char *text;
    } cases[] = {
        {{"--braed=x"}, ERR_USAGE, "unknown argument \"--braed=x\"; did you mean \"--bread\"?"},
        {{"sotp"}, ERR_USAGE, "unknown argument \"sotp\"; did you mean \"stop\"?"},
        {{"0123456789abcdef"}, ERR_USAGE, "unknown argument \"0123456789ab\"; see oven --help"},
        {{"--bread"}, ERR_USAGE, "--bread needs a value"},
        {{"--early=1"}, ERR_USAGE, "--early takes no value"},
        {{"--gas", "1"}, ERR_UNSUPPORTED, "--gas is not supported in this version"},
        {{"--bread", "stone"}, ERR_USAGE, "--bread: no bread"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct oven oven;
        struct error error = {0};
        assert_int_equal(parse(&oven, cases[i].words, &error), cases[i].code);
        assert_string_equal(error.text, cases[i].text);
    }
}

static void flags_help_shows_a_line_each(void **state)
{
    (void)state;
    struct buffer out = {0};
    flags_help(&flags, &out);
    assert_string_equal(buffer_text(&out), "  --bread B         what to bake\n"
                                           "                    ($OVEN_BREAD)\n"
                                           "  --log-level L     error, warn, info (default) or "
                                           "debug ($REEVE_LOG_LEVEL)\n"
                                           "  --print-config    show what was resolved, and from "
                                           "where\n"
                                           "  --version         show the version\n"
                                           "  --help            show this\n");
    buffer_fini(&out);
}

static void flag_take_folder_makes_it_absolute(void **state)
{
    (void)state;
    char *folder = NULL;
    struct error error = {0};
    assert_int_equal(
        flag_take_folder((struct flag_word){"/a/b//", "--data"}, "it", &folder, NULL), 0);
    assert_string_equal(folder, "/a/b");
    assert_int_equal(flag_take_folder((struct flag_word){"b", "--data"}, "it", &folder, NULL), 0);
    assert_int_equal(folder[0], '/');
    assert_string_equal(strrchr(folder, '/'), "/b");
    assert_int_equal(
        flag_take_folder((struct flag_word){"", "--data"}, "it", &folder, &error), ERR_USAGE);
    assert_string_equal(error.text, "--data is empty; it names it");
    free(folder);
}

static void flags_of_every_daemon_are_known(void **state)
{
    (void)state;
    struct oven oven;
    struct error error = {0};
    struct buffer out = {0};
    assert_int_equal(parse(&oven, (char *[]){"--print-config", "--version", NULL}, NULL), 0);
    assert_true(oven.common.print_config && oven.common.version && !oven.common.help);
    assert_int_equal(oven.common.log_level, LOG_LEVEL_INFO);
    assert_int_equal(setenv("REEVE_LOG_LEVEL", "", 1), 0);
    assert_int_equal(parse(&oven, (char *[]){NULL}, NULL), 0);
    assert_int_equal(setenv("REEVE_LOG_LEVEL", "debug", 1), 0);
    assert_int_equal(parse(&oven, (char *[]){NULL}, NULL), 0);
    assert_int_equal(oven.common.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(parse(&oven, (char *[]){"--log-level=warn", NULL}, NULL), 0);
    flags_print_common(&out, &oven.common);
    assert_string_equal(buffer_text(&out), "log-level = warn  (from --log-level)\n");
    buffer_fini(&out);
    char *words[] = {"--log-level", "0123456789012345678901234567890123456789012345", NULL};
    assert_int_equal(parse(&oven, words, &error), ERR_USAGE);
    assert_string_equal(error.text,
        "--log-level: unknown level \"0123456789012345678901234567890123456789\"; write error, "
        "warn, info or debug");
    assert_int_equal(parse(&oven, (char *[]){"--config", "x", NULL}, &error), ERR_UNSUPPORTED);
    assert_int_equal(parse(&oven, (char *[]){"--versoin", NULL}, &error), ERR_USAGE);
    assert_non_null(strstr(error.text, "did you mean \"--version\"?"));
}

static void flag_print_says_where_a_value_came_from(void **state)
{
    (void)state;
    struct buffer out = {0};
    flag_print(&out, "data", (struct flag_word){"/a", "--data"});
    assert_string_equal(buffer_text(&out), "data = /a  (from --data)\n");
    buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(flags_are_read_in_both_spellings, no_environment),
        cmocka_unit_test_setup(flags_win_over_variables_and_these_over_defaults, no_environment),
        cmocka_unit_test_setup(flags_variable_may_have_several_values, no_environment),
        cmocka_unit_test_setup(flags_empty_variable_counts_where_it_may, no_environment),
        cmocka_unit_test_setup(flags_mistake_is_refused_by_name, no_environment),
        cmocka_unit_test(flags_help_shows_a_line_each),
        cmocka_unit_test(flag_take_folder_makes_it_absolute),
        cmocka_unit_test_setup(flags_of_every_daemon_are_known, no_environment),
        cmocka_unit_test(flag_print_says_where_a_value_came_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
