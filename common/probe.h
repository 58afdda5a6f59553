/*
 * probe.h - two hooks in the cores for their simulator, and nothing at all in every other build:
 *
 *     if (MUTANT(SESSION_IGNORED) || …)     a guard that can be broken on purpose
 *     REACHED(TASK, state, event)           this pair of a lifecycle's table was met
 *
 * mutants.def names the guards. One is broken at a time, chosen at run time: that the simulator
 * then finds a violation shows that it can. Only tests/sim defines REEVE_PROBES.
 */
#ifndef COMMON_PROBE_H
#define COMMON_PROBE_H

#include <stdbool.h>

#ifdef REEVE_PROBES

#include <stdint.h>

enum mutant {
    MUTANT_NONE,
#define MUTANT_ENTRY(name, says) MUTANT_##name,
#include "common/mutants.def"
#undef MUTANT_ENTRY
    MUTANT_COUNT
};

/* The lifecycles that are tables: state x event. */
enum lifecycle {
    LIFECYCLE_RUN,
    LIFECYCLE_TASK,
    LIFECYCLE_ATTEMPT,
    LIFECYCLE_WORKER,
    LIFECYCLE_HELD,   /* an attempt, as its agent knows it */
    LIFECYCLE_RUNNER, /* and as its runner does */
    LIFECYCLE_COUNT
};

enum { PROBE_STATES = 16, PROBE_EVENTS = 32 };

struct probe {
    enum mutant mutant;
    uint64_t reached[LIFECYCLE_COUNT][PROBE_STATES][PROBE_EVENTS];
};
extern struct probe probe;

#define MUTANT(name) (probe.mutant == MUTANT_##name)
#define REACHED(lifecycle, state, event)                                                           \
    ((void)probe.reached[LIFECYCLE_##lifecycle][(state)][(event)]++)

#else

#define MUTANT(name)                     false
#define REACHED(lifecycle, state, event) ((void)0)

#endif

#endif
