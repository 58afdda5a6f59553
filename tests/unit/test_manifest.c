#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/copy.h"
#include "common/file.h"
#include "common/manifest.h"
#include "common/memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEAD  "reeve-manifest 1\n"

struct fixture {
    char folder[64];
    char *blobs, *target;
    struct arena arena;
    struct manifest manifest;
};

static int set_up(void **state)
{
    struct fixture *fixture = xcalloc(1, sizeof *fixture);
    (void)strcpy(fixture->folder, "/tmp/reeve-manifest-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    fixture->blobs = xasprintf("%s/blobs", fixture->folder);
    fixture->target = xasprintf("%s/target", fixture->folder);
    assert_int_equal(mkdir(fixture->blobs, 0700), 0);
    assert_int_equal(mkdir(fixture->target, 0700), 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(file_remove_tree(fixture->folder, NULL), 0);
    arena_fini(&fixture->arena);
    free(fixture->manifest.files);
    free(fixture->blobs);
    free(fixture->target);
    free(fixture);
    return 0;
}

/* Adds a file to the manifest and its content to the blobs. */
static void add(struct fixture *fixture, const char *path, uint32_t mode, const char *content)
{
    struct manifest *manifest = &fixture->manifest;
    struct slice bytes = slice_of(content);
    struct manifest_file file = {slice_of(path), mode, bytes.length, {{0}}};
    hash_of(bytes, &file.hash);
    char hex[HASH_HEX_MAX];
    hash_hex(&file.hash, hex);
    char *folder = xasprintf("%s/%.2s", fixture->blobs, hex);
    char *blob = xasprintf("%s/%s", folder, hex + 2);
    assert_int_equal(file_make_folder(folder, 0700, NULL), 0);
    assert_int_equal(file_replace(blob, bytes, 0600, NULL), 0);
    free(blob);
    free(folder);
    vector_reserve(&manifest->files, manifest->count, &manifest->capacity);
    manifest->files[manifest->count++] = file;
}

static int parse(const char *text, struct manifest *ret_manifest)
{
    static struct arena arena;
    arena_reset(&arena);
    struct error error = {0};
    int rc = manifest_parse(slice_of(text), &arena, ret_manifest, &error);
    assert_true((rc == 0) == (error.text[0] == '\0'));
    arena_fini(&arena);
    arena = (struct arena){0};
    return rc;
}

static void manifest_written_reads_back_sorted(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, "z.sh", 0755, "run");
    add(fixture, "a b%\n.txt", 0644, "");
    add(fixture, "a/link", MANIFEST_MODE_LINK, "../z.sh");
    struct buffer text = {0};
    manifest_write(&fixture->manifest, &text);
    assert_memory_equal(text.data, HEAD "0644 0 ", sizeof HEAD - 1 + 7);
    assert_non_null(strstr(buffer_text(&text), " a%20b%25%0a.txt\n"));
    struct manifest read;
    assert_int_equal(manifest_parse(buffer_slice(&text), &fixture->arena, &read, NULL), 0);
    assert_int_equal(read.count, 3);
    assert_true(slice_is(read.files[0].path, "a b%\n.txt"));
    assert_true(slice_is(read.files[1].path, "a/link") && read.files[1].mode == MANIFEST_MODE_LINK);
    assert_true(slice_is(read.files[2].path, "z.sh") && read.files[2].mode == 0755);
    assert_int_equal(read.files[2].size, 3);
    buffer_fini(&text);
}

static void manifest_of_nothing_is_its_head(void **state)
{
    (void)state;
    struct manifest manifest = {0};
    struct buffer text = {0};
    manifest_write(&manifest, &text);
    assert_string_equal(buffer_text(&text), HEAD);
    assert_int_equal(parse(HEAD, &manifest), 0);
    assert_int_equal(manifest.count, 0);
    buffer_fini(&text);
}

static void manifest_bad_text_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "reeve-manifest 2\n",
        HEAD "0644 1 " HEX_A " a",
        HEAD "0644 1 " HEX_A " \n",
        HEAD "0644 1 " HEX_A " /etc/passwd\n",
        HEAD "0644 1 " HEX_A " ../a\n",
        HEAD "0644 1 " HEX_A " a/../b\n",
        HEAD "0644 1 " HEX_A " a/./b\n",
        HEAD "0644 1 " HEX_A " a//b\n",
        HEAD "0644 1 " HEX_A " a/\n",
        HEAD "0644 1 " HEX_A " a%00b\n",
        HEAD "0644 1 " HEX_A " %2e%2e/b\n",
        HEAD "0644 1 " HEX_A " a%2fb\n",
        HEAD "0644 1 " HEX_A " a%0A\n",
        HEAD "0644 1 " HEX_A " a%2\n",
        HEAD "0644 1 " HEX_A " a%\n",
        HEAD "0644 1 " HEX_A " a\tb\n",
        HEAD "4755 1 " HEX_A " a\n",
        HEAD "0644 -1 " HEX_A " a\n",
        HEAD "0644 01 " HEX_A " a\n",
        HEAD "0644 9999999999999999999 " HEX_A " a\n",
        HEAD "0644 1 abcd a\n",
        HEAD "0644 1 " HEX_A " b\n0644 1 " HEX_A " a\n",
        HEAD "0644 1 " HEX_A " a\n0644 1 " HEX_A " a\n",
        HEAD "\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct manifest manifest;
        if (parse(texts[i], &manifest) != ERR_CORRUPT)
            fail_msg("taken: %s", texts[i]);
    }
    struct manifest manifest;
    assert_int_equal(parse(HEAD "0644 1 " HEX_A " a%20b\n", &manifest), 0);
}

static void manifest_too_many_files_are_refused(void **state)
{
    (void)state;
    struct buffer text = {0};
    buffer_append_text(&text, HEAD);
    for (int i = 0; i < 10001; i++)
        buffer_printf(&text, "0644 1 " HEX_A " f%05d\n", i);
    struct manifest manifest;
    assert_int_equal(parse(buffer_text(&text), &manifest), ERR_CORRUPT);
    buffer_fini(&text);
}

static void manifest_links_may_not_leave_the_folder(void **state)
{
    (void)state;
    static const struct {
        const char *path, *target;
        bool stays;
    } cases[] = {
        {"l", "a", true},
        {"l", "a/b", true},
        {"l", ".", true},
        {"l", "..", false},
        {"l", "", false},
        {"l", "/etc", false},
        {"d/l", "../a", true},
        {"d/l", "..", true},
        {"d/l", "../..", false},
        {"d/l", "./../../a", false},
        {"d/e/l", "../../a", true},
        {"d/e/l", "../x/../../../a", false},
        {"d/e/l", "x/..", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (manifest_link_stays(slice_of(cases[i].path), slice_of(cases[i].target)) !=
            cases[i].stays)
            fail_msg("%s -> %s", cases[i].path, cases[i].target);
    }
}

static void assert_content(const struct fixture *fixture, const char *name, const char *content)
{
    char *path = xasprintf("%s/%s", fixture->target, name);
    struct buffer bytes = {0};
    assert_int_equal(file_read(path, 1 << 20, &bytes, NULL), 0);
    assert_string_equal(buffer_text(&bytes), content);
    buffer_fini(&bytes);
    free(path);
}

static void manifest_materialized_files_have_content_and_mode(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, "x.sh", 0755, "echo");
    add(fixture, "deep/er/y.txt", 0644, "why");
    add(fixture, "deep/empty", 0644, "");
    add(fixture, "deep/link", MANIFEST_MODE_LINK, "../x.sh");
    mode_t before = umask(0077);
    struct error error = {0};
    if (manifest_materialize(&fixture->manifest, fixture->blobs, fixture->target, &error) != 0)
        fail_msg("%s", error.text);
    (void)umask(before);
    assert_content(fixture, "x.sh", "echo");
    assert_content(fixture, "deep/er/y.txt", "why");
    assert_content(fixture, "deep/empty", "");
    assert_content(fixture, "deep/link", "echo");
    char *path = xasprintf("%s/x.sh", fixture->target);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0755);
    assert_int_equal(status.st_nlink, 1);
    free(path);
}

static void manifest_missing_blob_is_named(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, "gone.txt", 0644, "x");
    assert_int_equal(file_remove_tree(fixture->blobs, NULL), 0);
    struct error error = {0};
    assert_int_equal(
        manifest_materialize(&fixture->manifest, fixture->blobs, fixture->target, &error),
        ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "gone.txt"));
    assert_int_equal(
        manifest_materialize(&fixture->manifest, fixture->blobs, fixture->target, NULL),
        ERR_NOT_FOUND);
}

static void manifest_blob_of_other_length_is_refused(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, "a.txt", 0644, "x");
    fixture->manifest.files[0].size = 2;
    assert_int_equal(
        manifest_materialize(&fixture->manifest, fixture->blobs, fixture->target, NULL),
        ERR_CORRUPT);
}

static void manifest_link_out_of_the_folder_is_not_made(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, "evil", MANIFEST_MODE_LINK, "../../etc");
    assert_int_equal(
        manifest_materialize(&fixture->manifest, fixture->blobs, fixture->target, NULL),
        ERR_REFUSED);
}

/* "evil" is a link; "evil/x" must not be made behind it. */
static void manifest_path_through_a_link_is_not_followed(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, "evil", MANIFEST_MODE_LINK, "real");
    add(fixture, "evil/x", 0644, "x");
    add(fixture, "real/y", 0644, "y");
    struct error error = {0};
    assert_int_equal(
        manifest_materialize(&fixture->manifest, fixture->blobs, fixture->target, &error), ERR_IO);
    assert_non_null(strstr(error.text, "evil/x"));
}

static void copy_larger_than_allowed_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char *path = xasprintf("%s/from", fixture->folder);
    char *other = xasprintf("%s/to", fixture->folder);
    struct buffer bytes = {0};
    memset(buffer_reserve(&bytes, 3000000), 'x', 3000000);
    bytes.length = 3000000;
    assert_int_equal(file_replace(path, buffer_slice(&bytes), 0600, NULL), 0);
    int from = open(path, O_RDONLY | O_CLOEXEC);
    int to = open(other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    uint64_t copied = 0;
    assert_int_equal(copy_descriptor(from, to, 2999999, &copied, NULL), ERR_TOO_BIG);
    assert_int_equal(ftruncate(to, 0), 0);
    assert_int_equal(lseek(to, 0, SEEK_SET), 0);
    assert_int_equal(copy_descriptor(from, to, 3000000, &copied, NULL), 0);
    assert_int_equal(copied, 3000000);
    struct buffer read = {0};
    assert_int_equal(file_read(other, SIZE_MAX, &read, NULL), 0);
    assert_true(slice_equal(buffer_slice(&read), buffer_slice(&bytes)));
    buffer_fini(&bytes);
    buffer_fini(&read);
    (void)close(from);
    (void)close(to);
    free(path);
    free(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    hash_start();
    const struct CMUnitTest tests[] = {
        TEST(manifest_written_reads_back_sorted),
        TEST(manifest_of_nothing_is_its_head),
        TEST(manifest_bad_text_is_refused),
        TEST(manifest_too_many_files_are_refused),
        TEST(manifest_links_may_not_leave_the_folder),
        TEST(manifest_materialized_files_have_content_and_mode),
        TEST(manifest_missing_blob_is_named),
        TEST(manifest_blob_of_other_length_is_refused),
        TEST(manifest_link_out_of_the_folder_is_not_made),
        TEST(manifest_path_through_a_link_is_not_followed),
        TEST(copy_larger_than_allowed_is_refused),
    };
    return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
