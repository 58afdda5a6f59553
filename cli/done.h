/*
 * done.h - how a change that a master has made is told.
 */
#ifndef CLI_DONE_H
#define CLI_DONE_H

#include "cli/arguments.h"
#include "proto/proto.h"

/* The master's sentence; where it has none, ours: what was changed, and `otherwise` (" takes tasks
 * again"). As JSON where `-o json` was given. */
void done_print(const struct arguments *arguments, const struct msg_done *done, const char *what,
    const char *otherwise);

#endif
