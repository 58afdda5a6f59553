/* reeve wait: stays with a run until it ends. */
#include "cli/command.h"
#include "cli/document.h"
#include "cli/selector.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "cli/waiting.h"

#include <stdio.h>

/* The run's name with its number: what is waited for does not change when a newer run comes. */
static int resolve(
    struct client *client, const char *item, char run[SELECTOR_RUN_MAX], struct error *error)
{
    struct selector selector;
    const struct msg_run_info *info;
    int rc = selector_parse(item, SELECTOR_READS, &selector, error);
    if (rc == 0)
        rc = session_read_head(client, selector.run, &info, error);
    if (rc == 0)
        (void)snprintf(run, SELECTOR_RUN_MAX, "%.*s", SLICE_PRINT(info->run));
    return rc;
}

int cmd_wait(const struct arguments *arguments)
{
    struct error error = {0};
    char run[SELECTOR_RUN_MAX];
    struct client *client = session_open(arguments, &error);
    if (client == NULL)
        return terminal_fail(&error);
    int status;
    if (resolve(client, arguments_item(arguments, 0), run, &error) != 0)
        status = terminal_fail(&error);
    else
        status = waiting_for_run(client, run, false, arguments);
    session_close(client);
    return status;
}
