#include "common/seal.h"

#include "common/file.h"
#include "common/hash.h"
#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static char path[128];
static char next[128];

static int set_up(void **state)
{
    (void)state;
    hash_start();
    (void)strcpy(folder, "/tmp/reeve-seal-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/connections.key", folder);
    (void)snprintf(next, sizeof next, "%s/connections.key.next", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return file_remove_tree(folder, NULL);
}

static void seal_opens_with_its_key_in_its_place_alone(void **state)
{
    (void)state;
    struct seal_key key, other;
    struct buffer sealed = {0}, again = {0}, opened = {0};
    struct slice text = slice_of("hunter2"), place = slice_of("row 1");
    seal_key_make(&key);
    seal_key_make(&other);
    seal(&key, text, place, &sealed);
    seal(&key, text, place, &again);
    assert_false(slice_equal(buffer_slice(&sealed), buffer_slice(&again)));
    assert_null(memmem(sealed.data, sealed.length, "hunter2", 7));
    assert_int_equal(unseal(&key, buffer_slice(&sealed), place, &opened, NULL), 0);
    assert_true(slice_equal(buffer_slice(&opened), text));
    assert_int_equal(unseal(&other, buffer_slice(&sealed), place, &opened, NULL), ERR_CORRUPT);
    assert_int_equal(
        unseal(&key, buffer_slice(&sealed), slice_of("row 2"), &opened, NULL), ERR_CORRUPT);
    for (size_t i = 0; i < sealed.length; i++) {
        sealed.data[i] ^= 1;
        assert_int_equal(unseal(&key, buffer_slice(&sealed), place, &opened, NULL), ERR_CORRUPT);
        sealed.data[i] ^= 1;
        assert_int_equal(
            unseal(&key, slice_make(sealed.data, i), place, &opened, NULL), ERR_CORRUPT);
    }
    buffer_fini(&sealed);
    buffer_fini(&again);
    buffer_fini(&opened);
}

static void seal_key_comes_back_from_its_file_that_is_ours_alone(void **state)
{
    (void)state;
    struct seal_key key, read;
    struct stat status;
    struct error error = {0};
    assert_int_equal(seal_key_load(path, &read, &error), ERR_NOT_FOUND);
    seal_key_make(&key);
    assert_int_equal(seal_key_save(path, &key, NULL), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(seal_key_load(path, &read, NULL), 0);
    assert_memory_equal(&key, &read, sizeof key);
    assert_int_not_equal(key.id, 0);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(seal_key_load(path, &read, &error), ERR_DENIED);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 40), 0);
    assert_int_equal(seal_key_load(path, &read, &error), ERR_CORRUPT);
}

/* A crash on either side of the commit leaves the rows with a key that is there. */
static void seal_key_that_sealed_the_rows_is_the_one_that_stays(void **state)
{
    (void)state;
    struct seal_key old, new, read;
    uint64_t used[] = {7, 0};
    seal_key_make(&old);
    seal_key_make(&new);
    assert_int_equal(seal_key_save(path, &old, NULL), 0);
    assert_int_equal(seal_key_settle(path, used, 1, NULL), 0);
    assert_int_equal(seal_key_save_next(path, &new, NULL), 0);
    used[1] = old.id;
    assert_int_equal(seal_key_settle(path, used, 2, NULL), 0);
    assert_int_equal(access(next, F_OK), -1);
    assert_int_equal(seal_key_load(path, &read, NULL), 0);
    assert_int_equal(read.id, old.id);
    assert_int_equal(seal_key_save_next(path, &new, NULL), 0);
    used[1] = new.id;
    assert_int_equal(seal_key_settle(path, used, 2, NULL), 0);
    assert_int_equal(access(next, F_OK), -1);
    assert_int_equal(seal_key_load(path, &read, NULL), 0);
    assert_int_equal(read.id, new.id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            seal_opens_with_its_key_in_its_place_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            seal_key_comes_back_from_its_file_that_is_ours_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            seal_key_that_sealed_the_rows_is_the_one_that_stays, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
