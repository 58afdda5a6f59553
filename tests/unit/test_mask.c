#include "common/connection/mask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* The text in pieces of `step` bytes. */
static void expect_masked(
    const struct mask *mask, const char *text, size_t step, const char *wanted)
{
    struct mask_stream stream = {0};
    struct buffer out = {0};
    size_t length = strlen(text);
    for (size_t at = 0; at < length; at += step) {
        size_t piece = length - at < step ? length - at : step;
        mask_feed(mask, &stream, slice_make(text + at, piece), false, &out);
        assert_int_equal(out.length + stream.held.length, at + piece);
    }
    mask_feed(mask, &stream, (struct slice){0}, true, &out);
    if (strcmp(buffer_text(&out), wanted) != 0)
        fail_msg("in steps of %zu: \"%s\" is not \"%s\"", step, buffer_text(&out), wanted);
    mask_stream_fini(&stream);
    buffer_fini(&out);
}

static void masks(const struct mask *mask, const char *text, const char *wanted)
{
    for (size_t step = 1; step <= strlen(text) + 1; step++)
        expect_masked(mask, text, step, wanted);
    char copy[256];
    (void)strcpy(copy, text);
    mask_text(mask, copy, strlen(copy));
    assert_string_equal(copy, wanted);
}

static struct mask *mask_of(const char *secret, const char *login)
{
    struct mask *mask = mask_create();
    mask_add(mask, slice_of(secret), slice_of(login));
    return mask;
}

static void mask_covers_each_byte_whatever_the_pieces(void **state)
{
    (void)state;
    struct mask *mask = mask_of("hunter2", NULL);
    masks(mask, "pw=hunter2\n", "pw=*******\n");
    masks(mask, "hunter2hunter2", "**************");
    masks(mask, "hunter hunterhunter2 hunter", "hunter hunter******* hunter");
    masks(mask, "", "");
    masks(mask, "hunte", "hunte");
    mask_destroy(mask);
}

static void mask_covers_secrets_that_overlap(void **state)
{
    (void)state;
    struct mask *mask = mask_of("abcd", NULL);
    mask_add(mask, slice_of("cdef"), (struct slice){0});
    mask_add(mask, slice_of("abcdefgh"), (struct slice){0});
    masks(mask, "abcdef", "******");
    masks(mask, "xabcdefgx", "x******gx");
    masks(mask, "xabcdefghx", "x********x");
    mask_destroy(mask);
    mask = mask_of("aaaa", NULL);
    masks(mask, "baaaaaab", "b******b");
    mask_destroy(mask);
}

static void mask_knows_a_secret_in_its_other_forms(void **state)
{
    (void)state;
    struct mask *mask = mask_of("p@ss \"w\xc3\xb6rd", "bob");
    masks(mask, "u:p%40ss%20%22w%C3%B6rd@h", "u:*********************@h");
    masks(mask, "{\"p@ss \\\"w\xc3\xb6rd\"}", "{\"************\"}");
    masks(mask, "p@ss \\\"w\\u00F6rd", "****************");
    masks(mask, "p@ss \\\"w\\u00f6rd", "****************");
    mask_destroy(mask);
    mask = mask_of("hunter2", "bob");
    masks(mask, "Basic Ym9iOmh1bnRlcjI=", "Basic **************I=");
    masks(mask, "aHVudGVyMg==", "*********g==");
    mask_destroy(mask);
}

static void mask_finds_the_lines_of_a_key(void **state)
{
    (void)state;
    struct mask *mask = mask_of("-----BEGIN\nMIIEvQIBADAN\nQDF8\n", NULL);
    masks(mask, "a MIIEvQIBADAN\r\n", "a ************\r\n");
    mask_destroy(mask);
}

static void mask_leaves_short_secrets_and_all_without_any(void **state)
{
    (void)state;
    struct mask *mask = mask_of("abc", NULL);
    assert_true(mask_is_empty(mask));
    masks(mask, "abcabc", "abcabc");
    mask_destroy(mask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mask_covers_each_byte_whatever_the_pieces),
        cmocka_unit_test(mask_covers_secrets_that_overlap),
        cmocka_unit_test(mask_knows_a_secret_in_its_other_forms),
        cmocka_unit_test(mask_finds_the_lines_of_a_key),
        cmocka_unit_test(mask_leaves_short_secrets_and_all_without_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
