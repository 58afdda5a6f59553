/*
 * The invariants of the agent's memory, walked after each step in test builds.
 */
#include "worker/core/state.h"

#include <stdio.h>
#include <stdlib.h>

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    (void)fprintf(stderr, "agent_check: %s\n", what);
    abort();
}

void agent_check(const struct agent *agent)
{
    uint32_t counts[HELD_STATE_COUNT] = {0};
    const struct held *before = NULL;
    size_t total = 0;
    for (const struct held *held = agent->first; held != NULL; held = held->next, total++) {
        counts[held->state]++;
        must(held->previous == before, "the attempts are linked");
        must(held_find(agent, &held->id) == held, "each attempt is found by its id");
        must(
            (held->result.ptr != NULL) == (held->state == HELD_SAVING || held->state == HELD_ENDED),
            "an attempt has a result from its collecting's end on");
        before = held;
    }
    must(agent->last == before && agent->held.count == total, "the list and the table agree");
    must(memcmp(counts, agent->counts, sizeof counts) == 0, "the attempts are counted by state");
}
