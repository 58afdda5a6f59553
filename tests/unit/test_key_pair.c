#include "common/key_pair.h"

#include "common/file.h"
#include "common/hash.h"
#include "common/hex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct fixture {
    char folder[32];
    char path[64];
};

static int set_up(void **state)
{
    static struct fixture f;
    *state = &f;
    hash_start();
    (void)snprintf(f.folder, sizeof f.folder, "/tmp/reeve-XXXXXX");
    if (mkdtemp(f.folder) == NULL)
        return -1;
    (void)snprintf(f.path, sizeof f.path, "%s/key", f.folder);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    return file_remove_tree(f->folder, NULL);
}

static void key_pair_is_made_once_and_kept(void **state)
{
    struct fixture *f = *state;
    struct key_pair made, loaded;
    struct stat status;
    assert_int_equal(key_pair_load(f->path, &loaded, NULL), ERR_NOT_FOUND);
    assert_int_equal(key_pair_load_or_make(f->path, &made, NULL), 0);
    assert_true(key_pair_is_valid(&made));
    assert_int_equal(stat(f->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(key_pair_load_or_make(f->path, &loaded, NULL), 0);
    assert_memory_equal(&made, &loaded, sizeof made);
    assert_int_equal(key_pair_load(f->path, &loaded, NULL), 0);
    assert_memory_equal(&made, &loaded, sizeof made);
}

static void key_pair_of_a_secret_is_the_pair(void **state)
{
    (void)state;
    struct key_pair made, again;
    key_pair_make(&made);
    key_pair_of_secret(made.secret_key, &again);
    assert_memory_equal(&made, &again, sizeof made);
    key_pair_wipe(&again);
    assert_false(key_pair_is_valid(&again));
}

static void key_pair_file_that_others_may_read_is_refused_by_name(void **state)
{
    struct fixture *f = *state;
    struct key_pair pair;
    struct error error = {0};
    assert_int_equal(key_pair_load_or_make(f->path, &pair, NULL), 0);
    assert_int_equal(chmod(f->path, 0640), 0);
    assert_int_equal(key_pair_load_or_make(f->path, &pair, &error), ERR_DENIED);
    assert_non_null(strstr(error.text, f->path));
    assert_non_null(strstr(error.text, "0640"));
}

static void key_pair_file_that_is_damaged_is_never_replaced(void **state)
{
    struct fixture *f = *state;
    struct key_pair pair, other;
    struct buffer text = {0};
    struct error error = {0};
    assert_int_equal(key_pair_load_or_make(f->path, &pair, NULL), 0);
    assert_int_equal(file_read(f->path, 4096, &text, NULL), 0);
    for (size_t length = 0; length < text.length; length++) {
        assert_int_equal(file_replace(f->path, slice_make(text.data, length), 0600, NULL), 0);
        assert_int_equal(key_pair_load_or_make(f->path, &other, &error), ERR_CORRUPT);
        assert_non_null(strstr(error.text, f->path));
    }
    for (size_t at = 0; at < text.length; at++) {
        char right = text.data[at];
        text.data[at] = right == '1' ? '2' : '1';
        assert_int_equal(file_replace(f->path, buffer_slice(&text), 0600, NULL), 0);
        /* Curve25519 ignores five bits of a secret key: such a file is the same pair. */
        if (key_pair_load_or_make(f->path, &other, NULL) != ERR_CORRUPT)
            assert_memory_equal(other.public_key, pair.public_key, KEY_BYTES);
        text.data[at] = right;
    }
    buffer_fini(&text);
}

static void hex_is_lower_case_and_of_its_length_alone(void **state)
{
    (void)state;
    unsigned char bytes[3] = {0x00, 0xaf, 0xff};
    char text[HEX_TEXT_SIZE(3)];
    hex_encode(bytes, 3, text);
    assert_string_equal(text, "00afff");
    unsigned char back[3] = {9, 9, 9};
    const char *const bad[] = {"00AFFF", "00afF", "00afff0", "00aff", "", "00afg0", "00af 0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(hex_decode(slice_of(bad[i]), back, 3));
    assert_int_equal(back[0], 9);
    assert_true(hex_decode(slice_of(text), back, 3));
    assert_memory_equal(bytes, back, 3);
}

#define KEY_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEY_TEST(key_pair_is_made_once_and_kept),
        KEY_TEST(key_pair_of_a_secret_is_the_pair),
        KEY_TEST(key_pair_file_that_others_may_read_is_refused_by_name),
        KEY_TEST(key_pair_file_that_is_damaged_is_never_replaced),
        KEY_TEST(hex_is_lower_case_and_of_its_length_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
