/*
 * supervise.h - the supervisor process itself. Internal to supervisor.c.
 */
#ifndef CLI_SUPERVISE_H
#define CLI_SUPERVISE_H

#include "cli/supervisor.h"

#include <limits.h>

struct supervise_programs {
    char master[PATH_MAX];
    char worker[PATH_MAX];
};

/* What is written to order_fd, a byte each. Its end is as SUPERVISE_END. */
enum { SUPERVISE_START_WORKERS = 'w', SUPERVISE_END = 's', SUPERVISE_END_NOW = 'k' };

/* Starts the master, does as it is ordered, until all has ended. Returns the process's exit status.
 */
int supervise(const struct supervisor_order *order, const struct supervise_programs *programs,
    int order_fd, int report_fd);

#endif
