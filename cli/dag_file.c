#include "cli/dag_file.h"

#include "cli/printable.h"
#include "common/file.h"
#include "common/limits.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

bool dag_file_has_suffix(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

static int is_dag_name(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && dag_file_has_suffix(entry->d_name);
}

bool dag_file_is_file(const char *argument)
{
    if (dag_file_has_suffix(argument))
        return true;
    return strchr(argument, '/') != NULL && access(argument, F_OK) == 0;
}

int dag_file_compile(const char *path, struct dag_file *file, struct error *error)
{
    struct buffer text = {0};
    const char *slash = strrchr(path, '/');
    int rc = file_read(path, DAG_FILE_MAX_BYTES, &text, error);
    if (rc == 0) {
        rc = dag_compile(
            buffer_slice(&text), slash != NULL ? slash + 1 : path, &file->plan, &file->diagnostics);
        if (rc != 0)
            (void)error_set(error, rc, "%s: %u mistake%s", path, file->diagnostics.errors,
                file->diagnostics.errors == 1 ? "" : "s");
    }
    buffer_fini(&text);
    return rc;
}

/* A file's own bytes stand in messages and source lines: they are shown, never obeyed. */
void dag_file_print(const struct dag_file *file, const char *path, FILE *stream)
{
    struct buffer text = {0}, shown = {0};
    struct printable printable = {0};
    diagnostics_print(&file->diagnostics, path, &text);
    printable_append(&printable, buffer_slice(&text), &shown);
    printable_end(&printable, &shown);
    if (shown.length > 0)
        (void)fwrite(shown.data, 1, shown.length, stream);
    buffer_fini(&text);
    buffer_fini(&shown);
}

void dag_file_fini(struct dag_file *file)
{
    diagnostics_fini(&file->diagnostics);
    buffer_fini(&file->plan);
}

/* People name the folder that they think of: the error names a file in it, the first by name. */
static int refuse_folder(const char *path, struct error *error)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, is_dag_name, alphasort);
    int length = (int)strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (count > 0)
        (void)error_set(error, ERR_USAGE, "%s is a folder: name a DAG file, as in %.*s/%s", path,
            length, path, entries[0]->d_name);
    else
        (void)error_set(error, ERR_USAGE, "%s is a folder: name a DAG file", path);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return ERR_USAGE;
}

int dag_file_check(
    const char *path, char ret_path[PATH_MAX], struct dag_file *file, struct error *error)
{
    if (realpath(path, ret_path) == NULL)
        return error_set_errno(
            error, errno == EACCES ? ERR_DENIED : ERR_NOT_FOUND, errno, "%s", path);
    struct stat status;
    if (stat(ret_path, &status) == 0 && S_ISDIR(status.st_mode))
        return refuse_folder(path, error);
    int rc = dag_file_compile(path, file, error);
    dag_file_print(file, path, stderr);
    return rc;
}
