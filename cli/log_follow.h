/*
 * log_follow.h - the logs of a run, or of one task, as they come, until the run or the task has
 * ended. Several attempts that run side by side are read side by side; their lines come whole.
 */
#ifndef CLI_LOG_FOLLOW_H
#define CLI_LOG_FOLLOW_H

#include "cli/log_print.h"

/* 0 at the end; CLIENT_INTERRUPTED after a signal; or an error. The client is patient from now on.
 */
int log_follow(struct client *client, const struct log_job *job, const struct log_wish *wish,
    struct error *error);

#endif
