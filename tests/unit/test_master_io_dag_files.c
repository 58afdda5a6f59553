/*
 * The folders of --dags: what is listed, found, and read again.
 */
#include "common/file.h"
#include "common/hash.h"
#include "common/memory.h"
#include "master/io/dag_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/reeve-dags-XXXXXX";
static const char *const folders[] = {folder};

static void write_text(const char *name, const char *text)
{
    char *path = xasprintf("%s/%s", folder, name);
    assert_int_equal(file_replace(path, slice_of(text), 0644, NULL), 0);
    free(path);
}

static void make_folder(const char *name)
{
    char *path = xasprintf("%s/%s", folder, name);
    assert_int_equal(file_make_folder(path, 0755, NULL), 0);
    free(path);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/reeve-dags-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    return file_remove_tree(folder, NULL);
}

static const char one_task[] = "tasks:\n  a: {noop: }\n";

static void dag_files_lists_dags_of_the_folder_and_one_below(void **state)
{
    (void)state;
    struct dag_files files;
    struct arena arena = {0};
    struct dag_lines lines;
    make_folder("deep");
    make_folder("deep/deeper");
    make_folder(".hidden");
    write_text("b.yaml", "description: hi\ntags: [x, y]\ntasks:\n  a: {noop: }\n  b: {noop: }\n");
    write_text("deep/a.yml", one_task);
    write_text("deep/deeper/c.yaml", one_task);
    write_text(".hidden/d.yaml", one_task);
    write_text("values.yaml", "colour: red\n");
    write_text("notes.txt", one_task);
    dag_files_init(&files, folders, 1);
    dag_files_scan(&files);
    dag_files_list(&files, &arena, &lines);
    assert_int_equal(lines.count, 2);
    assert_true(slice_is(lines.items[0].dag, "a"));
    assert_true(slice_is(lines.items[1].dag, "b"));
    assert_true(slice_is(lines.items[1].description, "hi"));
    assert_int_equal(lines.items[1].task_count, 2);
    assert_int_equal(lines.items[1].tags.count, 2);
    assert_int_equal(lines.items[1].error.length, 0);
    dag_files_fini(&files);
    arena_fini(&arena);
}

static void dag_files_broken_file_shows_its_first_mistake(void **state)
{
    (void)state;
    struct dag_files files;
    struct arena arena = {0};
    struct dag_lines lines;
    write_text("broken.yaml", "tasks:\n  a: {nop: }\n  b: {noop: , needs: x}\n");
    dag_files_init(&files, folders, 1);
    dag_files_scan(&files);
    dag_files_list(&files, &arena, &lines);
    assert_int_equal(lines.count, 1);
    assert_true(slice_is(lines.items[0].dag, "broken"));
    assert_non_null(strstr(lines.items[0].error.ptr, "broken.yaml:2:"));
    dag_files_fini(&files);
    arena_fini(&arena);
}

static void dag_files_two_files_with_one_name_are_an_error_that_names_both(void **state)
{
    (void)state;
    struct dag_files files;
    struct arena arena = {0};
    struct dag_lines lines;
    struct error error = {0};
    const char *path = NULL;
    write_text("one.yaml", "dag: same\ntasks:\n  a: {noop: }\n");
    write_text("two.yaml", "dag: same\ntasks:\n  a: {noop: }\n");
    dag_files_init(&files, folders, 1);
    dag_files_scan(&files);
    dag_files_list(&files, &arena, &lines);
    assert_int_equal(lines.count, 1);
    assert_non_null(strstr(lines.items[0].error.ptr, "one.yaml"));
    assert_non_null(strstr(lines.items[0].error.ptr, "two.yaml"));
    assert_int_equal(dag_files_find(&files, slice_of("same"), &path, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "one.yaml"));
    assert_non_null(strstr(error.text, "two.yaml"));
    dag_files_fini(&files);
    arena_fini(&arena);
}

static void dag_files_changed_file_is_read_again_and_a_removed_one_forgotten(void **state)
{
    (void)state;
    struct dag_files files;
    struct error error = {0};
    const char *path = NULL;
    write_text("a.yaml", "dag: first\ntasks:\n  a: {noop: }\n");
    dag_files_init(&files, folders, 1);
    dag_files_scan(&files);
    assert_int_equal(dag_files_find(&files, slice_of("first"), &path, &error), 0);
    assert_non_null(strstr(path, "/a.yaml"));
    write_text("a.yaml", "dag: second\ntasks:\n  a: {noop: }\n");
    dag_files_scan(&files);
    assert_int_equal(dag_files_find(&files, slice_of("first"), &path, &error), ERR_NOT_FOUND);
    assert_int_equal(dag_files_find(&files, slice_of("second"), &path, &error), 0);
    assert_int_equal(dag_files_find(&files, slice_of("secnd"), &path, &error), ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "did you mean \"second\""));
    char *file = xasprintf("%s/a.yaml", folder);
    assert_int_equal(unlink(file), 0);
    free(file);
    dag_files_scan(&files);
    assert_int_equal(dag_files_find(&files, slice_of("second"), &path, &error), ERR_NOT_FOUND);
    dag_files_fini(&files);
}

static void dag_files_folder_that_went_is_listed_with_the_reason(void **state)
{
    (void)state;
    static const char *const gone[] = {"/nonexistent/dags"};
    struct dag_files files;
    struct arena arena = {0};
    struct dag_lines lines;
    dag_files_init(&files, gone, 1);
    for (int i = 0; i < 2; i++) {
        dag_files_scan(&files);
        dag_files_list(&files, &arena, &lines);
        assert_int_equal(lines.count, 1);
        assert_non_null(strstr(lines.items[0].error.ptr, "/nonexistent/dags: cannot be read"));
    }
    dag_files_fini(&files);
    arena_fini(&arena);
}

#define in_folder(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_folder(dag_files_lists_dags_of_the_folder_and_one_below),
        in_folder(dag_files_broken_file_shows_its_first_mistake),
        in_folder(dag_files_two_files_with_one_name_are_an_error_that_names_both),
        in_folder(dag_files_changed_file_is_read_again_and_a_removed_one_forgotten),
        in_folder(dag_files_folder_that_went_is_listed_with_the_reason),
    };
    hash_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
