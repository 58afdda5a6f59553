/* reeve artifacts: the files that tasks left, listed, or one of them fetched. */
#include "cli/artifact_list.h"
#include "cli/command.h"
#include "cli/document.h"
#include "cli/session.h"
#include "cli/table_view.h"
#include "cli/terminal.h"
#include "common/file.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void print_documents(const struct artifact_list *list)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++) {
        const struct artifact *artifact = &list->items[i];
        char hex[HASH_HEX_MAX];
        json_t *item = json_object();
        hash_hex(&artifact->hash, hex);
        (void)json_object_set_new(item, "task", text_json(slice_of(artifact->task)));
        (void)json_object_set_new(item, "name", text_json(slice_of(artifact->path)));
        (void)json_object_set_new(item, "size", json_integer((json_int_t)artifact->size));
        (void)json_object_set_new(item, "hash", json_string(hex));
        (void)json_array_append_new(array, item);
    }
    document_print(array);
}

static void print_table(const struct artifact_list *list)
{
    static const char *const titles[] = {"TASK", "SIZE", "NAME", NULL};
    struct table_view view;
    table_view_start(&view, stdout, titles);
    for (size_t i = 0; i < list->count; i++) {
        table_view_text(&view, list->items[i].task);
        table_view_number(&view, list->items[i].size);
        table_view_text(&view, list->items[i].path);
    }
    table_view_end(&view);
}

/* Gives the whole file its name: only then is it seen. One that is there is replaced only by wish.
 */
static int name_file(const char *temporary, const char *path, bool replace, struct error *error)
{
    int rc = replace ? rename(temporary, path) : link(temporary, path);
    if (rc == 0)
        return 0;
    if (errno == EEXIST)
        return error_set(
            error, ERR_REFUSED, "%s is there already; write it elsewhere with -O FILE", path);
    return error_set_errno(error, ERR_IO, errno, "%s", path);
}

static int write_file(struct client *client, const struct artifact *artifact, const char *path,
    bool replace, struct error *error)
{
    char *temporary = xasprintf("%s.%d" FILE_TEMPORARY_PREFIX "reeve", path, (int)getpid());
    mode_t mode = (artifact->mode & 0111) != 0 ? 0777 : 0666;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    int rc;
    if (fd < 0) {
        rc = error_set_errno(error, ERR_IO, errno, "%s", path);
    } else {
        rc = artifact_fetch(client, &artifact->hash, fd, NULL, 0, error);
        if (close(fd) != 0 && rc == 0)
            rc = error_set_errno(error, ERR_IO, errno, "%s", path);
        if (rc == 0)
            rc = name_file(temporary, path, replace, error);
        (void)unlink(temporary);
    }
    free(temporary);
    return rc;
}

static int get(struct client *client, const struct arguments *arguments,
    const struct artifact_list *list, struct error *error)
{
    const char *path = arguments_text(arguments, "output-file");
    const struct artifact *artifact;
    int rc = artifact_list_find(list, arguments_text(arguments, "get"), &artifact, error);
    if (rc != 0)
        return rc;
    if (S_ISLNK(artifact->mode))
        return error_set(error, ERR_REFUSED, "%s/%s is a link: fetch the file that it names",
            artifact->task, artifact->path);
    if (path != NULL && strcmp(path, "-") == 0)
        return artifact_fetch(client, &artifact->hash, STDOUT_FILENO, NULL, 0, error);
    if (path != NULL)
        return write_file(client, artifact, path, true, error);
    const char *slash = strrchr(artifact->path, '/');
    const char *name = slash != NULL ? slash + 1 : artifact->path;
    rc = write_file(client, artifact, name, false, error);
    if (rc == 0)
        terminal_say("wrote %s, %llu bytes", name, (unsigned long long)artifact->size);
    return rc;
}

static int show(struct client *client, const struct arguments *arguments,
    const struct selector *selector, struct error *error)
{
    struct artifact_list list = {0};
    int rc = artifact_list_read(client, selector, &list, error);
    if (rc == 0 && arguments_flag(arguments, "get"))
        rc = get(client, arguments, &list, error);
    else if (rc == 0 && document_wanted(arguments))
        print_documents(&list);
    else if (rc == 0)
        print_table(&list);
    artifact_list_fini(&list);
    return rc;
}

int cmd_artifacts(const struct arguments *arguments)
{
    struct error error = {0};
    struct selector selector;
    if (selector_parse(arguments_item(arguments, 0), SELECTOR_TASKS, &selector, &error) != 0)
        return terminal_fail(&error);
    if (arguments_flag(arguments, "output-file") && !arguments_flag(arguments, "get")) {
        (void)error_set(&error, ERR_USAGE, "-O is for --get NAME");
        return terminal_fail(&error);
    }
    struct client *client = session_open(arguments, &error);
    if (client == NULL)
        return terminal_fail(&error);
    int rc = show(client, arguments, &selector, &error);
    session_close(client);
    return rc == 0 ? STATUS_OK : terminal_fail(&error);
}
