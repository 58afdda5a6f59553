/*
 * attempt.h - one attempt: what earlier ones left is settled, spark-submit is run, and in cluster
 * mode on a standalone cluster its driver is followed to its end.
 */
#ifndef OPERATORS_SPARK_ATTEMPT_H
#define OPERATORS_SPARK_ATTEMPT_H

#include "operators/spark/child.h"

/* Zero-initialised but for link and task. */
struct attempt {
    struct operator_link *link;
    const struct operator_task *task;
    struct job job;
    struct child *child;
    struct scan scan;
    bool noted_application, noted_driver, noted_pod;
    uint64_t progress_ms;
    bool served; /* tasks of it have ended: the cluster has taken it */
    bool final;  /* another try would not help */
};

/* 0: success. ERR_AGAIN: stopped by a signal, and nothing of it runs. */
int attempt_do(struct attempt *attempt, struct error *error);
void attempt_fini(struct attempt *attempt);

/* A line in the log. */
void say(const char *text);

#endif
