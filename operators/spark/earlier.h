/*
 * earlier.h - what earlier attempts of the task left on the cluster: adopted, ended, or a reason
 * not to begin.
 */
#ifndef OPERATORS_SPARK_EARLIER_H
#define OPERATORS_SPARK_EARLIER_H

#include "operators/spark/job.h"

/*
 * 0 with *ret_driver "" when nothing of them runs any more; with a driver's id when that one still
 * runs, or has finished, and is this attempt's now (80 bytes). An error: something of them may run,
 * or it could not be found out.
 */
int earlier_settle(
    struct job *job, const struct operator_task *task, char ret_driver[80], struct error *error);

#endif
