#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/dag/bundle_seen.h"
#include "common/dag/compile.h"
#include "common/dag/ignore.h"
#include "common/file.h"
#include "common/manifest.h"
#include "common/memory.h"
#include "master/store/bundle.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char dag_text[] = "tasks:\n  a:\n    bash: echo\n";

struct fixture {
    char folder[64];
    char *dags, *path; /* the DAG's folder and file */
    struct blob_store *store;
    struct buffer text; /* of the last manifest */
    struct hash manifest;
    uint32_t files;
    struct error error;
};

/* Writes FOLDER/dags/NAME, its folders made. */
static void write_file(struct fixture *fixture, const char *name, const char *content)
{
    char *path = xasprintf("%s/%s", fixture->dags, name);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    assert_int_equal(file_make_folder(path, 0755, NULL), 0);
    *slash = '/';
    assert_int_equal(file_replace(path, slice_of(content), 0644, NULL), 0);
    free(path);
}

static int set_up(void **state)
{
    struct fixture *fixture = xcalloc(1, sizeof *fixture);
    (void)strcpy(fixture->folder, "/tmp/reeve-bundle-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    fixture->dags = xasprintf("%s/dags", fixture->folder);
    fixture->path = xasprintf("%s/dag.yaml", fixture->dags);
    char *data = xasprintf("%s/data", fixture->folder);
    assert_int_equal(mkdir(data, 0700), 0);
    assert_int_equal(blob_open(data, &fixture->store, NULL), 0);
    free(data);
    write_file(fixture, "dag.yaml", dag_text);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    blob_close(fixture->store);
    assert_int_equal(file_remove_tree(fixture->folder, NULL), 0);
    buffer_fini(&fixture->text);
    free(fixture->dags);
    free(fixture->path);
    free(fixture);
    return 0;
}

static int snapshot_only(struct fixture *fixture, const char *const *names)
{
    struct slice items[8];
    struct texts only = {items, 0};
    while (names != NULL && names[only.count] != NULL) {
        items[only.count] = slice_of(names[only.count]);
        only.count++;
    }
    fixture->error = (struct error){0};
    int rc = bundle_snapshot(
        fixture->store, fixture->path, &only, &fixture->manifest, &fixture->files, &fixture->error);
    assert_int_equal(rc, fixture->error.code);
    buffer_clear(&fixture->text);
    if (rc == 0) {
        struct slice bytes;
        assert_int_equal(blob_map(fixture->store, &fixture->manifest, &bytes, NULL), 0);
        buffer_append_slice(&fixture->text, bytes);
        file_unmap(bytes);
    }
    return rc;
}

static int snapshot(struct fixture *fixture)
{
    return snapshot_only(fixture, NULL);
}

/* "a b c": the paths in the last manifest. */
static void assert_paths(struct fixture *fixture, const char *expected)
{
    struct arena arena = {0};
    struct manifest manifest;
    assert_int_equal(manifest_parse(buffer_slice(&fixture->text), &arena, &manifest, NULL), 0);
    struct buffer paths = {0};
    for (size_t i = 0; i < manifest.count; i++)
        buffer_printf(&paths, "%s%.*s", i > 0 ? " " : "", SLICE_PRINT(manifest.files[i].path));
    assert_string_equal(buffer_text(&paths), expected);
    assert_int_equal(fixture->files, manifest.count - 1);
    buffer_fini(&paths);
    arena_fini(&arena);
}

static void assert_refused(struct fixture *fixture, int code, const char *text)
{
    assert_int_equal(snapshot(fixture), code);
    if (strstr(fixture->error.text, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", fixture->error.text, text);
}

/* ---- what travels ---- */

static void bundle_of_a_dag_alone_has_no_other_file(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(snapshot(fixture), 0);
    assert_paths(fixture, "dag.yaml");
    assert_int_equal(fixture->files, 0);
}

static void bundle_takes_the_folder_less_hidden_files_and_other_dags(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "extract.sh", "echo");
    write_file(fixture, "sql/load.sql", "select 1");
    write_file(fixture, "settings.yaml", "region: EU\n");
    write_file(fixture, "other.yaml", dag_text);
    write_file(fixture, "sub/other.yml", dag_text);
    write_file(fixture, ".env", "SECRET=1");
    write_file(fixture, ".git/config", "x");
    write_file(fixture, "sql/.hidden", "x");
    assert_int_equal(snapshot(fixture), 0);
    assert_paths(fixture, "dag.yaml extract.sh settings.yaml sql/load.sql");
}

static void bundle_of_the_same_files_has_the_same_hash(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "a.txt", "1");
    write_file(fixture, "b.txt", "2");
    assert_int_equal(snapshot(fixture), 0);
    struct hash first = fixture->manifest;
    write_file(fixture, "a.txt", "1");
    assert_int_equal(snapshot(fixture), 0);
    assert_memory_equal(&first, &fixture->manifest, sizeof first);
    write_file(fixture, "a.txt", "3");
    assert_int_equal(snapshot(fixture), 0);
    assert_memory_not_equal(&first, &fixture->manifest, sizeof first);
}

static void bundle_comes_out_as_it_went_in(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "bin/run me.sh", "#!/bin/sh\n");
    char *path = xasprintf("%s/bin/run me.sh", fixture->dags);
    assert_int_equal(chmod(path, 0750), 0);
    free(path);
    path = xasprintf("%s/link", fixture->dags);
    assert_int_equal(symlink("bin/run me.sh", path), 0);
    free(path);
    assert_int_equal(snapshot(fixture), 0);
    struct arena arena = {0};
    struct manifest manifest;
    assert_int_equal(manifest_parse(buffer_slice(&fixture->text), &arena, &manifest, NULL), 0);
    char *blobs = xasprintf("%s/data/blobs", fixture->folder);
    char *target = xasprintf("%s/target", fixture->folder);
    assert_int_equal(mkdir(target, 0700), 0);
    assert_int_equal(manifest_materialize(&manifest, blobs, target, NULL), 0);
    path = xasprintf("%s/link", target);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0755);
    assert_int_equal(status.st_size, 10);
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    free(path);
    free(target);
    free(blobs);
    arena_fini(&arena);
}

static void bundle_of_named_files_takes_these_and_the_dag(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "extract.sh", "echo");
    write_file(fixture, "sql/a.sql", "1");
    write_file(fixture, "sql/deep/b.sql", "2");
    write_file(fixture, "sql2/c.sql", "3");
    write_file(fixture, "other.yaml", dag_text);
    assert_int_equal(snapshot_only(fixture, (const char *[]){"sql/", "extract.sh", NULL}), 0);
    assert_paths(fixture, "dag.yaml extract.sh sql/a.sql sql/deep/b.sql");
    assert_int_equal(snapshot_only(fixture, (const char *[]){"./sql/deep", NULL}), 0);
    assert_paths(fixture, "dag.yaml sql/deep/b.sql");
    assert_int_equal(snapshot_only(fixture, (const char *[]){"other.yaml", NULL}), 0);
    assert_paths(fixture, "dag.yaml other.yaml");
    assert_int_equal(snapshot_only(fixture, (const char *[]){"gone.sh", NULL}), ERR_INVALID);
    assert_non_null(strstr(fixture->error.text, "gone.sh"));
    assert_int_equal(snapshot_only(fixture, (const char *[]){"../data", NULL}), ERR_INVALID);
}

static void bundle_leaves_out_what_reeveignore_names(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, ".reeveignore", "# big things\n*.csv\n!keep.csv\n/build/\ntmp/\n");
    write_file(fixture, "a.csv", "x");
    write_file(fixture, "keep.csv", "x");
    write_file(fixture, "sub/b.csv", "x");
    write_file(fixture, "sub/keep.csv", "x");
    write_file(fixture, "build/out", "x");
    write_file(fixture, "sub/build/out", "x");
    write_file(fixture, "sub/tmp/t", "x");
    write_file(fixture, "sub/.reeveignore", "/build\n!b.csv\n");
    write_file(fixture, "dag2/b.csv", "x");
    assert_int_equal(snapshot(fixture), 0);
    assert_paths(fixture, "dag.yaml keep.csv sub/b.csv sub/keep.csv");
}

/* ---- what is refused ---- */

static void bundle_of_a_wide_folder_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct texts all = {NULL, 0};
    struct hash hash;
    uint32_t files;
    assert_int_equal(
        bundle_snapshot(fixture->store, "/tmp/x.yaml", &all, &hash, &files, &fixture->error),
        ERR_REFUSED);
    assert_non_null(strstr(fixture->error.text, "put the DAG in a folder of its own"));
    assert_int_equal(
        bundle_snapshot(fixture->store, "/x.yaml", &all, &hash, &files, NULL), ERR_REFUSED);
    assert_int_equal(
        bundle_snapshot(fixture->store, "x.yaml", &all, &hash, &files, NULL), ERR_USAGE);
    assert_int_equal(setenv("HOME", fixture->dags, 1), 0);
    assert_refused(fixture, ERR_REFUSED, "set `files`");
    assert_int_equal(snapshot_only(fixture, (const char *[]){"dag.yaml", NULL}), 0);
    assert_int_equal(setenv("HOME", "/root", 1), 0);
}

static void bundle_with_a_link_that_leaves_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char *path = xasprintf("%s/evil", fixture->dags);
    assert_int_equal(symlink("../data", path), 0);
    assert_refused(fixture, ERR_REFUSED, "evil");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_refused(fixture, ERR_REFUSED, "/etc/passwd");
    free(path);
}

static void bundle_with_a_fifo_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char *path = xasprintf("%s/pipe", fixture->dags);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused(fixture, ERR_REFUSED, "pipe");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    free(path);
    path = xasprintf("%s/pipe/x.yaml", fixture->dags);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused(fixture, ERR_REFUSED, "pipe/x.yaml");
    free(path);
}

static void bundle_with_an_unreadable_file_is_refused(void **state)
{
    struct fixture *fixture = *state;
    if (geteuid() == 0)
        skip(); /* root reads everything */
    write_file(fixture, "closed.txt", "x");
    char *path = xasprintf("%s/closed.txt", fixture->dags);
    assert_int_equal(chmod(path, 0), 0);
    assert_refused(fixture, ERR_DENIED, "closed.txt");
    free(path);
}

static void bundle_of_too_many_bytes_is_refused(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "huge.bin", "x");
    char *path = xasprintf("%s/huge.bin", fixture->dags);
    assert_int_equal(truncate(path, 256 * 1024 * 1024), 0);
    assert_refused(fixture, ERR_REFUSED, "256 MiB");
    free(path);
}

static void bundle_of_too_many_files_is_refused(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 10000; i++) {
        char *path = xasprintf("%s/%d", fixture->dags, i);
        int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void)close(fd);
        free(path);
    }
    assert_refused(fixture, ERR_REFUSED, "10000 files");
    char *path = xasprintf("%s/0", fixture->dags);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(snapshot(fixture), 0);
    assert_int_equal(fixture->files, 9999);
    free(path);
}

static void bundle_without_its_dag_fails(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(unlink(fixture->path), 0);
    assert_refused(fixture, ERR_IO, "dag.yaml");
}

/* ---- bundle_check ---- */

static int check(struct fixture *fixture, const char *text)
{
    struct buffer bytes = {0};
    struct diagnostics diagnostics = {0};
    struct plan plan;
    assert_int_equal(dag_compile(slice_of(text), "dag.yaml", &bytes, &diagnostics), 0);
    assert_int_equal(plan_open(buffer_slice(&bytes), &plan, NULL), 0);
    fixture->error = (struct error){0};
    int rc = bundle_check(fixture->store, &plan, &fixture->manifest, &fixture->error);
    diagnostics_fini(&diagnostics);
    buffer_fini(&bytes);
    return rc;
}

static void bundle_check_names_the_task_of_a_missing_file(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "x.sh", "echo");
    write_file(fixture, ".secret.sh", "echo");
    assert_int_equal(snapshot(fixture), 0);
    assert_int_equal(check(fixture, "tasks:\n  a:\n    bash: {file: x.sh}\n"), 0);
    assert_int_equal(check(fixture, "tasks:\n  a:\n    bash: {file: ./x.sh}\n"), 0);
    assert_int_equal(check(fixture, "tasks:\n  a:\n    bash: echo\n"), 0);
    assert_int_equal(
        check(fixture, "tasks:\n  a:\n    bash: {file: x.sh}\n  load:\n    bash: {file: y.sh}\n"),
        ERR_INVALID);
    assert_non_null(strstr(fixture->error.text, "\"load\""));
    assert_non_null(strstr(fixture->error.text, "\"y.sh\""));
    assert_int_equal(check(fixture, "tasks:\n  a:\n    bash: {file: .secret.sh}\n"), ERR_INVALID);
}

/* ---- files that were seen ---- */

static void seen_file_is_known_until_it_changes(void **state)
{
    (void)state;
    struct seen_files *seen = seen_files_create();
    struct stat status = {.st_dev = 1, .st_ino = 2, .st_size = 3};
    status.st_mtim.tv_sec = status.st_ctim.tv_sec = 1000;
    struct seen_fact fact = {.hashed = true, .hash = {{7}}};
    seen_files_add(seen, &status, 1010, &fact);
    seen_files_add(seen, &status, 1010, &(struct seen_fact){.sniffed = true, .is_dag = true});
    struct seen_fact known = seen_files_get(seen, &status);
    assert_true(known.hashed && known.sniffed && known.is_dag && known.hash.bytes[0] == 7);
    struct stat other = status;
    other.st_mtim.tv_nsec = 1;
    assert_false(seen_files_get(seen, &other).hashed);
    other = status;
    other.st_ctim.tv_sec++;
    assert_false(seen_files_get(seen, &other).hashed);
    other = status;
    other.st_size++;
    assert_false(seen_files_get(seen, &other).hashed);
    other = status;
    other.st_ino++;
    assert_false(seen_files_get(seen, &other).hashed);
    /* What was known of the older content must not be told of the new one. */
    other = status;
    other.st_size = 9;
    seen_files_add(seen, &other, 1010, &(struct seen_fact){.sniffed = true});
    assert_false(seen_files_get(seen, &other).hashed);
    seen_files_destroy(seen);
}

static void seen_file_that_just_changed_is_not_trusted(void **state)
{
    (void)state;
    struct seen_files *seen = seen_files_create();
    struct stat status = {.st_dev = 1, .st_ino = 2, .st_size = 3};
    status.st_mtim.tv_sec = status.st_ctim.tv_sec = 1000;
    struct seen_fact fact = {.hashed = true};
    seen_files_add(seen, &status, 1001, &fact);
    assert_false(seen_files_get(seen, &status).hashed);
    seen_files_add(seen, &status, 1002, &fact);
    assert_true(seen_files_get(seen, &status).hashed);
    seen_files_destroy(seen);
}

/* ---- patterns ---- */

static void ignore_patterns_match_as_gitignore_says(void **state)
{
    (void)state;
    static const struct {
        const char *file, *path;
        bool is_folder, ignored;
    } cases[] = {
        {"*.csv", "a.csv", false, true},
        {"*.csv", "d/a.csv", false, true},
        {"*.csv", "a.csvx", false, false},
        {"/a.csv", "d/a.csv", false, false},
        {"/a.csv", "a.csv", false, true},
        {"d/*.csv", "d/a.csv", false, true},
        {"d/*.csv", "d/e/a.csv", false, false},
        {"d/*.csv", "x/d/a.csv", false, false},
        {"**/d", "x/y/d", true, true},
        {"**/d", "d", false, true},
        {"**/d/e", "x/d/e", false, true},
        {"**/d/e", "x/d/f/e", false, false},
        {"d/**", "d/a/b", false, true},
        {"d/**", "d", true, false},
        {"a/**/b", "a/b", false, true},
        {"a/**/b", "a/x/y/b", false, true},
        {"a/**/b", "a/xb", false, false},
        {"a/**/b*c/d", "a/bxc/q/byc/d", false, true},
        {"d/", "d", true, true},
        {"d/", "d", false, false},
        {"d/", "x/d", true, true},
        {"d/e/", "x/d/e", true, false},
        {"a?c", "abc", false, true},
        {"a?c", "a/c", false, false},
        {"[a-c]x", "bx", false, true},
        {"[!a-c]x", "bx", false, false},
        {"[^a-c]x", "dx", false, true},
        {"[]-]x", "]x", false, true},
        {"[]-]x", "-x", false, true},
        {"a\\*b", "a*b", false, true},
        {"a\\*b", "axb", false, false},
        {"# note", "# note", false, false},
        {"\\#x", "#x", false, true},
        {"x  ", "x", false, true},
        {"x\\ ", "x ", false, true},
        {"x\r", "x", false, true},
        {"*\n!x", "x", false, false},
        {"!x\n*", "x", false, true},
        {"*", "x", false, true},
        {"foo*bar*baz", "foobarbaXbarbaz", false, true},
        {"**x", "aax", false, true},
        {"/", "x", false, false},
        {"!", "x", false, false},
        {"", "x", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ignore_list list = {0};
        ignore_list_add(&list, slice_of(cases[i].file), 0);
        if (ignore_list_matches(&list, slice_of(cases[i].path), cases[i].is_folder) !=
            cases[i].ignored)
            fail_msg("\"%s\" and \"%s\"", cases[i].file, cases[i].path);
        ignore_list_fini(&list);
    }
}

static void ignore_match_of_many_stars_ends_soon(void **state)
{
    (void)state;
    struct buffer pattern = {0}, path = {0};
    for (int i = 0; i < 200; i++) {
        buffer_append_text(&pattern, "**/a*a*a*/");
        buffer_append_text(&path, "aaaaaaaaaaaaaaaaaaa/");
    }
    buffer_append_text(&pattern, "b");
    buffer_append_text(&path, "c");
    assert_false(ignore_match(buffer_slice(&pattern), buffer_slice(&path)));
    buffer_fini(&pattern);
    buffer_fini(&path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    hash_start();
    const struct CMUnitTest tests[] = {
        TEST(bundle_of_a_dag_alone_has_no_other_file),
        TEST(bundle_takes_the_folder_less_hidden_files_and_other_dags),
        TEST(bundle_of_the_same_files_has_the_same_hash),
        TEST(bundle_comes_out_as_it_went_in),
        TEST(bundle_of_named_files_takes_these_and_the_dag),
        TEST(bundle_leaves_out_what_reeveignore_names),
        TEST(bundle_of_a_wide_folder_is_refused),
        TEST(bundle_with_a_link_that_leaves_is_refused),
        TEST(bundle_with_a_fifo_is_refused),
        TEST(bundle_with_an_unreadable_file_is_refused),
        TEST(bundle_of_too_many_bytes_is_refused),
        TEST(bundle_of_too_many_files_is_refused),
        TEST(bundle_without_its_dag_fails),
        TEST(bundle_check_names_the_task_of_a_missing_file),
        cmocka_unit_test(seen_file_is_known_until_it_changes),
        cmocka_unit_test(seen_file_that_just_changed_is_not_trusted),
        cmocka_unit_test(ignore_patterns_match_as_gitignore_says),
        cmocka_unit_test(ignore_match_of_many_stars_ends_soon),
    };
    return cmocka_run_group_tests_name("bundle", tests, NULL, NULL);
}
