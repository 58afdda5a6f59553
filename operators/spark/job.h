/*
 * job.h - what a task asks of spark-submit: its options and its connection, as one command line.
 * The order of the flags is that of Airflow's operator.
 */
#ifndef OPERATORS_SPARK_JOB_H
#define OPERATORS_SPARK_JOB_H

#include "common/arena.h"
#include "common/error.h"
#include "operators/common/operator.h"

enum manager {
    MANAGER_LOCAL,
    MANAGER_STANDALONE,
    MANAGER_YARN,
    MANAGER_KUBERNETES,
    MANAGER_OTHER, /* whatever spark-defaults.conf says */
};

struct words {
    const char **items; /* NULL after the last */
    size_t count, capacity;
};

/* All texts lie in `arena` or in the task. */
struct job {
    struct arena arena;
    enum manager manager;
    bool cluster;          /* the driver runs on the cluster */
    const char *master;    /* "spark://host:7077", or NULL */
    const char *binary;    /* "spark-submit", as the child's PATH finds it */
    const char *namespace; /* of Kubernetes, or NULL */
    int rest_port, web_port;
    struct words command; /* the whole argv */
    struct words env;     /* "NAME=value" beside the operator's own environment */
};

/*
 * ERR_INVALID, ERR_NOT_FOUND: the task or its connection is written wrongly; nothing was started.
 * Zero-initialised job; job_fini in any case.
 */
int job_read(struct job *job, const struct operator_link *link, struct error *error);
void job_fini(struct job *job);

void words_add(struct words *words, const char *word);
/* The command as a person may see it, values that look secret as ******; in the arena. */
const char *job_shown(struct job *job);

#endif
