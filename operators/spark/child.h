/*
 * child.h - a program of Spark's at work: what it prints goes to the task's log as it comes, and is
 * scanned on the way by a thread of its own, so that nothing that the operator waits for ever holds
 * the program up.
 */
#ifndef OPERATORS_SPARK_CHILD_H
#define OPERATORS_SPARK_CHILD_H

#include "operators/spark/job.h"
#include "operators/spark/scan.h"

struct child;

/* `env`: NAME=value beside, or in place of, what is in the environment; may be NULL. ERR_NOT_FOUND:
 * there is no such program. */
int child_start(const struct words *command, const struct words *env, struct child **ret_child,
    struct error *error);
/* Until it has ended, or said something new, or `ms` have passed, or a signal came. True when it
 * has ended and all of its output was taken. */
bool child_wait(struct child *child, int ms);
void child_signal(struct child *child, int number);
/* What it said up to now. */
void child_look(struct child *child, struct scan *ret_scan);
/* Its exit status, or 128 and the signal; only after its end. */
int child_status(const struct child *child);
/* Kills what has not ended. */
void child_free(struct child *child);

/* A whole command whose output is only for the log: its status, or a negative ERR_ code. ERR_AGAIN:
 * `ms` were not enough. */
int child_run(const struct words *command, int ms, struct error *error);

#endif
