/*
 * The hooks in the cores, and the names of what can be broken by them.
 */
#include "common/probe.h"

#include "tests/sim/probes.h"

struct probe probe;

static const struct {
    const char *name, *says;
} mutants[MUTANT_COUNT] = {
    {"none", ""},
#define MUTANT_ENTRY(name, says) {#name, says},
#include "common/mutants.def"
#undef MUTANT_ENTRY
};

bool mutant_choose(struct slice name)
{
    for (uint32_t i = 1; i < MUTANT_COUNT; i++) {
        if (slice_is(name, mutants[i].name))
            probe.mutant = (enum mutant)i;
    }
    return probe.mutant != MUTANT_NONE;
}

const char *mutant_name(uint32_t mutant, const char **ret_says)
{
    if (mutant >= MUTANT_COUNT)
        return NULL;
    *ret_says = mutants[mutant].says;
    return mutants[mutant].name;
}
