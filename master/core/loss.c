/*
 * What a lost attempt means for its task: on_lost, and how many workers a task may lose. Counted
 * when the attempt's row says lost, so that a restart counts the same. docs/dag-file.md: on_lost.
 */
#include "master/core/state.h"

#include "common/probe.h"

#include <stdio.h>

enum { TEXT_MAX = 64 };

/* What never started lost nobody, and a worker that a person stopped was not lost by the task. */
bool loss_counts(enum reason reason)
{
    return reason != REASON_NOT_STARTED && reason != REASON_WORKER_STOPPED;
}

void loss_count(struct task *task, enum reason reason)
{
    if (loss_counts(reason) && !MUTANT(LOSSES_UNCOUNTED) && task->losses < PLAN_MAX_LOSSES)
        task->losses++;
}

enum loss loss_verdict(const struct run *run, uint32_t index, enum reason reason, uint32_t losses)
{
    const struct plan_task *plan = run_plan_task(run, index);
    if (reason == REASON_NOT_STARTED || MUTANT(ON_LOST_IGNORED))
        return LOSS_RERUN;
    if (plan->on_lost == ON_LOST_FAIL)
        return LOSS_FAIL;
    if (plan->on_lost == ON_LOST_HOLD)
        return LOSS_HOLD;
    return plan->max_losses > 0 && losses >= plan->max_losses ? LOSS_TOO_MANY : LOSS_RERUN;
}

void loss_decide(
    struct core *core, struct run *run, uint32_t index, enum reason reason, struct slice error)
{
    uint32_t losses = run->tasks[index].losses;
    char text[TEXT_MAX];
    switch (loss_verdict(run, index, reason, losses)) {
    case LOSS_RERUN:
        task_move(core, run, index, TASK_EVENT_BACK, reason);
        task_show(core, run, index, error);
        break;
    case LOSS_HOLD:
        task_move(core, run, index, TASK_EVENT_HOLD, reason);
        task_show(core, run, index, error);
        break;
    case LOSS_FAIL:
        task_end(core, run, index, TASK_EVENT_FAIL, (struct cause){reason, error});
        break;
    case LOSS_TOO_MANY:
        (void)snprintf(text, sizeof text, "lost %u worker%s", losses, losses == 1 ? "" : "s");
        task_end(
            core, run, index, TASK_EVENT_FAIL, (struct cause){REASON_QUARANTINED, slice_of(text)});
        break;
    }
}
