/* reeve submit: starts a run of a file or of a DAG of the master. */
#include "cli/bundle_send.h"
#include "cli/command.h"
#include "cli/dag_file.h"
#include "cli/document.h"
#include "cli/session.h"
#include "cli/submission.h"
#include "cli/terminal.h"
#include "cli/waiting.h"

#include <string.h>

static void print_run(const struct arguments *arguments, const char *run, bool existing)
{
    if (document_wanted(arguments)) {
        json_t *line = json_object();
        (void)json_object_set_new(line, "run", text_json(slice_of(run)));
        (void)json_object_set_new(line, "existing", json_boolean(existing));
        document_print(line);
    } else {
        (void)puts(run);
    }
    /* Whoever reads the name through a pipe has it before the run has ended. */
    (void)fflush(stdout);
    if (existing)
        terminal_say("%s was there: an earlier submit with this key made it", run);
}

/* What is submitted; `path` and `compiled` are set for a file. */
struct item {
    struct submission *submission;
    char path[PATH_MAX];
    struct dag_file compiled;
    struct bundle_sent sent;
};

/* Whether FILE|DAG is a file, and which; its mistakes are said. */
static int read_item(const char *word, struct item *item, struct error *error)
{
    if (dag_file_is_file(word)) {
        item->submission->file = item->path;
        return dag_file_check(word, item->path, &item->compiled, error);
    }
    item->submission->dag = word;
    if (strchr(word, '/') != NULL)
        return error_set(
            error, ERR_NOT_FOUND, "%s: no such file, and no DAG has a / in its name", word);
    return 0;
}

/* A master on another host cannot read the file: the folder goes there first. */
static int send_files(struct client *client, struct item *item, struct error *error)
{
    struct submission *submission = item->submission;
    if (submission->file == NULL || client_joined(client) == NULL)
        return 0;
    int rc = bundle_send(client, item->path, &item->compiled, &item->sent, error);
    submission->file = item->sent.file;
    submission->bundle = slice_make(item->sent.manifest.bytes, HASH_BYTES);
    return rc;
}

static int submit(const struct arguments *arguments, struct item *item, struct error *error)
{
    char run[SELECTOR_RUN_MAX];
    bool existing;
    struct client *client = session_open(arguments, error);
    if (client == NULL)
        return terminal_fail(error);
    int rc = send_files(client, item, error);
    if (rc == 0)
        rc = submission_send(client, item->submission, run, &existing, error);
    int status = STATUS_OK;
    if (rc == 0) {
        print_run(arguments, run, existing);
        /* It runs, whoever hears of it. */
        if (fflush(stdout) != 0 || ferror(stdout))
            terminal_say("%s was submitted", run);
        if (arguments_flag(arguments, "wait"))
            status = waiting_for_run(client, run, !existing, arguments);
    }
    session_close(client);
    return rc == 0 ? status : terminal_fail(error);
}

int cmd_submit(const struct arguments *arguments)
{
    struct error error = {0};
    struct params params = {0};
    struct submission submission = {.params = &params,
        .date = arguments_text(arguments, "date"),
        .key = arguments_text(arguments, "key"),
        .again = arguments_flag(arguments, "again")};
    struct item item = {.submission = &submission};
    int rc = 0;
    if (arguments_flag(arguments, "timeout") && !arguments_flag(arguments, "wait"))
        rc = error_set(&error, ERR_USAGE, "--timeout is for --wait");
    if (rc == 0)
        rc = params_read(arguments_option(arguments, "param"), &params, &error);
    if (rc == 0)
        rc = read_item(arguments_item(arguments, 0), &item, &error);
    int status = rc == 0 ? submit(arguments, &item, &error) : terminal_fail(&error);
    dag_file_fini(&item.compiled);
    params_fini(&params);
    return status;
}
