#include "common/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void buffer_appended_pieces_are_all_there_in_order(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    buffer_append(&buffer, "a\0b", 3);
    buffer_append(&buffer, NULL, 0);
    buffer_append_text(&buffer, "cd");
    buffer_append_slice(&buffer, slice_of("ef"));
    buffer_append_slice(&buffer, slice_of(NULL));
    buffer_printf(&buffer, "%d%s", 12, "");
    buffer_printf(&buffer, "%s", "");
    assert_int_equal(buffer.length, 9);
    assert_memory_equal(buffer.data, "a\0bcdef12", 9);
    assert_true(slice_equal(buffer_slice(&buffer), slice_make("a\0bcdef12", 9)));
    buffer_fini(&buffer);
}

static void buffer_grows_by_any_amount(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    size_t sum = 0;
    for (size_t length = 0; length < 3000; length += 13) {
        memset(buffer_reserve(&buffer, length), (int)(length % 251), length);
        buffer.length += length;
        sum += length;
    }
    assert_int_equal(buffer.length, sum);
    const char *at = buffer.data;
    for (size_t length = 0; length < 3000; length += 13) {
        for (size_t i = 0; i < length; i++)
            assert_int_equal((unsigned char)*at++, length % 251);
    }
    memset(buffer_reserve(&buffer, 5000000), 1, 5000000);
    buffer_fini(&buffer);
}

static void buffer_text_is_ended_and_does_not_count_the_end(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    assert_string_equal(buffer_text(&buffer), "");
    for (int i = 0; i < 300; i++) {
        buffer_append_text(&buffer, "x");
        assert_int_equal(strlen(buffer_text(&buffer)), buffer.length);
    }
    buffer_fini(&buffer);
}

static void buffer_printf_takes_any_length(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    buffer_printf(&buffer, "%*d", 100000, 7);
    assert_int_equal(buffer.length, 100000);
    assert_int_equal(buffer.data[99999], '7');
    buffer_fini(&buffer);
}

static void buffer_consume_drops_from_the_front_and_at_most_all(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    buffer_consume(&buffer, 5);
    buffer_append_text(&buffer, "abcdef");
    buffer_consume(&buffer, 0);
    buffer_consume(&buffer, 2);
    assert_string_equal(buffer_text(&buffer), "cdef");
    buffer_consume(&buffer, 4);
    assert_int_equal(buffer.length, 0);
    buffer_append_text(&buffer, "gh");
    buffer_consume(&buffer, 99);
    assert_int_equal(buffer.length, 0);
    buffer_fini(&buffer);
}

static void buffer_clear_keeps_the_memory_and_fini_drops_it(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    buffer_append_text(&buffer, "abc");
    size_t capacity = buffer.capacity;
    buffer_clear(&buffer);
    assert_int_equal(buffer.length, 0);
    assert_int_equal(buffer.capacity, capacity);
    buffer_fini(&buffer);
    assert_null(buffer.data);
    buffer_fini(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffer_appended_pieces_are_all_there_in_order),
        cmocka_unit_test(buffer_grows_by_any_amount),
        cmocka_unit_test(buffer_text_is_ended_and_does_not_count_the_end),
        cmocka_unit_test(buffer_printf_takes_any_length),
        cmocka_unit_test(buffer_consume_drops_from_the_front_and_at_most_all),
        cmocka_unit_test(buffer_clear_keeps_the_memory_and_fini_drops_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
