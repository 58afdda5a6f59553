/*
 * The cache of files that came from the master.
 */
#include "worker/io/cache.h"

#include "common/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const unsigned char boot[BOOT_BYTES] = {1}, next_boot[BOOT_BYTES] = {2};

struct fixture {
    char path[48];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    uint64_t bytes;
    *state = f;
    (void)snprintf(f->path, sizeof f->path, "/tmp/reeve-XXXXXX");
    return mkdtemp(f->path) == NULL || cache_open(f->path, boot, &bytes, NULL) != 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    int rc = file_remove_tree(f->path, NULL);
    free(f);
    return rc;
}

static struct hash hash_for(unsigned char number)
{
    return (struct hash){{number, 9}};
}

/* A content of so many bytes, used at this time. */
static void put(const struct fixture *f, unsigned char number, size_t bytes, uint64_t used_ms)
{
    char path[CACHE_PATH_MAX], text[1000] = "";
    struct hash hash = hash_for(number);
    assert_int_equal(cache_make_room(f->path, &hash, NULL), 0);
    cache_path(f->path, &hash, path);
    assert_int_equal(file_replace(path, slice_make(text, bytes), 0400, NULL), 0);
    assert_true(cache_use(f->path, &hash, used_ms));
}

static bool has(const struct fixture *f, unsigned char number)
{
    char path[CACHE_PATH_MAX];
    struct hash hash = hash_for(number);
    cache_path(f->path, &hash, path);
    return access(path, F_OK) == 0;
}

static void cache_lacks_what_was_never_put(void **state)
{
    struct fixture *f = *state;
    struct hash hash = hash_for(7);
    assert_false(cache_use(f->path, &hash, 5));
}

static void cache_lacks_what_is_no_file(void **state)
{
    struct fixture *f = *state;
    struct hash hash = hash_for(7);
    char path[CACHE_PATH_MAX];
    put(f, 7, 10, 5);
    cache_path(f->path, &hash, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(cache_use(f->path, &hash, 5));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_false(cache_use(f->path, &hash, 5));
}

static void cache_evicts_what_was_used_longest_ago(void **state)
{
    struct fixture *f = *state;
    put(f, 1, 100, 5000);
    put(f, 2, 100, 1000);
    put(f, 3, 100, 9000);
    assert_int_equal(cache_evict(f->path, 200, UINT64_MAX), 200);
    assert_true(has(f, 1) && !has(f, 2) && has(f, 3));
    assert_int_equal(cache_evict(f->path, 150, UINT64_MAX), 100);
    assert_true(!has(f, 1) && has(f, 3));
}

static void cache_keeps_what_is_in_use_whatever_its_size(void **state)
{
    struct fixture *f = *state;
    put(f, 1, 100, 1000);
    put(f, 2, 100, 5000);
    put(f, 3, 100, 6000);
    assert_int_equal(cache_evict(f->path, 10, 5000), 200);
    assert_true(!has(f, 1) && has(f, 2) && has(f, 3));
}

static void cache_outlives_its_agent_and_drops_halves(void **state)
{
    struct fixture *f = *state;
    char path[CACHE_PATH_MAX + 8];
    struct hash hash = hash_for(1);
    uint64_t bytes = 0;
    put(f, 1, 70, 1000);
    cache_path(f->path, &hash, path);
    (void)strcat(path, FILE_TEMPORARY_PREFIX);
    assert_int_equal(file_replace(path, slice_of("half"), 0400, NULL), 0);
    assert_int_equal(cache_open(f->path, boot, &bytes, NULL), 0);
    assert_int_equal(bytes, 70);
    assert_true(has(f, 1));
    assert_int_equal(access(path, F_OK), -1);
}

static void cache_of_another_boot_is_not_trusted(void **state)
{
    struct fixture *f = *state;
    uint64_t bytes = 1;
    put(f, 1, 70, 1000);
    assert_int_equal(cache_open(f->path, next_boot, &bytes, NULL), 0);
    assert_int_equal(bytes, 0);
    assert_false(has(f, 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cache_lacks_what_was_never_put),
        TEST(cache_lacks_what_is_no_file),
        TEST(cache_evicts_what_was_used_longest_ago),
        TEST(cache_keeps_what_is_in_use_whatever_its_size),
        TEST(cache_outlives_its_agent_and_drops_halves),
        TEST(cache_of_another_boot_is_not_trusted),
    };
    hash_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
