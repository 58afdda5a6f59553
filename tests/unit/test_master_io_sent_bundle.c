/*
 * A DAG's folder from another host: nothing of it is believed.
 */
#include "common/file.h"
#include "common/hash.h"
#include "common/limits.h"
#include "common/memory.h"
#include "master/io/sent_bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char folder[64];
static struct blob_store *blobs;
static struct arena arena;
static struct sent_bundle bundle;
static struct error error;

static int set_up(void **state)
{
    (void)state;
    hash_start();
    (void)strcpy(folder, "/tmp/sent.XXXXXX");
    assert_non_null(mkdtemp(folder));
    return blob_open(folder, &blobs, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    blob_close(blobs);
    return file_remove_tree(folder, NULL);
}

static int end(void **state)
{
    (void)state;
    sent_bundle_close(&bundle);
    arena_fini(&arena);
    arena = (struct arena){0};
    error = (struct error){0};
    return 0;
}

static struct manifest_file file_of(const char *path, uint32_t mode, const char *text)
{
    struct manifest_file file = {.path = slice_of(path), .mode = mode, .size = strlen(text)};
    assert_int_equal(blob_put(blobs, slice_of(text), &file.hash, NULL), 0);
    return file;
}

static int open_files(struct manifest_file *files, size_t count)
{
    struct manifest manifest = {.files = files, .count = count};
    struct buffer text = {0};
    struct hash hash;
    manifest_write(&manifest, &text);
    assert_int_equal(blob_put(blobs, buffer_slice(&text), &hash, NULL), 0);
    buffer_fini(&text);
    return sent_bundle_open(
        blobs, slice_make(hash.bytes, sizeof hash.bytes), &arena, &bundle, &error);
}

static int open_text(const char *text)
{
    struct hash hash;
    assert_int_equal(blob_put(blobs, slice_of(text), &hash, NULL), 0);
    return sent_bundle_open(
        blobs, slice_make(hash.bytes, sizeof hash.bytes), &arena, &bundle, &error);
}

static void sent_bundle_that_is_whole_is_read(void **state)
{
    struct buffer text = {0};
    struct manifest_file files[] = {
        file_of("etl.yaml", MANIFEST_MODE_FILE, "tasks: {}"),
        file_of("bin/run.sh", MANIFEST_MODE_PROGRAM, "echo"),
        file_of("bin/again", MANIFEST_MODE_LINK, "run.sh"),
        file_of("empty", MANIFEST_MODE_FILE, ""),
    };
    (void)state;
    assert_int_equal(open_files(files, 4), 0);
    assert_int_equal(bundle.manifest.count, 4);
    assert_int_equal(sent_bundle_read(blobs, &bundle, slice_of("etl.yaml"), &text, &error), 0);
    assert_string_equal(buffer_text(&text), "tasks: {}");
    buffer_clear(&text);
    assert_int_equal(sent_bundle_read(blobs, &bundle, slice_of("empty"), &text, &error), 0);
    assert_int_equal(text.length, 0);
    assert_int_equal(
        sent_bundle_read(blobs, &bundle, slice_of("none.yaml"), &text, &error), ERR_NOT_FOUND);
    assert_int_equal(
        sent_bundle_read(blobs, &bundle, slice_of("bin/again"), &text, &error), ERR_NOT_FOUND);
    buffer_fini(&text);
}

static void sent_bundle_that_did_not_come_is_asked_for(void **state)
{
    unsigned char hash[HASH_BYTES] = {1, 2, 3};
    struct manifest_file files[] = {file_of("a", MANIFEST_MODE_FILE, "a")};
    (void)state;
    assert_int_equal(
        sent_bundle_open(blobs, slice_make(hash, sizeof hash), &arena, &bundle, &error),
        ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "send the files first"));
    files[0].hash.bytes[5] ^= 1;
    assert_int_equal(open_files(files, 1), ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "a: "));
    assert_non_null(strstr(error.text, "send the files first"));
    assert_int_equal(
        sent_bundle_open(blobs, slice_make(hash, 5), &arena, &bundle, &error), ERR_MALFORMED);
}

static void sent_bundle_that_lies_about_a_size_is_refused(void **state)
{
    struct manifest_file files[] = {file_of("a", MANIFEST_MODE_FILE, "abc")};
    (void)state;
    files[0].size = 4;
    assert_int_equal(open_files(files, 1), ERR_INVALID);
}

static void sent_bundle_with_more_bytes_than_allowed_is_refused(void **state)
{
    static char name[40][8];
    struct manifest_file files[33];
    char *big = xmalloc(BUNDLE_MAX_BYTES / 32 + 1);
    (void)state;
    memset(big, 'x', BUNDLE_MAX_BYTES / 32);
    big[BUNDLE_MAX_BYTES / 32] = '\0';
    files[0] = file_of("a", MANIFEST_MODE_FILE, big);
    for (int i = 1; i < 33; i++) {
        files[i] = files[0];
        (void)snprintf(name[i], sizeof name[i], "b%02d", i);
        files[i].path = slice_of(name[i]);
    }
    assert_int_equal(open_files(files, 32), 0);
    sent_bundle_close(&bundle);
    assert_int_equal(open_files(files, 33), ERR_TOO_BIG);
    free(big);
}

static void sent_bundle_that_would_leave_its_folder_is_refused(void **state)
{
    static const char *const targets[] = {"/etc/passwd", "../x", "a/../../x", ""};
    (void)state;
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct manifest_file files[] = {file_of("link", MANIFEST_MODE_LINK, targets[i])};
        assert_int_equal(open_files(files, 1), ERR_INVALID);
        assert_non_null(strstr(error.text, "link"));
        sent_bundle_close(&bundle);
    }
    /* Through a link, or below a file. */
    struct manifest_file through[] = {
        file_of("d/up", MANIFEST_MODE_LINK, ".."), file_of("d/up/x", MANIFEST_MODE_LINK, "..")};
    assert_int_equal(open_files(through, 2), ERR_INVALID);
    sent_bundle_close(&bundle);
    struct manifest_file below[] = {
        file_of("f", MANIFEST_MODE_FILE, "f"), file_of("f/x", MANIFEST_MODE_FILE, "x")};
    assert_int_equal(open_files(below, 2), ERR_INVALID);
}

static void sent_bundle_of_a_foreign_manifest_is_refused(void **state)
{
#define HASH_TEXT "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    static const char *const texts[] = {
        "no manifest at all",
        "reeve-manifest 2\n",
        "reeve-manifest 1\n0644 1 " HASH_TEXT " ../x\n",
        "reeve-manifest 1\n0644 1 " HASH_TEXT " /etc/passwd\n",
        "reeve-manifest 1\n0644 1 " HASH_TEXT " a/./b\n",
        "reeve-manifest 1\n0644 1 " HASH_TEXT " a\n0644 1 " HASH_TEXT " a\n",
        "reeve-manifest 1\n020644 1 " HASH_TEXT " device\n",
        "reeve-manifest 1\n04755 1 " HASH_TEXT " setuid\n",
        "reeve-manifest 1\n0644 1 " HASH_TEXT " a",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(open_text(texts[i]), ERR_INVALID);
        sent_bundle_close(&bundle);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(sent_bundle_that_is_whole_is_read, end),
        cmocka_unit_test_teardown(sent_bundle_that_did_not_come_is_asked_for, end),
        cmocka_unit_test_teardown(sent_bundle_that_lies_about_a_size_is_refused, end),
        cmocka_unit_test_teardown(sent_bundle_with_more_bytes_than_allowed_is_refused, end),
        cmocka_unit_test_teardown(sent_bundle_that_would_leave_its_folder_is_refused, end),
        cmocka_unit_test_teardown(sent_bundle_of_a_foreign_manifest_is_refused, end),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
