/*
 * log_print.h - one attempt's log from the master to a stream, as far as it goes now. At constant
 * memory.
 */
#ifndef CLI_LOG_PRINT_H
#define CLI_LOG_PRINT_H

#include "cli/client.h"
#include "cli/log_choice.h"

#include <stdio.h>

enum { LOG_READ_BYTES = 256 * 1024 };

struct log_job {
    const char *run;
    struct log_style style;
    uint64_t tail; /* lines; 0: all */
    FILE *stream;
    bool attempts;    /* labels carry the attempt */
    bool ends_untold; /* log_follow: how attempts ended is told by somebody else */
    /* log_follow: takes what is printed in the stream's place; NULL: the stream does. */
    void (*write)(void *context, struct slice text);
    void *context;
    bool wait; /* log_print stays until the log is whole, or nothing more came for 10 s */
};

/* 0, or the error of the reading. A log that nothing has come of is none. */
int log_print(struct client *client, const struct log_job *job, const struct log_choice *choice,
    struct error *error);
/*
 * An attempt's end reaches the master before the last of its log: waits until that log is whole,
 * for 10 s at most. *ret_whole is false when the rest did not come (its worker is away).
 */
int log_await(
    struct client *client, const struct log_choice *choice, bool *ret_whole, struct error *error);
/* How the attempt ended, on stderr. */
void log_print_end(const struct log_job *job, const struct log_choice *choice);
/* What stands before the lines of a task; the caller frees. */
char *log_label(const struct log_job *job, const struct log_choice *choice);
/* Says that the log's limit cut bytes out. */
void log_say_skipped(const struct log_job *job, const struct log_choice *choice, uint64_t bytes);
/* Says that the master has removed the log. */
/* All of its data. */
void log_say_damaged(
    const struct log_job *job, const struct log_choice *choice, const struct msg_log_data *data);
void log_say_expired(const struct log_job *job, const struct log_choice *choice);

#endif
