/*
 * program.h - becomes a program, and says in one line why it could not. Runs in the child of a
 * vfork: no allocation, no state of its own.
 */
#ifndef WORKER_RUNNER_PROGRAM_H
#define WORKER_RUNNER_PROGRAM_H

#include "worker/runner/spawn.h"

#include <limits.h>

/* Returns only when it failed. A name without '/' is looked for in the PATH of `env`. */
void program_become(char *const *arguments, char *const *env, struct spawn_failure *ret_failure);

/* The interpreter that a script's first line names, or "" when it names none or cannot be read. */
void program_interpreter(const char *path, char interpreter[PATH_MAX]);

#endif
