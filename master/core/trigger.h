/*
 * trigger.h - what a trigger rule says of how a task's predecessors ended. Pure.
 */
#ifndef MASTER_CORE_TRIGGER_H
#define MASTER_CORE_TRIGGER_H

#include "common/dag/plan.h"

enum verdict { VERDICT_WAIT, VERDICT_READY, VERDICT_SKIP, VERDICT_UPSTREAM_FAILED };
struct upstream_counts {
    uint32_t total, success, failed, skipped, upstream_failed;
};
/* Pure: what a trigger rule says of these counts. */
enum verdict trigger_verdict(enum trigger_rule rule, const struct upstream_counts *counts);

#endif
