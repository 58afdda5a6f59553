#include "cli/waiting.h"

#include "cli/command.h"
#include "cli/document.h"
#include "cli/follow.h"
#include "cli/selector.h"
#include "cli/terminal.h"
#include "common/clock.h"

#include <stdio.h>

int waiting_for_run(
    struct client *client, const char *run, bool own, const struct arguments *arguments)
{
    const struct option_value *timeout = arguments_option(arguments, "timeout");
    uint64_t until = timeout->given ? clock_boot_ms() + timeout->number : UINT64_MAX;
    struct error error = {0};
    int rc = client_catch_signals(client, &error);
    if (rc != 0)
        return terminal_fail(&error);
    struct follow *follow = follow_create(client, run, own, document_wanted(arguments));
    int status;
    rc = follow_wait(follow, until, &error);
    if (rc == 0) {
        char hint[SELECTOR_RUN_MAX + 40];
        (void)snprintf(hint, sizeof hint, "see `reeve logs %s --failed`", run);
        status = follow_conclude(follow, hint);
    } else {
        follow_hide(follow);
        status = rc == CLIENT_INTERRUPTED ? STATUS_SIGNAL + client_take_signal(client)
                                          : terminal_fail(&error);
        if (rc == CLIENT_INTERRUPTED || rc == ERR_TIMEOUT)
            terminal_say("%s goes on; come back with `reeve wait %s`", run, run);
    }
    follow_destroy(follow);
    return status;
}
