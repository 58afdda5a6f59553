/*
 * What goes wrong in the world: some mishaps at random, a second at most apart, and some by
 * schedule. All are drawn from the seed before the first happens.
 */
#include "tests/sim/world.h"

enum mishap {
    MASTER_CRASHES,
    MASTER_STANDS,
    DISK_FULL,
    DISK_STUCK,
    WALL_JUMPS,
    AGENT_CRASHES,
    AGENT_AWAY,
    AGENT_STANDS,
    AGENT_STOPS,
    AGENT_CONNECTS,
    RUNNER_CRASHES,
    RUNNER_STANDS,
    HOST_REBOOTS,
    HOST_STANDS,
    HOST_CUT
};

enum {
    CUT_MAX_MS = 90000,
    PAUSE_MAX_MS = 90000,
    /* docs/guarantees.md: the runner gets the CPU within 5 s. */
    RUNNER_PAUSE_MAX_MS = 5000,
    DISK_MAX_MS = 40000,
    /* They go on for so long. */
    FAULTS_MIN_MS = 60000,
    FAULTS_MORE_MS = FAULTS_MAX_MS - FAULTS_MIN_MS,
    JUMP_MAX_MS = 24 * 3600 * 1000,
};

/* How often each comes, of their sum. */
static const struct {
    enum mishap mishap;
    uint32_t weight;
} table[] = {
    {MASTER_CRASHES, 20},
    {MASTER_STANDS, 6},
    {DISK_FULL, 3},
    {DISK_STUCK, 3},
    {WALL_JUMPS, 5},
    {AGENT_CRASHES, 20},
    {AGENT_AWAY, 10},
    {AGENT_STANDS, 6},
    {AGENT_STOPS, 8},
    {AGENT_CONNECTS, 6},
    {RUNNER_CRASHES, 8},
    {RUNNER_STANDS, 6},
    {HOST_REBOOTS, 3},
    {HOST_STANDS, 5},
    {HOST_CUT, 12},
};

static uint32_t below(struct world *world, uint32_t most)
{
    return draw_below(world, DICE_FAULTS, most);
}

/* Both ways, or one. */
static void cut_off(struct world *world, uint32_t host, uint64_t amount)
{
    uint64_t until_ms = world->now_ms + amount % CUT_MAX_MS;
    uint32_t way = (uint32_t)(amount / CUT_MAX_MS % 4);
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

static void jump(struct world *world, uint64_t amount)
{
    world->wall_jump_ms = (int64_t)(amount % (2 * (uint64_t)JUMP_MAX_MS)) - JUMP_MAX_MS;
    tell(world, "the master's wall clock is %lld ms off", (long long)world->wall_jump_ms);
}

static void strike_master(struct world *world, enum mishap mishap, uint64_t amount)
{
    if (mishap == MASTER_CRASHES)
        master_crash(world);
    else if (mishap == MASTER_STANDS)
        master_pause(world, amount % PAUSE_MAX_MS);
    else if (mishap == DISK_FULL)
        master_disk_full(world, amount % DISK_MAX_MS);
    else if (mishap == DISK_STUCK)
        master_disk_stuck(world, amount % DISK_MAX_MS);
    else
        jump(world, amount);
}

static void reboot(struct world *world, uint32_t host, uint64_t amount)
{
    host_reboot(world, host);
    client_write_off(world, host, amount);
}

/* What stands still can be rebooted, and nothing else. */
static void strike_host(struct world *world, enum mishap mishap, uint32_t host, uint64_t amount)
{
    if (world->hosts[host].frozen && mishap != HOST_REBOOTS && mishap != HOST_CUT)
        return;
    if (mishap == AGENT_CRASHES)
        agent_crash(world, host);
    else if (mishap == AGENT_AWAY)
        agent_is_away(world, host);
    else if (mishap == AGENT_STANDS)
        agent_pause(world, host, amount % PAUSE_MAX_MS);
    else if (mishap == AGENT_STOPS)
        agent_stop(world, host, amount % 5 == 0);
    else if (mishap == AGENT_CONNECTS)
        agent_reconnect(world, host);
    else if (mishap == RUNNER_CRASHES)
        runner_crash(world, host);
    else if (mishap == RUNNER_STANDS)
        runner_pause(world, host, amount % RUNNER_PAUSE_MAX_MS);
    else if (mishap == HOST_REBOOTS)
        reboot(world, host, amount);
    else if (mishap == HOST_STANDS)
        host_freeze(world, host, amount % PAUSE_MAX_MS);
    else
        cut_off(world, host, amount);
}

static void strike(struct world *world, const struct happening *happening)
{
    enum mishap mishap = (enum mishap)happening->number;
    uint32_t host = happening->host < world->host_count ? happening->host : 0;
    if (!world_is_bad(world))
        return;
    if (mishap < AGENT_CRASHES)
        strike_master(world, mishap, happening->number2);
    else
        strike_host(world, mishap, host, happening->number2);
}

static void plan(
    struct world *world, uint64_t after_ms, enum mishap mishap, uint32_t host, uint64_t amount)
{
    if (!is_kept(world))
        return;
    struct happening *happening = plan_ahead(world, after_ms, strike);
    happening->number = mishap;
    happening->host = host;
    happening->number2 = amount;
}

/* ---- at random ---- */

static enum mishap draw_mishap(struct world *world)
{
    uint32_t sum = 0, at = 0;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        sum += table[i].weight;
    uint32_t dice = below(world, sum);
    while (dice >= table[at].weight)
        dice -= table[at++].weight;
    return table[at].mishap;
}

static void plan_random(struct world *world)
{
    /* And one for the host of a copied directory. */
    uint32_t hosts = world->host_count + 1;
    /* A large fleet has as many mishaps a host as a small one. */
    uint32_t each_second = 1 + hosts / 8;
    for (uint32_t ms = 1000; ms < FAULTS_MAX_MS; ms += 1000) {
        for (uint32_t i = 0; i < each_second; i++) {
            if (!draw_percent(world, DICE_FAULTS, world->faults.crash_percent))
                continue;
            enum mishap mishap = draw_mishap(world);
            if (i > 0 && mishap < AGENT_CRASHES)
                continue;
            plan(world, ms + below(world, 1000), mishap, below(world, hosts),
                draw(world, DICE_FAULTS));
        }
    }
}

/* ---- by schedule ---- */

/* Some hosts are cut one after the other, each in its own way, and heal in another order. */
static void plan_swizzle(struct world *world, uint32_t at_ms)
{
    for (uint32_t host = 0; host < world->host_count; host++) {
        if (!draw_percent(world, DICE_FAULTS, 70))
            continue;
        uint64_t way = (uint64_t)below(world, 4) * CUT_MAX_MS;
        plan(world, at_ms + below(world, 20000), HOST_CUT, host,
            way + 10000 + below(world, CUT_MAX_MS - 10000));
    }
}

/* The master dies again and again, each time before it has settled. */
static void plan_flapping(struct world *world, uint32_t at_ms)
{
    for (uint32_t i = 0; i < 6; i++)
        plan(world, at_ms + i * (2000 + below(world, 8000)), MASTER_CRASHES, 0, 0);
}

/* One kind of mishap goes around: a rolling restart, a rack that loses power host by host. */
static void plan_rolling(struct world *world, uint32_t at_ms)
{
    static const enum mishap kinds[] = {
        AGENT_CRASHES, AGENT_STOPS, RUNNER_CRASHES, HOST_REBOOTS, HOST_STANDS, AGENT_STANDS};
    enum mishap mishap = kinds[below(world, sizeof kinds / sizeof kinds[0])];
    uint32_t apart_ms = below(world, 10000);
    for (uint32_t host = 0; host < world->host_count; host++)
        plan(world, at_ms + host * apart_ms, mishap, host, draw(world, DICE_FAULTS));
}

/* A lease runs out on a host that still works and nobody hears: the case that everything is for. */
static void plan_silence(struct world *world, uint32_t at_ms)
{
    uint32_t host = below(world, world->host_count);
    uint64_t way = (uint64_t)below(world, 4) * CUT_MAX_MS;
    plan(world, at_ms, HOST_CUT, host, way + CUT_MAX_MS - 1);
    plan(world, at_ms + below(world, 60000), AGENT_CRASHES, host, 0);
    plan(world, at_ms + below(world, 60000), MASTER_CRASHES, 0, 0);
}

/* Nothing but silence: whoever is cut off has time to lose its lease, and nobody's restart makes it
 * wait longer. */
static void plan_lapses(struct world *world)
{
    for (uint32_t host = 0; host < world->host_count; host++) {
        uint64_t way = (uint64_t)below(world, 4) * CUT_MAX_MS;
        uint32_t at_ms = 5000 + below(world, 60000);
        if (draw_percent(world, DICE_FAULTS, 50))
            plan(world, at_ms, HOST_CUT, host, way + CUT_MAX_MS - 1);
    }
}

static void plan_schedule(struct world *world)
{
    if (world->faults.quiet) {
        plan_lapses(world);
        return;
    }
    uint32_t at_ms = 1000 + below(world, (uint32_t)(world->faults.end_ms - WORLD_START_MS) / 2);
    switch (below(world, 8)) {
    case 0:
        plan_swizzle(world, at_ms);
        break;
    case 1:
        plan_flapping(world, at_ms);
        break;
    case 2:
        plan_rolling(world, at_ms);
        break;
    case 3:
    case 4:
        plan_silence(world, at_ms);
        break;
    default:
        break;
    }
}

void faults_draw(struct world *world)
{
    bool good = draw_percent(world, DICE_FAULTS, 15);
    bool quiet = !good && draw_percent(world, DICE_FAULTS, 20);
    bool lossy = !good && draw_percent(world, DICE_FAULTS, 70);
    world->faults = (struct faults){
        .loss_percent = lossy ? below(world, 15) : 0,
        .double_percent = lossy ? below(world, 15) : 0,
        .late_percent = lossy ? below(world, 20) : 0,
        .late_ms = 1 + below(world, draw_percent(world, DICE_FAULTS, 20) ? 60000 : 2000),
        .crash_percent = good ? 0 : below(world, quiet ? 3 : 25),
        .quiet = quiet,
        .split_percent = good ? 0 : below(world, 8),
        .end_ms = good ? 0 : WORLD_START_MS + FAULTS_MIN_MS + below(world, FAULTS_MORE_MS),
    };
    /* What can be left out of a story, one by one. */
    if (!is_kept(world))
        world->faults.loss_percent = 0;
    if (!is_kept(world))
        world->faults.double_percent = 0;
    if (!is_kept(world))
        world->faults.late_percent = 0;
    if (!is_kept(world))
        world->faults.split_percent = 0;
}

void faults_begin(struct world *world)
{
    if (world->faults.end_ms == 0)
        return;
    plan_random(world);
    plan_schedule(world);
}
