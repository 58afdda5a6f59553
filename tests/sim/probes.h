/*
 * probes.h - what the hooks of common/probe.h are for: guards that are broken by name, and the
 * pairs of the lifecycles' tables that the seeds have met.
 */
#ifndef SIM_PROBES_H
#define SIM_PROBES_H

#include "common/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- probe.c ---- */

/* False: there is none of this name. */
bool mutant_choose(struct slice name);
/* By number from 1; NULL past the last. */
const char *mutant_name(uint32_t mutant, const char **ret_says);

/* ---- reach.c; one file a core knows its tables, because their headers are their own ---- */

struct lifecycle_table {
    const char *name;
    const char *const *states; /* by number; NULL: none of this number */
    uint32_t state_count;
    const char *const *events;
    uint32_t event_count;
    bool (*is_legal)(uint32_t state, uint32_t event);
};

struct lifecycle_table reach_run(void);
struct lifecycle_table reach_task(void);
struct lifecycle_table reach_attempt(void);
struct lifecycle_table reach_worker(void);
struct lifecycle_table reach_held(void);
struct lifecycle_table reach_runner(void);

/* Prints how many pairs were met, and which legal ones were not; returns how many those are. */
uint32_t reach_print(void);

#endif
