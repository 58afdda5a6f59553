#include "common/hash.h"

#include "common/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void expect_hex(struct slice bytes, const char *hex)
{
    struct hash hash;
    char text[HASH_HEX_MAX];
    hash_of(bytes, &hash);
    hash_hex(&hash, text);
    assert_string_equal(text, hex);
}

/* BLAKE2b-256, as `b2sum -l 256` prints it. */
static void hash_of_known_texts_is_blake2b_256(void **state)
{
    (void)state;
    expect_hex(slice_of(NULL), "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    expect_hex(slice_of(""), "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    expect_hex(slice_of("abc"), "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

static void hash_hex_is_parsed_back(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct hash hash, back;
        char text[HASH_HEX_MAX];
        random_bytes(hash.bytes, sizeof hash.bytes);
        hash_hex(&hash, text);
        assert_true(hash_parse(slice_of(text), &back));
        assert_memory_equal(hash.bytes, back.bytes, HASH_BYTES);
    }
}

static void hash_parse_takes_one_writing_only(void **state)
{
    (void)state;
    struct hash hash = {.bytes = {7}};
    char text[] = "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319";
    assert_false(hash_parse(slice_make(text, 63), &hash));
    assert_false(hash_parse(slice_make(text, 65), &hash));
    assert_false(hash_parse(slice_of(""), &hash));
    const char bad[] = {'B', 'g', '/', ':', '`', ' ', '\0', '\xff'};
    for (size_t i = 0; i < sizeof bad; i++) {
        for (size_t at = 0; at < 64; at += 9) {
            char broken[sizeof text];
            memcpy(broken, text, sizeof text);
            broken[at] = bad[i];
            assert_false(hash_parse(slice_make(broken, 64), &hash));
        }
    }
    assert_int_equal(hash.bytes[0], 7);
}

static void random_ids_are_not_zero_and_differ(void **state)
{
    (void)state;
    uint64_t last = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t id = random_id();
        assert_true(id != 0 && id != last);
        last = id;
    }
    unsigned char bytes[1000] = {0};
    random_bytes(bytes, 0);
    assert_int_equal(bytes[0], 0);
    random_bytes(bytes, sizeof bytes);
    size_t zeros = 0;
    for (size_t i = 0; i < sizeof bytes; i++)
        zeros += bytes[i] == 0;
    assert_true(zeros < 50);
}

static int set_up(void **state)
{
    (void)state;
    hash_start();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_of_known_texts_is_blake2b_256),
        cmocka_unit_test(hash_hex_is_parsed_back),
        cmocka_unit_test(hash_parse_takes_one_writing_only),
        cmocka_unit_test(random_ids_are_not_zero_and_differ),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
