/*
 * help.h - the help, from the table of commands. Pure.
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli/command.h"
#include "common/buffer.h"

void help_overview(struct buffer *out);
void help_command(const struct command *command, struct buffer *out);
/* The part of docs/cli.md that lists the commands: a test compares. */
void help_markdown(struct buffer *out);

#endif
