#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static const struct option_row rows[] = {
    {"follow", 'f', OPTION_FLAG, NULL, ""},
    {"times", 't', OPTION_FLAG, NULL, ""},
    {"limit", 'n', OPTION_NUMBER, "N", ""},
    {"since", 0, OPTION_DURATION, "TIME", ""},
    {"param", 'p', OPTION_TEXTS, "NAME=VALUE", ""},
    {"grep", 0, OPTION_UNSUPPORTED, "TEXT", ""},
    {NULL, 0, OPTION_FLAG, NULL, NULL},
};

enum { WORDS_MAX = 16 };

static int parse(struct arguments *arguments, struct error *error, const char *line)
{
    static char text[256];
    char *words[WORDS_MAX], *rest = text;
    int count = 0;
    (void)snprintf(text, sizeof text, "%s", line);
    for (char *word; (word = strtok_r(rest, " ", &rest)) != NULL;)
        words[count++] = word;
    return arguments_parse(arguments, rows, count, words, error);
}

static void arguments_options_anywhere_are_read(void **state)
{
    struct arguments arguments;
    struct error error;
    (void)state;
    assert_int_equal(
        parse(&arguments, &error, "-ft a --limit=5 b --since 1h30m -pk=v --param k2=v2"), 0);
    assert_true(arguments_flag(&arguments, "follow") && arguments_flag(&arguments, "times"));
    assert_int_equal(arguments_option(&arguments, "limit")->number, 5);
    assert_int_equal(arguments_option(&arguments, "since")->number, 5400000);
    assert_int_equal(arguments_option(&arguments, "param")->count, 2);
    assert_string_equal(arguments_option(&arguments, "param")->texts[0], "k=v");
    assert_string_equal(arguments_item(&arguments, 0), "a");
    assert_string_equal(arguments_item(&arguments, 1), "b");
    assert_null(arguments_item(&arguments, 2));
    arguments_fini(&arguments);
}

static void arguments_after_double_dash_are_no_options(void **state)
{
    struct arguments arguments;
    (void)state;
    assert_int_equal(parse(&arguments, NULL, "- -- -f --grep"), 0);
    assert_int_equal(arguments.count, 3);
    assert_false(arguments_flag(&arguments, "follow"));
    arguments_fini(&arguments);
}

static void expect_error(const char *line, int code, const char *part)
{
    struct arguments arguments;
    struct error error = {0};
    assert_int_equal(parse(&arguments, &error, line), code);
    if (strstr(error.text, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, error.text);
    arguments_fini(&arguments);
}

static void arguments_mistakes_are_named(void **state)
{
    (void)state;
    expect_error("--folow", ERR_USAGE, "did you mean --follow?");
    expect_error("--zzzzzz", ERR_USAGE, "unknown option --zzzzzz");
    expect_error("-z", ERR_USAGE, "unknown option -z");
    expect_error("--limit", ERR_USAGE, "--limit needs a value");
    expect_error("--limit 0", ERR_USAGE, "not a number");
    expect_error("-n5x", ERR_USAGE, "not a number");
    expect_error("--limit -1", ERR_USAGE, "not a number");
    expect_error("--follow=1", ERR_USAGE, "takes no value");
    expect_error("--since 300", ERR_USAGE, "300s");
    expect_error("--grep x", ERR_REFUSED, "not supported in this version");
}

static void arguments_help_ends_the_reading(void **state)
{
    struct arguments arguments;
    (void)state;
    assert_int_equal(parse(&arguments, NULL, "a --help --nonsense"), 0);
    assert_true(arguments.help);
    arguments_fini(&arguments);
    assert_int_equal(parse(&arguments, NULL, "-h"), 0);
    assert_true(arguments.help);
    arguments_fini(&arguments);
}

static void command_table_rows_are_whole(void **state)
{
    size_t count;
    const struct command *commands_found = commands(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        const struct command *command = &commands_found[i];
        assert_ptr_equal(command_find(command->name), command);
        assert_true(command->least <= command->most);
        size_t options = 0;
        for (const struct option_row *row = command->options; row->name != NULL; row++) {
            assert_non_null(row->help);
            assert_true(row->kind == OPTION_UNSUPPORTED ||
                        (row->kind == OPTION_FLAG) == (row->value == NULL));
            for (const struct option_row *other = command->options; other < row; other++) {
                assert_string_not_equal(row->name, other->name);
                assert_true(row->letter == 0 || row->letter != other->letter);
            }
            options++;
        }
        assert_true(options <= OPTIONS_MAX);
    }
}

static void command_help_names_every_option(void **state)
{
    struct buffer text = {0};
    (void)state;
    help_command(command_find("logs"), &text);
    assert_non_null(strstr(buffer_text(&text), "Usage: reeve logs RUN"));
    assert_non_null(strstr(buffer_text(&text), "-f, --follow"));
    assert_non_null(strstr(buffer_text(&text), "--grep TEXT"));
    assert_non_null(strstr(buffer_text(&text), "(not in this version)"));
    buffer_fini(&text);
}

static void command_misspelt_gets_the_right_one(void **state)
{
    struct error error;
    (void)state;
    assert_int_equal(command_unknown("sumbit", &error), ERR_USAGE);
    assert_non_null(strstr(error.text, "\"submit\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_options_anywhere_are_read),
        cmocka_unit_test(arguments_after_double_dash_are_no_options),
        cmocka_unit_test(arguments_mistakes_are_named),
        cmocka_unit_test(arguments_help_ends_the_reading),
        cmocka_unit_test(command_table_rows_are_whole),
        cmocka_unit_test(command_help_names_every_option),
        cmocka_unit_test(command_misspelt_gets_the_right_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
