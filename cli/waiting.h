/*
 * waiting.h - `wait RUN` and `submit --wait`: follows a run, lets go of it at Ctrl-C or when
 * --timeout is over.
 */
#ifndef CLI_WAITING_H
#define CLI_WAITING_H

#include "cli/arguments.h"
#include "cli/client.h"

/* Returns the exit status. `own`: the run was submitted just now. Takes --timeout and -o from the
 * arguments. */
int waiting_for_run(
    struct client *client, const char *run, bool own, const struct arguments *arguments);

#endif
