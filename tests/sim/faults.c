/*
 * What goes wrong in the world: drawn from the seed, a mishap a second at most.
 */
#include "tests/sim/world.h"

/* Both ways, or one. */
static void cut_off(struct world *world, uint32_t host)
{
    uint64_t until_ms = world->now_ms + draw_below(world, 90000);
    uint32_t way = draw_below(world, 4);
    if (way != 1)
        world->hosts[host].cut_up_until = until_ms;
    if (way != 2)
        world->hosts[host].cut_down_until = until_ms;
    tell(world, "host %u is cut off%s until %llu", host,
        way == 1   ? " from what the master sends"
        : way == 2 ? " with what it sends"
                   : "",
        (unsigned long long)until_ms);
}

static void mishap(struct world *world, const struct happening *happening)
{
    (void)happening;
    if (!world_is_bad(world))
        return;
    (void)plan_ahead(world, 1000, mishap);
    if (!draw_percent(world, world->faults.crash_percent))
        return;
    uint32_t host = draw_below(world, world->host_count);
    switch (draw_below(world, 9)) {
    case 0:
    case 1:
        master_crash(world);
        break;
    case 2:
    case 3:
        agent_crash(world, host);
        break;
    case 4:
        runner_crash(world, host);
        break;
    case 5:
        if (draw_percent(world, 30))
            host_reboot(world, host);
        break;
    case 6:
        if (draw_percent(world, 50))
            master_pause(world, draw_below(world, 90000));
        else
            agent_pause(world, host, draw_below(world, 90000));
        break;
    case 7:
        agent_stop(world, host, draw_percent(world, 20));
        break;
    default:
        cut_off(world, host);
        break;
    }
}

void faults_draw(struct world *world)
{
    bool good = draw_percent(world, 15);
    world->faults = (struct faults){
        .loss_percent = good ? 0 : draw_below(world, 15),
        .double_percent = good ? 0 : draw_below(world, 15),
        .late_percent = good ? 0 : draw_below(world, 20),
        .late_ms = 1 + draw_below(world, draw_percent(world, 20) ? 60000 : 2000),
        .crash_percent = good ? 0 : draw_below(world, 25),
        .end_ms = good ? 0 : WORLD_START_MS + FAULTS_MAX_MS,
    };
}

void faults_begin(struct world *world)
{
    (void)plan_ahead(world, 1000, mishap);
}
