/*
 * doubt.h - two attempts of one idempotent task, for the core's files. A part of state.h, which
 * includes it; nobody else needs to.
 */
#ifndef MASTER_CORE_DOUBT_H
#define MASTER_CORE_DOUBT_H

#include "master/core/state.h"

/* A younger attempt of its task is live beside it. */
bool attempt_is_elder(const struct core *core, const struct attempt *attempt);
/* The other one of two, or NULL. */
struct attempt *attempt_twin(const struct core *core, const struct attempt *attempt);
/* Whether another may be assigned beside it, should nobody hear of it. */
bool attempt_may_double(const struct core *core, const struct attempt *attempt);
/* Nobody hears of it: its task is ready again. It stays, and may end the task. */
void attempt_doubt(struct core *core, struct attempt *attempt);
/* It is here after all, and nothing was assigned beside it: it is its task's only one. */
void attempt_trust(struct core *core, struct attempt *attempt);
/* The worker has just fallen silent, or is heard again. */
void attempts_weigh(struct core *core, const struct worker *worker);
/* The younger of two is over, and its end is none of the task's: the elder is alone again. */
void attempt_outlive(struct core *core, struct attempt *left);
/* The other one ended first: recorded as cancelled, and killed. */
void attempt_supersede(struct core *core, struct attempt *attempt);
/* Its task ends, or starts again, without it: one that was set aside. */
void attempt_dismiss(struct core *core, struct attempt *attempt);
/* A person wished it: the live one is told to end, and its elder. */
void attempt_cancel(struct core *core, struct attempt *attempt);

#endif
