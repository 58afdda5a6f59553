#include "common/label.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void label_of_words_is_taken(void **state)
{
    (void)state;
    static const char *const good[] = {
        "gpu", "zone=eu", "k8s.io/zone=eu-1", "_a=1:2", "9", "a=_-./:"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct error error = {0};
        if (label_check(slice_of(good[i]), &error) != 0)
            fail_msg("%s: %s", good[i], error.text);
    }
}

static void label_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "=", "a=", "=a", "a=b=c", "a b", "-a", "a=-b", ".", "\xc3\xa9", "a,b", "a\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(label_check(slice_of(bad[i]), NULL), ERR_INVALID);
    assert_int_equal(label_check(slice_make("a\0b", 3), NULL), ERR_INVALID);
    assert_int_equal(label_check((struct slice){0}, NULL), ERR_INVALID);
    char text[LABEL_MAX_BYTES + 1];
    memset(text, 'a', sizeof text);
    assert_int_equal(label_check(slice_make(text, LABEL_MAX_BYTES), NULL), 0);
    assert_int_equal(label_check(slice_make(text, sizeof text), NULL), ERR_INVALID);
}

static void label_user_names_are_as_useradd_has_them(void **state)
{
    (void)state;
    static const char *const good[] = {"root", "_x", "a-b_9", "machine$"};
    static const char *const bad[] = {"", "Root", "9a", "-a", "a$b", "$", "a b", "a.b", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(user_name_check(slice_of(good[i]), NULL), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(user_name_check(slice_of(bad[i]), NULL), ERR_INVALID);
    char text[USER_NAME_MAX_BYTES + 1];
    memset(text, 'a', sizeof text);
    assert_int_equal(user_name_check(slice_make(text, USER_NAME_MAX_BYTES), NULL), 0);
    assert_int_equal(user_name_check(slice_make(text, sizeof text), NULL), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(label_of_words_is_taken),
        cmocka_unit_test(label_that_is_none_is_refused),
        cmocka_unit_test(label_user_names_are_as_useradd_has_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
