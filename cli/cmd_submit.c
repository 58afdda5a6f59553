/* reeve submit: starts a run of a file or of a DAG of the master. */
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

/* Whether FILE|DAG is a file, and which; its mistakes are said. */
static int read_item(
    const char *item, char path[PATH_MAX], struct submission *submission, struct error *error)
{
    if (dag_file_is_file(item)) {
        struct dag_file file = {0};
        int rc = dag_file_check(item, path, &file, error);
        dag_file_fini(&file);
        submission->file = path;
        return rc;
    }
    submission->dag = item;
    if (strchr(item, '/') != NULL)
        return error_set(
            error, ERR_NOT_FOUND, "%s: no such file, and no DAG has a / in its name", item);
    return 0;
}

static int submit(
    const struct arguments *arguments, const struct submission *submission, struct error *error)
{
    char run[SELECTOR_RUN_MAX];
    bool existing;
    struct client *client = session_open(arguments, error);
    if (client == NULL)
        return terminal_fail(error);
    int rc = submission_send(client, submission, run, &existing, error);
    int status = STATUS_OK;
    if (rc == 0) {
        print_run(arguments, run, existing);
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
    char path[PATH_MAX];
    struct submission submission = {.params = &params,
        .date = arguments_text(arguments, "date"),
        .key = arguments_text(arguments, "key"),
        .again = arguments_flag(arguments, "again")};
    int rc = 0;
    if (arguments_flag(arguments, "timeout") && !arguments_flag(arguments, "wait"))
        rc = error_set(&error, ERR_USAGE, "--timeout is for --wait");
    if (rc == 0)
        rc = params_read(arguments_option(arguments, "param"), &params, &error);
    if (rc == 0)
        rc = read_item(arguments_item(arguments, 0), path, &submission, &error);
    int status = rc == 0 ? submit(arguments, &submission, &error) : terminal_fail(&error);
    params_fini(&params);
    return status;
}
