/*
 * command.h - the table of commands: what `reeve` knows, reads, and shows as help. A command is a
 * row in command.c and a file of commands/.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "cli/arguments.h"

#include <stddef.h>

/* Exit statuses that stand for no error (docs/cli.md). The others are error_exit_status's. */
enum {
    STATUS_OK = 0,
    STATUS_RUN_FAILED = 1,
    STATUS_SIGNAL = 128, /* plus the signal's number: 130 for Ctrl-C */
};

struct command {
    const char *name;
    const char *usage;   /* what follows the name: "RUN[/TASK]" */
    const char *summary; /* one line */
    const char *details; /* paragraphs, or NULL */
    const struct option_row *options;
    size_t least, most; /* how many arguments it takes */
    /* Returns the exit status. NULL: known, and refused in this version. */
    int (*run)(const struct arguments *arguments);
};

/* All commands in the order of the help; *ret_count of them. */
const struct command *commands(size_t *ret_count);
/* NULL when there is none. */
const struct command *command_find(const char *name);
/* ERR_USAGE with did-you-mean. */
int command_unknown(const char *name, struct error *error);

int cmd_artifacts(const struct arguments *arguments);
int cmd_audit(const struct arguments *arguments);
int cmd_cancel(const struct arguments *arguments);
int cmd_dags(const struct arguments *arguments);
int cmd_drain(const struct arguments *arguments);
int cmd_explain(const struct arguments *arguments);
int cmd_help(const struct arguments *arguments);
int cmd_join(const struct arguments *arguments);
int cmd_logs(const struct arguments *arguments);
int cmd_mark(const struct arguments *arguments);
int cmd_masters(const struct arguments *arguments);
int cmd_operators(const struct arguments *arguments);
int cmd_ping(const struct arguments *arguments);
int cmd_retry(const struct arguments *arguments);
int cmd_run(const struct arguments *arguments);
int cmd_runs(const struct arguments *arguments);
int cmd_standalone(const struct arguments *arguments);
int cmd_status(const struct arguments *arguments);
int cmd_submit(const struct arguments *arguments);
int cmd_connections(const struct arguments *arguments);
int cmd_token(const struct arguments *arguments);
int cmd_undrain(const struct arguments *arguments);
int cmd_validate(const struct arguments *arguments);
int cmd_version(const struct arguments *arguments);
int cmd_wait(const struct arguments *arguments);
int cmd_workers(const struct arguments *arguments);

#endif
