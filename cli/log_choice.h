/*
 * log_choice.h - which attempts' logs are printed, in which order.
 */
#ifndef CLI_LOG_CHOICE_H
#define CLI_LOG_CHOICE_H

#include "cli/log_lines.h"
#include "cli/selector.h"

/* One attempt and how it stands. The texts are owned. */
struct log_choice {
    struct attempt_id id;
    char *task;
    char *error;
    uint32_t state; /* ATTEMPT_… */
    uint32_t reason;
    int64_t exit_code;
    int64_t started_at, ended_at;
    uint64_t log_bytes;
};

struct log_choices {
    struct log_choice *items;
    size_t count, capacity;
};

/* What is wanted of a run. */
struct log_wish {
    struct selector selector; /* task, attempt, all */
    bool failed;              /* the last attempt of each failed task */
};

/* Adds the attempts of a task that are wished for, whose number is over `above`. */
void log_choices_add(struct log_choices *choices, const struct log_wish *wish,
    const struct msg_run_info *run, const struct task_info *task, uint32_t above);
/* A line of a task that failed without an attempt that did (its connection is not there, its values
 * do not fit, …), since no log tells of it; nothing of another one. */
void log_append_unstarted(
    const struct msg_run_info *run, const struct task_info *task, struct buffer *out);
/* By start, those that have not started last. */
void log_choices_sort(struct log_choices *choices);
void log_choices_fini(struct log_choices *choices);
void log_choice_fini(struct log_choice *choice);

bool log_choice_has_ended(const struct log_choice *choice);
/* Of a whole run, tasks that wrote nothing and succeeded are not worth a line each. */
bool log_choice_is_dull(const struct log_choice *choice, const struct log_style *style);
/* "salaries/17/load@2 failed after 12s: exited with 3" */
void log_choice_append_end(const struct log_choice *choice, const char *run, struct buffer *out);

#endif
