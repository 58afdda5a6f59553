/*
 * What goes from the master's disk, and what stays whoever asks.
 */
#include "common/clock.h"
#include "common/file.h"
#include "common/manifest.h"
#include "common/memory.h"
#include "common/table.h"
#include "master/store/blob.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static struct blob_store *store;

static const struct attempt_id first = {.run = 0xabc, .task = 1, .attempt = 1};
static const struct attempt_id second = {.run = 0xabc, .task = 11, .attempt = 2};
static const struct attempt_id elsewhere = {.run = 0xdef, .task = 1, .attempt = 1};

static int set_up(void **state)
{
    (void)state;
    hash_start();
    (void)strcpy(folder, "/tmp/keep.XXXXXX");
    assert_non_null(mkdtemp(folder));
    return blob_open(folder, &store, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    blob_close(store);
    return file_remove_tree(folder, NULL);
}

/* ---- logs ---- */

static int append(const struct attempt_id *id, uint64_t offset, const char *text)
{
    struct log_chunk chunk = {.offset = offset, .data = slice_of(text)};
    return log_append(store, id, &chunk, NULL);
}

static struct log_piece read_log(const struct attempt_id *id)
{
    struct arena arena = {0};
    struct buffer data = {0};
    struct log_piece piece;
    struct log_range range = {*id, 0, 1000};
    assert_int_equal(log_read(store, &range, &arena, &data, &piece, NULL), 0);
    piece.next = data.length;
    buffer_fini(&data);
    arena_fini(&arena);
    return piece;
}

static void log_that_expired_is_told_from_one_that_never_came(void **state)
{
    struct attempt_id never = {.run = 0xabc, .task = 2, .attempt = 1};
    (void)state;
    assert_int_equal(append(&first, 0, "one\n"), 0);
    assert_int_equal(append(&second, 0, "two\n"), 0);
    assert_int_equal(log_finish(store, &second, 4, NULL), 0);
    assert_int_equal(append(&elsewhere, 0, "three\n"), 0);
    assert_int_equal(log_expire(store, 0xabc, NULL), 0);
    for (int again = 0; again < 2; again++) {
        assert_true(read_log(&first).expired);
        assert_true(read_log(&second).expired);
        assert_false(read_log(&second).known);
        assert_false(read_log(&never).expired);
        assert_false(read_log(&elsewhere).expired);
        assert_int_equal(read_log(&elsewhere).next, 6);
        /* After a restart too. */
        blob_close(store);
        assert_int_equal(blob_open(folder, &store, NULL), 0);
    }
}

static void log_that_expired_takes_nothing_more_and_is_complete(void **state)
{
    uint64_t length = 9;
    bool complete = false;
    (void)state;
    assert_int_equal(append(&first, 0, "one\n"), 0);
    assert_int_equal(log_expire(store, 0xabc, NULL), 0);
    assert_int_equal(append(&first, 4, "more\n"), ERR_REFUSED);
    assert_int_equal(append(&first, 0, "one\n"), ERR_REFUSED);
    assert_int_equal(log_length(store, &first, &length, &complete, NULL), 0);
    assert_true(complete);
    assert_int_equal(log_finish(store, &first, 4, NULL), 0);
}

static void log_of_a_retry_after_expiry_is_kept_until_it_expires_too(void **state)
{
    struct attempt_id retry = first;
    (void)state;
    retry.attempt = 2;
    assert_int_equal(append(&first, 0, "one\n"), 0);
    assert_int_equal(log_expire(store, 0xabc, NULL), 0);
    assert_int_equal(append(&retry, 0, "again\n"), 0);
    assert_true(read_log(&first).expired);
    assert_int_equal(read_log(&retry).next, 6);
    assert_int_equal(log_expire(store, 0xabc, NULL), 0);
    assert_true(read_log(&first).expired);
    assert_true(read_log(&retry).expired);
}

struct seen {
    uint64_t runs[8], bytes[8];
    size_t count;
};

static void see(void *context, uint64_t run, uint64_t bytes)
{
    struct seen *seen = context;
    seen->runs[seen->count] = run;
    seen->bytes[seen->count++] = bytes;
}

static void logs_of_runs_are_counted_until_they_expire(void **state)
{
    struct seen seen = {0};
    (void)state;
    assert_int_equal(append(&first, 0, "one\n"), 0);
    assert_int_equal(append(&elsewhere, 0, "two\n"), 0);
    assert_int_equal(log_each_run(store, see, &seen, NULL), 0);
    assert_int_equal(seen.count, 2);
    assert_true(seen.bytes[0] > 0 && seen.bytes[1] > 0);
    assert_int_equal(log_expire(store, 0xabc, NULL), 0);
    seen.count = 0;
    assert_int_equal(log_each_run(store, see, &seen, NULL), 0);
    assert_int_equal(seen.count, 1);
    assert_true(seen.runs[0] == 0xdef);
    assert_int_equal(log_expire(store, 0x777, NULL), 0);
}

/* ---- blobs ---- */

static struct hash put(const char *text)
{
    struct hash hash;
    assert_int_equal(blob_put(store, slice_of(text), &hash, NULL), 0);
    return hash;
}

static bool is_there(const struct hash *hash)
{
    char path[BLOB_PATH_MAX];
    blob_path(store, hash, path);
    return access(path, F_OK) == 0;
}

static void make_old(const char *path)
{
    struct timespec times[2] = {{.tv_sec = time(NULL) - 2 * BLOB_GRACE_MS / 1000}};
    times[1] = times[0];
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void make_old_blob(const struct hash *hash)
{
    char path[BLOB_PATH_MAX];
    blob_path(store, hash, path);
    make_old(path);
}

static bool go_on(void *context)
{
    int *left = context;
    return left == NULL || (*left)-- > 0;
}

static void blobs_that_nobody_names_go_when_they_are_old(void **state)
{
    struct named_blobs named = {0};
    struct blob_swept swept;
    struct hash kept = put("named"), old = put("old"), fresh = put("fresh");
    (void)state;
    make_old_blob(&kept);
    make_old_blob(&old);
    named_blobs_add(&named, &kept);
    blob_sweep(store, &named, go_on, NULL, &swept);
    assert_true(is_there(&kept));
    assert_true(is_there(&fresh));
    assert_false(is_there(&old));
    assert_int_equal(swept.blobs, 1);
    assert_int_equal(swept.bytes, 3);
    named_blobs_fini(&named);
}

static void blobs_that_a_kept_manifest_names_stay(void **state)
{
    struct named_blobs named = {0};
    struct blob_swept swept;
    struct hash file_hash = put("a file"), hash;
    struct manifest_file file = {slice_of("a"), MANIFEST_MODE_FILE, 6, file_hash};
    struct manifest manifest = {&file, 1, 1};
    struct buffer text = {0};
    (void)state;
    manifest_write(&manifest, &text);
    assert_int_equal(blob_put(store, buffer_slice(&text), &hash, NULL), 0);
    make_old_blob(&file_hash);
    make_old_blob(&hash);
    assert_int_equal(named_blobs_add_manifest(&named, store, &hash, NULL), 0);
    blob_sweep(store, &named, go_on, NULL, &swept);
    assert_int_equal(swept.blobs, 0);
    named_blobs_fini(&named);
    blob_sweep(store, &named, go_on, NULL, &swept);
    assert_int_equal(swept.blobs, 2);
    assert_int_equal(named_blobs_add_manifest(&named, store, &hash, NULL), 0);
    named_blobs_fini(&named);
    buffer_fini(&text);
}

/* Who was told that it is there may name it a little later. */
static void blobs_that_somebody_asked_for_are_new_again(void **state)
{
    struct named_blobs named = {0};
    struct blob_swept swept;
    struct hash asked = put("asked"), put_again = put("put again");
    (void)state;
    make_old_blob(&asked);
    make_old_blob(&put_again);
    assert_true(blob_has(store, &asked, NULL));
    (void)put("put again");
    blob_sweep(store, &named, go_on, NULL, &swept);
    assert_true(is_there(&asked));
    assert_true(is_there(&put_again));
    named_blobs_fini(&named);
}

static void blobs_half_sent_long_ago_go(void **state)
{
    struct named_blobs named = {0};
    struct blob_swept swept;
    struct blob_upload *upload;
    struct hash hash = {{9}};
    uint64_t offset;
    char hex[HASH_HEX_MAX];
    (void)state;
    assert_int_equal(blob_upload_open(store, &hash, 100, &upload, &offset, NULL), 0);
    assert_int_equal(blob_upload_write(upload, 0, slice_of("half"), NULL), 0);
    blob_upload_close(upload);
    hash_hex(&hash, hex);
    char *path = xasprintf("%s/blobs/tmp/%s", folder, hex);
    blob_sweep(store, &named, go_on, NULL, &swept);
    assert_int_equal(access(path, F_OK), 0);
    make_old(path);
    blob_sweep(store, &named, go_on, NULL, &swept);
    assert_int_not_equal(access(path, F_OK), 0);
    free(path);
}

static void blobs_are_swept_no_further_when_told_so(void **state)
{
    struct named_blobs named = {0};
    struct blob_swept swept;
    struct hash old = put("old");
    int none = 0;
    (void)state;
    make_old_blob(&old);
    blob_sweep(store, &named, go_on, &none, &swept);
    assert_true(is_there(&old));
}

static void named_blobs_by_the_million_are_found(void **state)
{
    struct named_blobs named = {0};
    struct blob_swept swept;
    struct hash old = put("old");
    (void)state;
    make_old_blob(&old);
    for (uint32_t i = 0; i < 300000; i++) {
        struct hash hash = {{0}};
        uint64_t mixed = hash_bytes(slice_make(&i, sizeof i)) % 100000;
        memcpy(hash.bytes, &mixed, sizeof mixed);
        named_blobs_add(&named, &hash);
        if (i == 150000)
            named_blobs_add(&named, &old);
    }
    /* Each once. */
    assert_in_range(named.count, 1, 300000);
    blob_sweep(store, &named, go_on, NULL, &swept);
    assert_in_range(named.count, 1, 100001);
    assert_true(is_there(&old));
    named_blobs_fini(&named);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(log_that_expired_is_told_from_one_that_never_came),
        TEST(log_that_expired_takes_nothing_more_and_is_complete),
        TEST(log_of_a_retry_after_expiry_is_kept_until_it_expires_too),
        TEST(logs_of_runs_are_counted_until_they_expire),
        TEST(blobs_that_nobody_names_go_when_they_are_old),
        TEST(blobs_that_a_kept_manifest_names_stay),
        TEST(blobs_that_somebody_asked_for_are_new_again),
        TEST(blobs_half_sent_long_ago_go),
        TEST(blobs_are_swept_no_further_when_told_so),
        TEST(named_blobs_by_the_million_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
