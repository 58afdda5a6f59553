#include "common/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdint.h>
#include <string.h>

static void arena_memory_is_zeroed_and_aligned_after_reset_too(void **state)
{
    (void)state;
    struct arena arena = {0};
    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 3000; size += 7) {
            char *memory = arena_alloc(&arena, size);
            assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(memory[i], 0);
            memset(memory, 0xff, size);
        }
        arena_reset(&arena);
    }
    arena_fini(&arena);
}

static void arena_pieces_do_not_overlap(void **state)
{
    (void)state;
    enum { PIECES = 2000 };
    struct arena arena = {0};
    static unsigned char *pieces[PIECES];
    for (size_t i = 0; i < PIECES; i++) {
        pieces[i] = arena_alloc(&arena, 1 + i % 211);
        memset(pieces[i], (int)(i % 251), 1 + i % 211);
    }
    for (size_t i = 0; i < PIECES; i++) {
        for (size_t j = 0; j < 1 + i % 211; j++)
            assert_int_equal(pieces[i][j], i % 251);
    }
    arena_fini(&arena);
}

static void arena_piece_larger_than_a_block_is_whole(void **state)
{
    (void)state;
    enum { LARGE = 1024 * 1024 };
    struct arena arena = {0};
    char *small = arena_alloc(&arena, 10);
    char *large = arena_alloc(&arena, LARGE);
    memset(large, 1, LARGE);
    memset(small, 2, 10);
    assert_int_equal(large[0], 1);
    assert_int_equal(large[LARGE - 1], 1);
    arena_fini(&arena);
}

static void arena_reset_keeps_at_most_one_block(void **state)
{
    (void)state;
    struct arena arena = {0};
    arena_reset(&arena);
    assert_int_equal(arena.total, 0);
    for (int i = 0; i < 100; i++)
        (void)arena_alloc(&arena, 50000);
    size_t full = arena.total;
    arena_reset(&arena);
    assert_true(arena.total > 0);
    assert_true(arena.total < full / 50);
    size_t kept = arena.total;
    (void)arena_alloc(&arena, 1000);
    assert_int_equal(arena.total, kept);
    arena_fini(&arena);
    assert_int_equal(arena.total, 0);
    arena_fini(&arena);
}

static void arena_copy_ends_with_a_nul_and_keeps_inner_ones(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct slice copy = arena_copy(&arena, slice_make("a\0b", 3));
    assert_int_equal(copy.length, 3);
    assert_memory_equal(copy.ptr, "a\0b", 4);
    struct slice empty = arena_copy(&arena, slice_of(NULL));
    assert_int_equal(empty.length, 0);
    assert_string_equal(empty.ptr, "");
    arena_fini(&arena);
}

static void arena_printf_takes_any_length(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct slice text = arena_printf(&arena, "%s/%d", "salaries", 17);
    assert_string_equal(text.ptr, "salaries/17");
    assert_int_equal(text.length, 11);
    text = arena_printf(&arena, "%*d", 200000, 1);
    assert_int_equal(text.length, 200000);
    assert_int_equal(text.ptr[199999], '1');
    text = arena_printf(&arena, "%s", "");
    assert_int_equal(text.length, 0);
    assert_string_equal(text.ptr, "");
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_memory_is_zeroed_and_aligned_after_reset_too),
        cmocka_unit_test(arena_pieces_do_not_overlap),
        cmocka_unit_test(arena_piece_larger_than_a_block_is_whole),
        cmocka_unit_test(arena_reset_keeps_at_most_one_block),
        cmocka_unit_test(arena_copy_ends_with_a_nul_and_keeps_inner_ones),
        cmocka_unit_test(arena_printf_takes_any_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
