/*
 * Frames between the master and the agents: lost, doubled, late and so overtaken, cut.
 */
#include "common/memory.h"
#include "tests/sim/world.h"

#include <stdlib.h>

enum { REPLAY_MAX_MS = 60000 };

static void arrive_at_master(struct world *world, const struct happening *happening)
{
    if (world->hosts[happening->host].cut_up_until <= world->now_ms)
        master_frame(world, happening->number, slice_make(happening->bytes, happening->length));
}

/* A frame of a connection that died still arrives at the next life of its host: the session must
 * refuse it. */
static void arrive_at_host(struct world *world, const struct happening *happening)
{
    if (world->hosts[happening->host].cut_down_until <= world->now_ms)
        host_frame(world, happening->host, slice_make(happening->bytes, happening->length));
}

static uint64_t travel_ms(struct world *world)
{
    if (world_is_bad(world) && draw_percent(world, DICE_NETWORK, world->faults.late_percent))
        return draw_below(world, DICE_NETWORK, world->faults.late_ms + 1);
    return draw_below(world, DICE_NETWORK, 4);
}

/* A frame that comes twice may come again when all that it belonged to is over. */
static uint64_t replay_ms(struct world *world)
{
    return draw_percent(world, DICE_NETWORK, 30) ? draw_below(world, DICE_NETWORK, REPLAY_MAX_MS)
                                                 : travel_ms(world);
}

static void post(
    struct world *world, uint32_t host, uint64_t peer, struct slice frame, happening_fn arrive)
{
    uint32_t copies = 1;
    if (world_is_bad(world) && draw_percent(world, DICE_NETWORK, world->faults.loss_percent))
        copies = 0;
    else if (world_is_bad(world) && draw_percent(world, DICE_NETWORK, world->faults.double_percent))
        copies = 2;
    for (uint32_t i = 0; i < copies; i++) {
        uint64_t takes_ms = i == 0 ? travel_ms(world) : replay_ms(world);
        struct happening *happening = plan_ahead(world, takes_ms, arrive);
        happening->host = host;
        happening->number = peer;
        happening->bytes = xstrndup(frame.ptr, frame.length);
        happening->length = frame.length;
    }
}

void send_to_master(struct world *world, uint32_t host, struct slice frame)
{
    if (world->hosts[host].cut_up_until <= world->now_ms)
        post(world, host, world->hosts[host].peer, frame, arrive_at_master);
}

void send_to_worker(struct world *world, uint64_t peer, struct slice frame)
{
    uint32_t host = (uint32_t)(peer % HOSTS_MAX);
    if (world->hosts[host].cut_down_until <= world->now_ms &&
        !restore_drops(world, &world->hosts[host]))
        post(world, host, peer, frame, arrive_at_host);
}
