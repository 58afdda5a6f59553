/*
 * The table of the runner's core.
 */
#include "tests/sim/probes.h"
#include "worker/runner/attempt.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *const states[] = {
    [LIFE_ABSENT] = "absent",
    [LIFE_QUEUED] = "queued",
    [LIFE_STARTING] = "starting",
    [LIFE_RUNNING] = "running",
    [LIFE_TERMINATING] = "terminating",
    [LIFE_KILLING] = "killing",
    [LIFE_CLEARING] = "clearing",
    [LIFE_OVER] = "over",
};
static const char *const events[] = {"start", "refuse", "turn", "take back", "spawned", "failed",
    "ask", "force", "exited", "empty", "forget"};
static_assert(COUNT(events) == INPUT_COUNT, "each event has a name");

/* Only an agent that says a start again when its lease is over, or forgets what has no end, could
 * cause these; test_runner_core says them. */
static bool is_foreign(uint32_t state, uint32_t event)
{
    return state == LIFE_QUEUED && (event == INPUT_REFUSE || event == INPUT_FORGET);
}

static bool is_legal(uint32_t state, uint32_t event)
{
    return !is_foreign(state, event) && !attempt_is_illegal((enum life)state, (enum input)event);
}

struct lifecycle_table reach_runner(void)
{
    return (struct lifecycle_table){"runner", states, COUNT(states), events, INPUT_COUNT, is_legal};
}
