#include "cli/printable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct slice text(const char *bytes)
{
    return slice_of(bytes);
}

/* The same bytes in one piece, and cut at every place into two. */
static void expect_stream(const char *bytes, const char *wanted)
{
    struct slice all = text(bytes);
    for (size_t cut = 0; cut <= all.length; cut++) {
        struct printable printable = {0};
        struct buffer out = {0};
        printable_append(&printable, slice_make(all.ptr, cut), &out);
        printable_append(&printable, slice_make(all.ptr + cut, all.length - cut), &out);
        printable_end(&printable, &out);
        assert_string_equal(buffer_text(&out), wanted);
        buffer_fini(&out);
    }
}

static void printable_escapes_do_not_pass(void **state)
{
    (void)state;
    expect_stream("red \033[31m end\n", "red ^[[31m end\n");
    expect_stream("\033]0;title\007", "^[]0;title^G");
    expect_stream("back\b\b\x7f", "back^H^H^?");
    expect_stream("\xc2\x9b"
                  "31m",
        "<U+009B>31m");
    expect_stream("a\xe2\x80\xae"
                  "b",
        "a<U+202E>b");
    expect_stream("bar\r50%\r100%", "bar^M50%^M100%");
}

static void printable_text_passes_as_it_is(void **state)
{
    (void)state;
    expect_stream("two\n\tlines\r\nend", "two\n\tlines\nend");
    expect_stream("gr\xc3\xbc\xc3\x9f \xec\x84\x9c\xec\x9a\xb8 \xf0\x9f\x98\x80",
        "gr\xc3\xbc\xc3\x9f \xec\x84\x9c\xec\x9a\xb8 \xf0\x9f\x98\x80");
}

static void printable_bytes_that_are_no_text_are_shown(void **state)
{
    (void)state;
    expect_stream("\xff\xfe", "\\xff\\xfe");
    expect_stream("\xc0\xaf", "\\xc0\\xaf");
    expect_stream("\xed\xa0\x80", "\\xed\\xa0\\x80");
    expect_stream("end \xe2\x82", "end \\xe2\\x82");
    expect_stream("\xe2(\xa1", "\\xe2(\\xa1");
    expect_stream("cr\r", "cr^M");
}

static void printable_line_keeps_no_newline(void **state)
{
    struct buffer out = {0};
    (void)state;
    printable_line(text("a\nb\tc\033"), &out);
    assert_string_equal(buffer_text(&out), "a^Jb^Ic^[");
    buffer_fini(&out);
}

static void printable_width_counts_columns(void **state)
{
    (void)state;
    assert_int_equal(printable_width(text("abc")), 3);
    assert_int_equal(printable_width(text("\xec\x84\x9c\xec\x9a\xb8")), 4);
    assert_int_equal(printable_width(text("e\xcc\x81")), 1);
    assert_int_equal(printable_cut(text("\xec\x84\x9c\xec\x9a\xb8"), 3).length, 3);
    assert_int_equal(printable_cut(text("abc"), 0).length, 0);
    assert_int_equal(printable_cut(text("abc"), 9).length, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printable_escapes_do_not_pass),
        cmocka_unit_test(printable_text_passes_as_it_is),
        cmocka_unit_test(printable_bytes_that_are_no_text_are_shown),
        cmocka_unit_test(printable_line_keeps_no_newline),
        cmocka_unit_test(printable_width_counts_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
