#include "cli/connection_test.h"

#include "cli/bundle_send.h"
#include "cli/command.h"
#include "cli/document.h"
#include "cli/follow.h"
#include "cli/printable.h"
#include "cli/session.h"
#include "cli/submission.h"
#include "cli/terminal.h"
#include "common/clock.h"
#include "common/connection/connection.h"
#include "common/file.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { TEST_TIMEOUT_MS = 60000 };

static const char dag_name[] = "reeve_connection_test";

struct test {
    const char *name, *queue; /* queue: or NULL */
    char folder[64];
    char path[PATH_MAX];
    char run[SELECTOR_RUN_MAX];
    struct dag_file file;
    struct bundle_sent sent;
    bool reached;
};

/* JSON is YAML, and quotes whatever the name is. */
static int write_dag(struct test *test, struct error *error)
{
    (void)snprintf(test->folder, sizeof test->folder, "/tmp/reeve-test-XXXXXX");
    if (mkdtemp(test->folder) == NULL)
        return error_set_errno(error, ERR_IO, errno, "%s", test->folder);
    char *path = test->path;
    (void)snprintf(path, sizeof test->path, "%s/%s.yaml", test->folder, dag_name);
    json_t *dag = json_pack("{s:s, s:[], s:{s:{s:s, s:s, s:s, s:i}}}", "dag", dag_name, "files",
        "tasks", "test", "operator", "probe", "connection", test->name, "execution_timeout", "30s",
        "retries", 0);
    if (test->queue != NULL)
        (void)json_object_set_new(json_object_get(json_object_get(dag, "tasks"), "test"), "queue",
            json_string(test->queue));
    char *text = json_dumps(dag, 0);
    int rc = text != NULL ? file_replace(path, slice_of(text), 0644, error)
                          : error_set(error, ERR_USAGE, "the connection's name is no UTF-8");
    free(text);
    json_decref(dag);
    return rc;
}

static int submit(struct client *client, struct test *test, struct error *error)
{
    struct params params = {0};
    struct submission submission = {.params = &params, .file = test->path};
    int rc = dag_file_compile(test->path, &test->file, error);
    if (rc != 0)
        dag_file_print(&test->file, test->path, stderr);
    if (rc == 0 && client_joined(client) != NULL) {
        rc = bundle_send(client, test->path, &test->file, &test->sent, error);
        submission.file = test->sent.file;
        submission.bundle = slice_make(test->sent.manifest.bytes, HASH_BYTES);
    }
    return rc == 0 ? submission_send(client, &submission, test->run, NULL, error) : rc;
}

static void print_reached(const struct test *test, const struct attempt_info *attempt)
{
    json_t *outputs = json_loadb(
        attempt->outputs.ptr != NULL ? attempt->outputs.ptr : "", attempt->outputs.length, 0, NULL);
    const char *reached = json_string_value(json_object_get(outputs, "reached"));
    struct buffer line = {0};
    buffer_printf(&line, "%s: ", test->name);
    printable_line(slice_of(reached != NULL ? reached : "reached"), &line);
    buffer_printf(&line, ", from %.*s", SLICE_PRINT(attempt->worker));
    (void)puts(buffer_text(&line));
    buffer_fini(&line);
    json_decref(outputs);
}

static int show_page(
    void *context, const struct msg_run_info *page, uint32_t before, struct error *error)
{
    struct test *test = context;
    (void)before;
    if (page->tasks.count == 0)
        return 0;
    const struct task_info *task = &page->tasks.items[0];
    const struct attempt_info *last =
        task->attempts.count > 0 ? &task->attempts.items[task->attempts.count - 1] : NULL;
    test->reached = task->state == TASK_SUCCESS && last != NULL;
    if (test->reached)
        print_reached(test, last);
    else if (last != NULL)
        (void)error_set(error, ERR_IO, "%s, from %.*s: %.*s", test->name, SLICE_PRINT(last->worker),
            SLICE_PRINT(task->error));
    else
        return error_set(error, task->reason == REASON_CONNECTION ? ERR_NOT_FOUND : ERR_IO,
            "%s: %.*s", test->name, SLICE_PRINT(task->error));
    return test->reached ? 0 : ERR_IO;
}

static int wait_for_it(struct client *client, const struct arguments *arguments, struct test *test,
    struct error *error)
{
    const struct option_value *timeout = arguments_option(arguments, "timeout");
    uint64_t span = timeout->given ? timeout->number : TEST_TIMEOUT_MS;
    int rc = client_catch_signals(client, error);
    if (rc != 0)
        return rc;
    struct follow *follow = follow_create(client, test->run, true, false);
    rc = follow_wait(follow, clock_boot_ms() + span, error);
    follow_destroy(follow);
    if (rc == ERR_TIMEOUT)
        return error_set(error, ERR_TIMEOUT,
            "%s is not over; `reeve explain %s` says what it waits for, `reeve cancel %s` ends it",
            test->run, test->run, test->run);
    if (rc == CLIENT_INTERRUPTED)
        terminal_say("the test goes on as %s; `reeve cancel %s` ends it", test->run, test->run);
    return rc == 0 ? session_read_run(client, test->run, "", show_page, test, error) : rc;
}

int connection_test(const struct arguments *arguments, const char *name)
{
    struct error error = {0};
    struct test test = {.name = name, .queue = arguments_text(arguments, "queue")};
    int rc = connection_check_name(slice_of(name), &error);
    struct client *client = rc == 0 ? session_open(arguments, &error) : NULL;
    if (client == NULL)
        return terminal_fail(&error);
    rc = write_dag(&test, &error);
    if (rc == 0)
        rc = submit(client, &test, &error);
    if (rc == 0)
        rc = wait_for_it(client, arguments, &test, &error);
    int status = STATUS_OK;
    if (rc == CLIENT_INTERRUPTED)
        status = STATUS_SIGNAL + client_take_signal(client);
    else if (rc != 0)
        status = terminal_fail(&error);
    session_close(client);
    dag_file_fini(&test.file);
    if (test.folder[0] != '\0')
        (void)file_remove_tree(test.folder, NULL);
    return status;
}
