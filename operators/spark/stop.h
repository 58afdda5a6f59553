/*
 * stop.h - SIGTERM and SIGINT: noted, and every call that blocks is interrupted from then on, again
 * and again, so that none can begin to wait just after the signal.
 */
#ifndef OPERATORS_SPARK_STOP_H
#define OPERATORS_SPARK_STOP_H

#include <stdbool.h>

void stop_init(void);
bool stop_wanted(void);

#endif
