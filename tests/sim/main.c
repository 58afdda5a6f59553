/*
 * reeve_sim --first SEED --seeds N [--story]: plays N seeds; ends with 1 at the first violation.
 */
#include "common/memory.h"
#include "tests/sim/world.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    GOOD_MS = 3600000, /* then everything must have ended after so long */
    HAPPENINGS_MAX = 5000000,
    CLOCK_DRIFT_MAX = 75, /* in a thousand: below the 8% that DESIGN.md bears */
};

static void create(struct world *world, uint64_t seed, bool story)
{
    *world = (struct world){.seed = seed,
        .random = seed * 0x9e3779b97f4a7c15u,
        .now_ms = WORLD_START_MS,
        .story = story};
    world->checker = checker_create();
    faults_draw(world);
    world->host_count = 1 + draw_below(world, HOSTS_MAX);
    clients_start(world);
    master_start(world);
    for (uint32_t i = 0; i < world->host_count; i++) {
        struct host *host = &world->hosts[i];
        host->key[0] = (unsigned char)(i + 1);
        host->boot[0] = (unsigned char)(i + 1);
        host->clock_ms = 1 + draw_below(world, 100000000);
        host->clock_rate = 1000;
        if (draw_percent(world, 50))
            host->clock_rate += draw_below(world, 2 * CLOCK_DRIFT_MAX + 1) - CLOCK_DRIFT_MAX;
        host->like = i;
        host_start(world, i);
    }
    faults_begin(world);
    joins_begin(world);
}

static void destroy(struct world *world)
{
    master_fini(world);
    hosts_fini(world);
    for (size_t i = 0; i < world->heap_count; i++)
        free(world->heap[i].bytes);
    free(world->heap);
    for (uint32_t i = 0; i < world->run_count; i++)
        free(world->runs[i].plan_bytes);
    checker_destroy(world->checker);
}

/* Plays one seed and returns its trace hash. */
static uint64_t play(struct world *world, uint64_t seed, bool story)
{
    struct happening happening;
    create(world, seed, story);
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

int main(int argc, char **argv)
{
    uint64_t first = 1, seeds = 1, hash = 0;
    bool story = false;
    for (int i = 1; i < argc; i++) {
        struct slice word = slice_of(argv[i]);
        if (slice_is(word, "--story"))
            story = true;
        else if (slice_is(word, "--first") && i + 1 < argc)
            first = strtoull(argv[++i], NULL, 10);
        else if (slice_is(word, "--seeds") && i + 1 < argc)
            seeds = strtoull(argv[++i], NULL, 10);
        else
            return (void)fprintf(stderr, "usage: reeve_sim --first SEED --seeds N [--story]\n"), 2;
    }
    static struct world world;
    json_object_seed(1);
    for (uint64_t i = 0; i < seeds; i++)
        hash = hash * 31 + play(&world, first + i, story);
    (void)printf("%llu seeds from %llu: no violation, trace %016llx\n", (unsigned long long)seeds,
        (unsigned long long)first, (unsigned long long)hash);
    return 0;
}
