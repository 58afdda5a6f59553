/*
 * connection_test.h - `reeve connections test NAME`: a run of one task, on a worker, that opens the
 * connection by reeve-op-probe and says what it reached.
 */
#ifndef CLI_CONNECTION_TEST_H
#define CLI_CONNECTION_TEST_H

#include "cli/arguments.h"

/* Returns the exit status: 0 reached, 1 not. */
int connection_test(const struct arguments *arguments, const char *name);

#endif
