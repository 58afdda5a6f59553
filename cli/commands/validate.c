/* reeve validate: every mistake in DAG files, at once. Needs no master. */
#include "cli/bundle_local.h"
#include "cli/command.h"
#include "cli/dag_file.h"
#include "cli/document.h"
#include "cli/terminal.h"
#include "common/dag/plan.h"
#include "common/file.h"
#include "common/limits.h"
#include "common/memory.h"
#include "common/table.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

/* As deep as the master looks: a DAG may have a folder of its own. */
enum { FOLDER_DEPTH_MAX = 1 };

struct validation {
    bool json;
    json_t *list;      /* of mistakes, with `json` */
    struct names dags; /* DAG -> index in files */
    char **files;      /* that were valid */
    size_t file_count, file_capacity;
    int status; /* the worst so far */
};

static void note(struct validation *validation, int status)
{
    /* A mistake in a DAG weighs more than a file that is not there. */
    int invalid = error_exit_status(ERR_INVALID);
    if (validation->status != invalid && status != STATUS_OK)
        validation->status = status;
}

static void add_mistake(
    struct validation *validation, const char *path, const struct diagnostic *diagnostic)
{
    json_t *item = json_object();
    (void)json_object_set_new(item, "file", text_json(slice_of(path)));
    (void)json_object_set_new(item, "line", json_integer(diagnostic->line));
    (void)json_object_set_new(item, "column", json_integer(diagnostic->column));
    (void)json_object_set_new(item, "severity",
        json_string(diagnostic->severity == SEVERITY_ERROR ? "error" : "warning"));
    (void)json_object_set_new(item, "message", text_json(slice_of(diagnostic->message)));
    (void)json_array_append_new(validation->list, item);
}

/* A mistake that is of no line. */
static void say_mistake(
    struct validation *validation, const char *path, const char *text, int status)
{
    struct diagnostic whole = {.severity = SEVERITY_ERROR, .message = xstrdup(text)};
    if (validation->json)
        add_mistake(validation, path, &whole);
    else
        terminal_say("%s", text);
    free(whole.message);
    note(validation, status);
}

static void take_valid(struct validation *validation, const char *path, const struct plan *plan)
{
    struct slice name = plan_string(plan, plan->header->name);
    uint64_t other;
    if (names_get(&validation->dags, name, &other)) {
        assert(validation->files != NULL && other < validation->file_count);
        char *text = xasprintf("two files with the DAG name %.*s: %s and %s", SLICE_PRINT(name),
            validation->files[other], path);
        say_mistake(validation, path, text, error_exit_status(ERR_INVALID));
        free(text);
        return;
    }
    names_set(&validation->dags, name, validation->file_count);
    vector_reserve(&validation->files, validation->file_count, &validation->file_capacity);
    validation->files[validation->file_count++] = xstrdup(path);
    if (!validation->json)
        (void)printf("%s: ok, DAG %.*s, %u task%s\n", path, SLICE_PRINT(name),
            plan_task_count(plan), plan_task_count(plan) == 1 ? "" : "s");
}

/*
 * What would not travel is a warning: the file is right, and may be checked away from its folder.
 */
static void check_folder(struct validation *validation, const char *path, const struct plan *plan)
{
    char absolute[PATH_MAX];
    struct error error;
    if (realpath(path, absolute) == NULL || bundle_local_check(absolute, plan, &error) == 0)
        return;
    struct diagnostic whole = {.severity = SEVERITY_WARNING, .message = error.text};
    if (validation->json)
        add_mistake(validation, path, &whole);
    else
        terminal_say("%s: warning: submit will refuse it: %s", path, error.text);
}

static void validate_file(struct validation *validation, const char *path)
{
    struct dag_file file = {0};
    struct error error = {0};
    struct plan plan;
    int rc = dag_file_compile(path, &file, &error);
    for (size_t i = 0; validation->json && i < file.diagnostics.count; i++)
        add_mistake(validation, path, &file.diagnostics.items[i]);
    if (!validation->json)
        dag_file_print(&file, path, stderr);
    if (rc == 0)
        rc = plan_open(buffer_slice(&file.plan), &plan, &error);
    if (rc == 0) {
        check_folder(validation, path, &plan);
        take_valid(validation, path, &plan);
    } else if (rc == ERR_INVALID) {
        note(validation, error_exit_status(rc));
    } else {
        say_mistake(validation, path, error.text, error_exit_status(rc));
    }
    dag_file_fini(&file);
}

/* In a folder, YAML files that are no DAGs are left alone. */
static bool is_dag(const char *path)
{
    struct buffer text = {0};
    bool yes =
        file_read(path, DAG_FILE_MAX_BYTES, &text, NULL) != 0 || dag_is_dag(buffer_slice(&text));
    buffer_fini(&text);
    return yes;
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static size_t validate_folder(struct validation *validation, const char *folder, int depth)
{
    struct dirent **entries;
    size_t found = 0;
    int count = scandir(folder, &entries, visible, alphasort);
    if (count < 0) {
        struct error error;
        (void)error_set_errno(&error, errno == EACCES ? ERR_DENIED : ERR_IO, errno, "%s", folder);
        say_mistake(validation, folder, error.text, error_exit_status(error.code));
        return 0;
    }
    for (int i = 0; i < count; i++) {
        char *path = xasprintf("%s/%s", folder, entries[i]->d_name);
        struct stat info;
        if (lstat(path, &info) != 0)
            info.st_mode = 0;
        if (S_ISDIR(info.st_mode) && depth < FOLDER_DEPTH_MAX)
            found += validate_folder(validation, path, depth + 1);
        if (S_ISREG(info.st_mode) && dag_file_has_suffix(path) && is_dag(path)) {
            validate_file(validation, path);
            found++;
        }
        free(path);
        free(entries[i]);
    }
    free(entries);
    return found;
}

static void validate_argument(struct validation *validation, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
        validate_file(validation, path);
        return;
    }
    if (validate_folder(validation, path, 0) == 0 && validation->status == STATUS_OK) {
        char *text = xasprintf("%s: no DAG file is in it", path);
        say_mistake(validation, path, text, error_exit_status(ERR_NOT_FOUND));
        free(text);
    }
}

int cmd_validate(const struct arguments *arguments)
{
    struct validation validation = {.json = document_wanted(arguments), .list = json_array()};
    for (size_t i = 0; i < arguments->count; i++)
        validate_argument(&validation, arguments->items[i]);
    if (validation.json)
        document_print(json_incref(validation.list));
    json_decref(validation.list);
    for (size_t i = 0; i < validation.file_count; i++)
        free(validation.files[i]);
    free(validation.files);
    names_fini(&validation.dags);
    return validation.status;
}
