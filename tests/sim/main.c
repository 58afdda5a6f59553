/*
 * reeve_sim --first SEED --seeds N [--story]: plays N seeds; ends with 1 at the first violation. At
 * the end it tells which pairs of the lifecycles' tables the seeds have met; --all-reached makes it
 * fail when a legal one is missing. --mutant NAME breaks one guard of the cores.
 */
#include "common/memory.h"
#include "tests/sim/probes.h"
#include "tests/sim/world.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    GOOD_MS = 3600000, /* then everything must have ended after so long */
    HAPPENINGS_MAX = 50000000,
    CLOCK_DRIFT_MAX = 75, /* in a thousand: below the 8% that DESIGN.md bears */
};

static void create(struct world *world, uint64_t seed, bool story, const struct scale *scale)
{
    *world =
        (struct world){.seed = seed, .scale = *scale, .now_ms = WORLD_START_MS, .story = story};
    dice_throw(world);
    world->checker = checker_create();
    faults_draw(world);
    world->host_count =
        scale->full ? scale->hosts : 1 + draw_below(world, DICE_WORLD, scale->hosts);
    clients_start(world);
    master_start(world);
    for (uint32_t i = 0; i < world->host_count; i++) {
        struct host *host = &world->hosts[i];
        host->key[0] = (unsigned char)(i + 1);
        host->boot[0] = (unsigned char)(i + 1);
        host->clock_ms = 1 + draw_below(world, DICE_WORLD, 100000000);
        host->clock_rate = 1000;
        if (draw_percent(world, DICE_WORLD, 50))
            host->clock_rate +=
                draw_below(world, DICE_WORLD, 2 * CLOCK_DRIFT_MAX + 1) - CLOCK_DRIFT_MAX;
        host->like = i;
        host_start(world, i);
    }
    faults_begin(world);
    questions_begin(world);
    joins_begin(world);
}

static void destroy(struct world *world)
{
    master_fini(world);
    hosts_fini(world);
    for (size_t i = 0; i < world->heap_count; i++)
        free(world->heap[i].bytes);
    free(world->heap);
    checker_destroy(world->checker);
    workload_fini(world);
}

/* Plays one seed and returns its trace hash. */
static uint64_t play(struct world *world, uint64_t seed, bool story, const struct scale *scale)
{
    struct happening happening;
    create(world, seed, story, scale);
    uint64_t last_ms = world->now_ms + FAULTS_MAX_MS + GOOD_MS;
    for (uint64_t i = 0; world_next(world, &happening); i++) {
        happening.happen(world, &happening);
        free(happening.bytes);
        if (!world_is_bad(world) && checker_all_ended(world))
            break;
        if (world->now_ms > last_ms || i > HAPPENINGS_MAX)
            break;
    }
    checker_finish(world);
    uint64_t hash = world->hash;
    destroy(world);
    return hash;
}

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
    bool story, all_reached, list, large;
};

static const struct scale scales[] = {
    {.hosts = 4, .slots = 3, .runs = 4, .tasks = 16},
    {.hosts = 200, .slots = 4, .runs = 5, .tasks = 1000, .full = true},
};

static const char usage[] = "usage: reeve_sim [--first SEED] [--seeds N] [--large] [--story] "
                            "[--all-reached] [--mutant NAME]\n"
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
    return slice_is(word, "--first") || slice_is(word, "--seeds") || slice_is(word, "--mutant");
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
    if (options.list)
        return list_mutants();
    static struct world world;
    uint64_t hash = 0;
    (void)signal(SIGABRT, say_seed);
    json_object_seed(1);
    for (uint64_t i = 0; i < options.seeds; i++) {
        begin_seed(options.first + i);
        hash = hash * 31 + play(&world, options.first + i, options.story, &scales[options.large]);
    }
    uint32_t left = options.seeds > 1 ? reach_print() : 0;
    (void)printf("%llu seeds from %llu: no violation, trace %016llx\n",
        (unsigned long long)options.seeds, (unsigned long long)options.first,
        (unsigned long long)hash);
    return options.all_reached && left > 0;
}
