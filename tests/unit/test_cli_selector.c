#include "cli/selector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

enum { ALL_USES = SELECTOR_TASKS | SELECTOR_ATTEMPTS };

/* `wanted`: "RUN TASK ATTEMPT" with all said as * and no task as -; a run with a number is marked
 * by #. */
static void expect(const char *text, const char *wanted)
{
    struct selector selector;
    struct error error = {0};
    char found[400];
    if (selector_parse(text, ALL_USES, &selector, &error) != 0)
        fail_msg("%s: %s", text, error.text);
    (void)snprintf(found, sizeof found, "%s%s %s %u%s", selector.numbered ? "#" : "", selector.run,
        selector.task[0] != '\0' ? selector.task : "-", selector.attempt, selector.all ? "*" : "");
    assert_string_equal(found, wanted);
}

static void selector_every_form_is_read(void **state)
{
    (void)state;
    expect("salaries/17", "#salaries/17 - 0");
    expect("salaries", "salaries - 0");
    expect("last", "last - 0");
    expect("salaries/17/load", "#salaries/17 load 0");
    expect("salaries/load", "salaries load 0");
    expect("last/load@3", "last load 3");
    expect("salaries/17/load@all", "#salaries/17 load 0*");
    expect("a-b_c/1/2", "#a-b_c/1 2 0");
}

static void expect_error(const char *text, unsigned uses, int code, const char *part)
{
    struct selector selector;
    struct error error = {0};
    assert_int_equal(selector_parse(text, uses, &selector, &error), code);
    if (strstr(error.text, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, error.text);
}

static void selector_mistakes_show_the_right_way(void **state)
{
    (void)state;
    expect_error("", ALL_USES, ERR_USAGE, "no run");
    expect_error("/17", ALL_USES, ERR_USAGE, "no run");
    expect_error("a b", ALL_USES, ERR_USAGE, "no run");
    expect_error("salaries/", ALL_USES, ERR_USAGE, "not a name");
    expect_error("salaries/17/", ALL_USES, ERR_USAGE, "not a name");
    expect_error("salaries/17/a/b", ALL_USES, ERR_USAGE, "not a name");
    expect_error("salaries@2", ALL_USES, ERR_USAGE, "only a task");
    expect_error("s/1/a@0", ALL_USES, ERR_USAGE, "from 1");
    expect_error("s/1/a@x", ALL_USES, ERR_USAGE, "number or");
    expect_error("s/1/a@99999999999", ALL_USES, ERR_USAGE, "number or");
    expect_error("s/1/a@2", SELECTOR_TASKS, ERR_USAGE, "no attempt");
    expect_error("s/1/a", 0, ERR_USAGE, "no task");
    expect_error("s/1/a:0", ALL_USES, ERR_REFUSED, "not supported in this version");
    expect_error("salaries", SELECTOR_CHANGES, ERR_USAGE, "salaries/17");
    expect_error("last/load", SELECTOR_CHANGES | SELECTOR_TASKS, ERR_USAGE, "number");
}

static void selector_longest_names_fit(void **state)
{
    char text[400], name[NAME_MAX_BYTES + 2];
    struct selector selector;
    (void)state;
    memset(name, 'a', sizeof name);
    name[NAME_MAX_BYTES] = '\0';
    (void)snprintf(text, sizeof text, "%s/999999999999999999/%s@999999999", name, name);
    assert_int_equal(selector_parse(text, ALL_USES, &selector, NULL), 0);
    assert_string_equal(selector.task, name);
    name[NAME_MAX_BYTES] = 'a';
    name[NAME_MAX_BYTES + 1] = '\0';
    assert_int_equal(selector_parse(name, ALL_USES, &selector, NULL), ERR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selector_every_form_is_read),
        cmocka_unit_test(selector_mistakes_show_the_right_way),
        cmocka_unit_test(selector_longest_names_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
