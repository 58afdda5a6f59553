#include "common/error.h"

#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void error_set_keeps_code_and_text_and_returns_the_code(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(error_set(&error, ERR_NOT_FOUND, "run %s/%d", "a", 3), ERR_NOT_FOUND);
    assert_int_equal(error.code, ERR_NOT_FOUND);
    assert_string_equal(error.text, "run a/3");
}

static void error_without_a_place_for_it_still_returns_the_code(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, ERR_IO, "%s", "x"), ERR_IO);
    assert_int_equal(error_set_errno(NULL, ERR_IO, ENOENT, "%s", "x"), ERR_IO);
    assert_int_equal(error_prefix(NULL, "%s", "x"), 0);
}

static void error_set_errno_appends_the_reason(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(error_set_errno(&error, ERR_IO, ENOENT, "%s", "/a/b"), ERR_IO);
    assert_string_equal(error.text, "/a/b: No such file or directory");
}

static void error_prefix_goes_before_the_text(void **state)
{
    (void)state;
    struct error error = {0};
    (void)error_set(&error, ERR_INVALID, "line %d", 7);
    assert_int_equal(error_prefix(&error, "%s", "x.yaml"), ERR_INVALID);
    assert_int_equal(error_prefix(&error, "submit"), ERR_INVALID);
    assert_string_equal(error.text, "submit: x.yaml: line 7");
}

static void error_text_that_is_too_long_is_cut(void **state)
{
    (void)state;
    struct error error = {0};
    char *text = malloc(5000);
    assert_non_null(text);
    memset(text, 'x', 4999);
    text[4999] = '\0';
    (void)error_set(&error, ERR_IO, "%s", text);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
    (void)error_set_errno(&error, ERR_IO, ENOENT, "%s", text);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
    (void)error_prefix(&error, "%s", "before");
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
    assert_int_equal(strncmp(error.text, "before: xxx", 11), 0);
    (void)error_prefix(&error, "%s", text);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
    free(text);
}

/* Codes travel in messages and exit statuses in scripts: neither may ever change. */
static void error_codes_names_and_exit_statuses_are_what_they_were(void **state)
{
    (void)state;
    static const struct {
        int code, number, exit_status;
        const char *name;
    } rows[] = {{ERR_USAGE, 1, 2, "usage"}, {ERR_INVALID, 2, 3, "invalid"},
        {ERR_DENIED, 3, 4, "denied"}, {ERR_UNREACHABLE, 4, 5, "unreachable"},
        {ERR_NOT_FOUND, 5, 6, "not_found"}, {ERR_REFUSED, 6, 7, "refused"}, {ERR_IO, 7, 1, "io"},
        {ERR_CORRUPT, 8, 1, "corrupt"}, {ERR_NO_SPACE, 9, 7, "no_space"},
        {ERR_VERSION, 10, 7, "version"}, {ERR_MALFORMED, 11, 2, "malformed"},
        {ERR_TOO_BIG, 12, 2, "too_big"}, {ERR_TIMEOUT, 13, 124, "timeout"},
        {ERR_UNSUPPORTED, 14, 3, "unsupported"}, {ERR_AGAIN, 15, 7, "again"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(rows[i].code, -rows[i].number);
        assert_int_equal(error_exit_status(rows[i].code), rows[i].exit_status);
        assert_string_equal(error_name(rows[i].code), rows[i].name);
        assert_true(strlen(error_text(rows[i].code)) > 0);
    }
}

static void error_foreign_number_is_unknown_and_exit_1(void **state)
{
    (void)state;
    const int foreign[] = {1, 7, -1000, -2147483647 - 1};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        assert_string_equal(error_name(foreign[i]), "unknown");
        assert_int_equal(error_exit_status(foreign[i]), 1);
    }
    assert_string_equal(error_name(0), "ok");
    assert_int_equal(error_exit_status(0), 0);
}

static void error_of_a_file_is_told_by_its_errno(void **state)
{
    (void)state;
    assert_int_equal(error_write_code(ENOSPC), ERR_NO_SPACE);
    assert_int_equal(error_write_code(EDQUOT), ERR_NO_SPACE);
    assert_int_equal(error_write_code(EACCES), ERR_IO);
    assert_int_equal(error_file_code(EDQUOT), ERR_NO_SPACE);
    assert_int_equal(error_file_code(ENOENT), ERR_NOT_FOUND);
    assert_int_equal(error_file_code(EROFS), ERR_DENIED);
    assert_int_equal(error_file_code(EIO), ERR_IO);
}

static void memory_vector_grows_and_keeps_its_elements(void **state)
{
    (void)state;
    uint32_t *items = NULL;
    size_t capacity = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        vector_reserve(&items, i, &capacity);
        assert_true(capacity > i);
        items[i] = i;
    }
    for (uint32_t i = 0; i < 10000; i++)
        assert_int_equal(items[i], i);
    free(items);
}

static void memory_texts_are_copied_and_ended(void **state)
{
    (void)state;
    char *copy = xstrndup("abcdef", 3);
    char *empty = xstrndup(NULL, 0);
    char *text = xasprintf("%s-%d", copy, 5);
    char *zeros = xcalloc(0, 10);
    assert_string_equal(copy, "abc");
    assert_string_equal(empty, "");
    assert_string_equal(text, "abc-5");
    free(copy);
    free(empty);
    free(text);
    free(zeros);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_set_keeps_code_and_text_and_returns_the_code),
        cmocka_unit_test(error_without_a_place_for_it_still_returns_the_code),
        cmocka_unit_test(error_set_errno_appends_the_reason),
        cmocka_unit_test(error_prefix_goes_before_the_text),
        cmocka_unit_test(error_text_that_is_too_long_is_cut),
        cmocka_unit_test(error_codes_names_and_exit_statuses_are_what_they_were),
        cmocka_unit_test(error_foreign_number_is_unknown_and_exit_1),
        cmocka_unit_test(error_of_a_file_is_told_by_its_errno),
        cmocka_unit_test(memory_vector_grows_and_keeps_its_elements),
        cmocka_unit_test(memory_texts_are_copied_and_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
