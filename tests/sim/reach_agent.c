/*
 * The table of the agent's core.
 */
#include "tests/sim/probes.h"
#include "worker/core/state.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *const states[] = {
    [HELD_PREPARING] = "preparing",
    [HELD_PREPARED] = "prepared",
    [HELD_QUEUED] = "queued",
    [HELD_RUNNING] = "running",
    [HELD_COLLECTING] = "collecting",
    [HELD_SAVING] = "saving",
    [HELD_ENDED] = "ended",
};
static const char *const events[] = {
    "prepared", "failed", "start", "started", "exited", "collected", "saved", "discard", "settled"};
static_assert(COUNT(events) == HELD_EVENT_COUNT, "each event has a name");

static bool is_legal(uint32_t state, uint32_t event)
{
    return held_next_state(state, (enum held_event)event) != 0;
}

struct lifecycle_table reach_held(void)
{
    return (struct lifecycle_table){
        "held", states, COUNT(states), events, HELD_EVENT_COUNT, is_legal};
}
