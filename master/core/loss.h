/*
 * loss.h - what the loss of an attempt means for its task. A part of state.h, which includes it;
 * nobody else needs to.
 */
#ifndef MASTER_CORE_LOSS_H
#define MASTER_CORE_LOSS_H

#include "master/core/state.h"

enum loss { LOSS_RERUN, LOSS_FAIL, LOSS_HOLD, LOSS_TOO_MANY };
/* What a loss for this reason means, when the task has lost so many workers with it. */
enum loss loss_verdict(const struct run *run, uint32_t task, enum reason reason, uint32_t losses);
/* Whether a loss for this reason is the loss of a worker. */
bool loss_counts(enum reason reason);
void loss_count(struct task *task, enum reason reason);
/* Moves the task on; the attempt is over, and was counted. */
void loss_decide(
    struct core *core, struct run *run, uint32_t task, enum reason reason, struct slice error);

#endif
