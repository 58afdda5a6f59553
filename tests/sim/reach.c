/*
 * Which pairs of state and event the seeds have met.
 */
#include "common/probe.h"
#include "tests/sim/probes.h"

#include <stdio.h>

static uint32_t print_table(const struct lifecycle_table *table, enum lifecycle lifecycle)
{
    uint32_t legal = 0, met = 0;
    for (uint32_t state = 0; state < table->state_count; state++) {
        for (uint32_t event = 0; table->states[state] != NULL && event < table->event_count;
             event++) {
            if (!table->is_legal(state, event))
                continue;
            legal++;
            if (probe.reached[lifecycle][state][event] > 0)
                met++;
            else
                (void)printf("  never: %s, %s in state %s\n", table->name, table->events[event],
                    table->states[state]);
        }
    }
    (void)printf("reached: %s %u of %u pairs\n", table->name, met, legal);
    return legal - met;
}

uint32_t reach_print(void)
{
    const struct lifecycle_table tables[LIFECYCLE_COUNT] = {
        [LIFECYCLE_RUN] = reach_run(),
        [LIFECYCLE_TASK] = reach_task(),
        [LIFECYCLE_ATTEMPT] = reach_attempt(),
        [LIFECYCLE_WORKER] = reach_worker(),
        [LIFECYCLE_HELD] = reach_held(),
        [LIFECYCLE_RUNNER] = reach_runner(),
    };
    uint32_t left = 0;
    for (uint32_t i = 0; i < LIFECYCLE_COUNT; i++)
        left += print_table(&tables[i], (enum lifecycle)i);
    return left;
}
