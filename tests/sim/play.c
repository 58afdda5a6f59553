/*
 * One seed from its beginning to its end.
 */
#include "tests/sim/checker.h"
#include "tests/sim/notes.h"

#include <stdlib.h>

enum {
    GOOD_MS = 3600000, /* so long nothing stands still that can go on */
    HAPPENINGS_MAX = 50000000,
    CLOCK_DRIFT_MAX = 75, /* in a thousand: below the 8% that leases bear */
};

/* Milliseconds that its clock makes of a true second: exact, somewhat off, or as far off as may be;
 * the last where leases run out. */
static uint32_t draw_rate(struct world *world)
{
    uint32_t dice = world->faults.quiet ? 3 : draw_below(world, DICE_WORLD, 4);
    uint32_t off = draw_below(world, DICE_WORLD, 2 * CLOCK_DRIFT_MAX + 1);
    if (dice < 2)
        return 1000;
    return dice == 2 ? 1000 - CLOCK_DRIFT_MAX + off
                     : 1000 - CLOCK_DRIFT_MAX + off % 2 * (2 * CLOCK_DRIFT_MAX);
}

static void create(struct world *world, const struct play *play)
{
    *world = (struct world){
        .seed = play->seed,
        .scale = *play->scale,
        .now_ms = WORLD_START_MS,
        .moved_ms = WORLD_START_MS + FAULTS_MAX_MS,
        .story = play->story,
        .left_out = play->left_out,
        .left_out_count = play->left_out_count,
    };
    dice_throw(world);
    world->checker = checker_create();
    faults_draw(world);
    world->host_count = world->scale.full ? world->scale.hosts
                                          : 1 + draw_below(world, DICE_WORLD, world->scale.hosts);
    clients_start(world);
    master_start(world);
    for (uint32_t i = 0; i < world->host_count; i++) {
        struct host *host = &world->hosts[i];
        host->key[0] = (unsigned char)(i + 1);
        host->boot[0] = (unsigned char)(i + 1);
        host->clock_ms = 1 + draw_below(world, DICE_WORLD, 100000000);
        host->clock_rate = draw_rate(world);
        host->like = i;
        host_start(world, i);
    }
    faults_begin(world);
    questions_begin(world);
    restore_begin(world);
    joins_begin(world);
}

static void destroy(struct world *world)
{
    master_fini(world);
    restore_fini(world);
    hosts_fini(world);
    world_forget_happenings(world);
    notes_fini(world);
    checker_destroy(world->checker);
    workload_fini(world);
}

uint64_t play_seed(struct world *world, const struct play *play)
{
    struct happening happening;
    create(world, play);
    if (play->ret_items != NULL)
        *play->ret_items = world->items;
    for (uint64_t i = 0; world_next(world, &happening); i++) {
        happening.happen(world, &happening);
        free(happening.bytes);
        if (!world_is_bad(world) && checker_all_ended(world))
            break;
        if (world->now_ms > world->moved_ms + GOOD_MS || i > HAPPENINGS_MAX)
            break;
    }
    checker_finish(world);
    uint64_t hash = world->hash;
    destroy(world);
    return hash;
}
