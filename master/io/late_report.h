/*
 * late_report.h - what was said too late of an attempt's end is said once more where a person
 * looks: in the audit log, and in the master's own when the attempt ran beside a later one. On the
 * loop's thread; whether it did is known when core and rows agree.
 */
#ifndef MASTER_IO_LATE_REPORT_H
#define MASTER_IO_LATE_REPORT_H

#include "master/io/state.h"

/* A batch is on disk: remembers what it has of the kind. */
void late_report_batch(struct master *master, const struct effects *effects);
/* True while there is something to report and it can be. */
bool late_report_waits(const struct master *master);
/* While the pipeline is settled. */
void late_report(struct master *master);

#endif
