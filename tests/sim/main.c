/*
 * reeve_sim --first SEED --seeds N [--story]: plays N seeds; ends with 1 at the first violation. At
 * the end it tells which pairs of the lifecycles' tables the seeds have met; --all-reached makes it
 * fail when a legal one is missing. --mutant NAME breaks one guard of the cores. --shrink leaves
 * out of a failing seed's story what it does not need, and tells the rest.
 */
#include "common/memory.h"
#include "tests/sim/probes.h"
#include "tests/sim/world.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A core that aborts has found something too: its seed is worth as much as a violation's. */
static char abort_text[80];
static void say_seed(int signal_number)
{
    (void)!write(STDERR_FILENO, abort_text, sizeof abort_text);
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

static void begin_seed(uint64_t seed)
{
    (void)snprintf(abort_text, sizeof abort_text, "ABORTED\n  replay: tests/sim/replay %llu\n",
        (unsigned long long)seed);
}

struct options {
    uint64_t first, seeds;
    bool story, all_reached, list, large, shrink;
    struct left_out left_out;
};

static const struct scale scales[] = {
    {.hosts = 4, .slots = 3, .runs = 4, .tasks = 16},
    {.hosts = 200, .slots = 4, .runs = 5, .tasks = 1000, .full = true},
};

static const char usage[] = "usage: reeve_sim [--first SEED] [--seeds N] [--large] [--story] "
                            "[--all-reached] [--mutant NAME]\n"
                            "                 [--without ITEMS]\n"
                            "       reeve_sim --shrink SEED [--large] [--mutant NAME]\n"
                            "       reeve_sim --mutants\n";

static bool take_option(struct options *options, struct slice word, const char *value)
{
    if (slice_is(word, "--story"))
        options->story = true;
    else if (slice_is(word, "--all-reached"))
        options->all_reached = true;
    else if (slice_is(word, "--large"))
        options->large = true;
    else if (slice_is(word, "--mutants"))
        options->list = true;
    else if (slice_is(word, "--shrink") && value != NULL)
        options->shrink = (options->first = strtoull(value, NULL, 10)) > 0;
    else if (slice_is(word, "--without") && value != NULL)
        return left_out_read(&options->left_out, value);
    else if (slice_is(word, "--first") && value != NULL)
        options->first = strtoull(value, NULL, 10);
    else if (slice_is(word, "--seeds") && value != NULL)
        options->seeds = strtoull(value, NULL, 10);
    else
        return slice_is(word, "--mutant") && value != NULL && mutant_choose(slice_of(value));
    return true;
}

static bool takes_value(struct slice word)
{
    return slice_is(word, "--first") || slice_is(word, "--seeds") || slice_is(word, "--mutant") ||
           slice_is(word, "--shrink") || slice_is(word, "--without");
}

static int list_mutants(void)
{
    const char *says = NULL, *name = NULL;
    for (uint32_t i = 1; (name = mutant_name(i, &says)) != NULL; i++)
        (void)printf("%s\t%s\n", name, says);
    return 0;
}

int main(int argc, char **argv)
{
    struct options options = {.first = 1, .seeds = 1};
    for (int i = 1; i < argc; i++) {
        struct slice word = slice_of(argv[i]);
        const char *value = takes_value(word) && i + 1 < argc ? argv[++i] : NULL;
        if (!take_option(&options, word, value))
            return (void)fputs(usage, stderr), 2;
    }
    const struct scale *scale = &scales[options.large];
    json_object_seed(1);
    if (options.list)
        return list_mutants();
    if (options.shrink)
        return shrink_seed(options.first, scale);
    static struct world world;
    uint64_t hash = 0;
    (void)signal(SIGABRT, say_seed);
    for (uint64_t i = 0; i < options.seeds; i++) {
        begin_seed(options.first + i);
        struct play play = {.seed = options.first + i,
            .scale = scale,
            .story = options.story,
            .left_out = options.left_out.items,
            .left_out_count = options.left_out.count};
        hash = hash * 31 + play_seed(&world, &play);
    }
    uint32_t left = options.seeds > 1 ? reach_print() : 0;
    (void)printf("%llu seeds from %llu: no violation, trace %016llx\n",
        (unsigned long long)options.seeds, (unsigned long long)options.first,
        (unsigned long long)hash);
    return options.all_reached && left > 0;
}
