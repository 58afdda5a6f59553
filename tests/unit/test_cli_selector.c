#include "cli/selector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

enum { ALL_USES = SELECTOR_TASKS | SELECTOR_ATTEMPTS };

static void expect(
    const char *text, const char *run, bool numbered, const char *task, uint32_t attempt, bool all)
{
    struct selector selector;
    struct error error = {0};
    if (selector_parse(text, ALL_USES, &selector, &error) != 0)
        fail_msg("%s: %s", text, error.text);
    assert_string_equal(selector.run, run);
    assert_int_equal(selector.numbered, numbered);
    assert_string_equal(selector.task, task);
    assert_int_equal(selector.attempt, attempt);
    assert_int_equal(selector.all, all);
}

static void selector_every_form_is_read(void **state)
{
    (void)state;
    expect("salaries/17", "salaries/17", true, "", 0, false);
    expect("salaries", "salaries", false, "", 0, false);
    expect("last", "last", false, "", 0, false);
    expect("salaries/17/load", "salaries/17", true, "load", 0, false);
    expect("salaries/load", "salaries", false, "load", 0, false);
    expect("last/load@3", "last", false, "load", 3, false);
    expect("salaries/17/load@all", "salaries/17", true, "load", 0, true);
    expect("a-b_c/1/2", "a-b_c/1", true, "2", 0, false);
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
