#include "worker/io/artifacts.h"

#include "common/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A task's folder with some files, and the process in it. */
struct fixture {
    char folder[48];
    struct arena arena;
    struct artifacts found;
    struct error error;
};

static void put_file(const char *path, const char *text, mode_t mode)
{
    assert_int_equal(file_replace(path, slice_of(text), mode, NULL), 0);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/reeve-[a]*-XXXXXX");
    if (mkdtemp(f->folder) == NULL || chdir(f->folder) != 0)
        return -1;
    put_file("a.csv", "1,2\n", 0644);
    put_file("b.csv", "", 0600);
    put_file("run", "#!/bin/sh\n", 0755);
    (void)mkdir("deep", 0700);
    (void)mkdir("deep/er", 0700);
    put_file("deep/er/c d", "x", 0644);
    put_file("deep/.hidden", "x", 0644);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    artifacts_fini(&f->found);
    arena_fini(&f->arena);
    int rc = chdir("/");
    rc |= file_remove_tree(f->folder, NULL);
    free(f);
    return rc;
}

static int find(struct fixture *f, const char *first, const char *second)
{
    struct slice items[] = {slice_of(first), slice_of(second)};
    struct texts patterns = {items, second != NULL ? 2 : 1};
    return artifacts_find(f->folder, &patterns, &f->arena, &f->found, &f->error);
}

static void assert_found(struct fixture *f, size_t index, const char *path, uint32_t mode)
{
    const struct manifest_file *file = &f->found.manifest.files[index];
    char *whole = NULL;
    assert_true(index < f->found.manifest.count);
    assert_true(slice_is(file->path, path));
    assert_int_equal(file->mode, mode);
    assert_true(asprintf(&whole, "%s/%s", f->folder, path) > 0);
    assert_string_equal(f->found.paths[index].ptr, whole);
    free(whole);
}

static void assert_refused(struct fixture *f, const char *pattern, const char *why)
{
    assert_int_equal(find(f, pattern, NULL), ERR_INVALID);
    if (strstr(f->error.text, why) == NULL || strstr(f->error.text, pattern) == NULL)
        fail_msg("\"%s\" names not \"%s\" and \"%s\"", f->error.text, pattern, why);
}

static void artifacts_names_and_globs_are_found_once(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(find(f, "*.csv", "./a.csv"), 0);
    assert_int_equal(f->found.manifest.count, 2);
    assert_found(f, 0, "a.csv", 0644);
    assert_found(f, 1, "b.csv", 0644);
    struct hash hash;
    hash_of(slice_of("1,2\n"), &hash);
    assert_memory_equal(&hash, &f->found.manifest.files[0].hash, sizeof hash);
}

static void artifacts_are_sorted_with_their_paths(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(find(f, "run", "a.csv"), 0);
    assert_found(f, 0, "a.csv", 0644);
    assert_found(f, 1, "run", 0755);
}

static void artifacts_folder_brings_all_below(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(find(f, "deep/", NULL), 0);
    assert_int_equal(f->found.manifest.count, 2);
    assert_found(f, 0, "deep/.hidden", 0644);
    assert_found(f, 1, "deep/er/c d", 0644);
}

static void artifacts_manifest_can_be_read(void **state)
{
    struct fixture *f = *state;
    struct manifest manifest;
    assert_int_equal(find(f, "deep", "*"), 0);
    assert_int_equal(
        manifest_parse(buffer_slice(&f->found.text), &f->arena, &manifest, &f->error), 0);
    assert_int_equal(manifest.count, f->found.manifest.count);
}

static void artifacts_missing_is_named(void **state)
{
    assert_refused(*state, "c.csv", "no such file");
    assert_refused(*state, "*.json", "no such file");
}

static void artifacts_outside_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, "/etc/passwd", "absolute");
    assert_refused(f, "deep/../../x", "..");
    assert_int_equal(symlink("/etc/passwd", "out"), 0);
    assert_refused(f, "out", "link out");
    assert_int_equal(symlink("/etc", "etc"), 0);
    assert_refused(f, "etc/passwd", "link out");
}

static void artifacts_link_inside_is_its_file(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(symlink("a.csv", "link"), 0);
    assert_int_equal(find(f, "link", NULL), 0);
    assert_int_equal(f->found.manifest.files[0].size, 4);
    assert_int_equal(f->found.manifest.files[0].mode, 0644);
}

static void artifacts_no_file_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_refused(f, "fifo", "no file");
    assert_int_equal(symlink("deep", "linked"), 0);
    assert_refused(f, "linked", "link to a folder");
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    assert_refused(f, "dangling", "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    hash_start();
    const struct CMUnitTest tests[] = {
        TEST(artifacts_names_and_globs_are_found_once),
        TEST(artifacts_are_sorted_with_their_paths),
        TEST(artifacts_folder_brings_all_below),
        TEST(artifacts_manifest_can_be_read),
        TEST(artifacts_missing_is_named),
        TEST(artifacts_outside_is_refused),
        TEST(artifacts_link_inside_is_its_file),
        TEST(artifacts_no_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
