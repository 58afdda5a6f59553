/*
 * scan.h - what spark-submit's output says: the ids of what it started, the driver's web page, and
 * the line that matters when it fails. Pure.
 */
#ifndef OPERATORS_SPARK_SCAN_H
#define OPERATORS_SPARK_SCAN_H

#include "common/slice.h"

#include <stdbool.h>

enum { SCAN_LINE_MAX_BYTES = 16 * 1024 };

/* Zero-initialised knows nothing; texts are "" until they were seen. */
struct scan {
    char application[80]; /* app-20261121030002-0003, application_1700000000000_0001, local-17… */
    char driver[80];      /* of a standalone cluster: driver-20261121030002-0001 */
    char pod[254];        /* of Kubernetes */
    char ui[280];         /* http://driver.example.com:4040 */
    char error[600];      /* the last exception's line */
    char last[600];       /* the last line that is not empty */
    bool refused;         /* no master took it: what it says after that leads elsewhere */
    bool starved;         /* it is registered, and no worker has taken anything of it */
    char line[SCAN_LINE_MAX_BYTES];
    size_t length; /* of the line that has not ended; its rest is left out */
};

/* More of the output, cut anywhere. True when an id or the page became known. */
bool scan_take(struct scan *scan, struct slice bytes);
/* The reason of a failure in one line, "" when nothing was said. */
const char *scan_reason(const struct scan *scan);

#endif
