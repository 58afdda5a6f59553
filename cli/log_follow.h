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

/*
 * The same in steps, beside something else that waits for the client's messages: take each of them,
 * and those of client_on_push; step before each wait, which ends at *ret_due (BOOT) at the latest.
 * Job and wish are borrowed.
 */
struct log_follower;

struct log_follower *log_follower_create(
    struct client *client, const struct log_job *job, const struct log_wish *wish);
void log_follower_take(struct log_follower *follower, const struct message *message);
int log_follower_step(struct log_follower *follower, uint64_t *ret_due, struct error *error);
/* The run, or the task, has ended, and its logs are whole. */
bool log_follower_is_over(const struct log_follower *follower);
void log_follower_destroy(struct log_follower *follower);

#endif
