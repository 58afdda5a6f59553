/*
 * What is done to hosts: agents and runners die and stand still, machines are paused and rebooted.
 */
#include "common/probe.h"
#include "tests/sim/checker.h"

void agent_pause(struct world *world, uint32_t index, uint64_t ms)
{
    /* What waits for its going on is planned: that is not moved. */
    if (world->hosts[index].agent_paused_until > world->now_ms)
        return;
    tell(world, "agent %u is paused for %llu ms", index, (unsigned long long)ms);
    world->hosts[index].agent_paused_until = world->now_ms + ms;
}

void runner_pause(struct world *world, uint32_t index, uint64_t ms)
{
    if (world->hosts[index].runner_paused_until > world->now_ms)
        return;
    tell(world, "runner %u is paused for %llu ms", index, (unsigned long long)ms);
    world->hosts[index].runner_paused_until = world->now_ms + ms;
    processes_stammer(world, &world->hosts[index]);
}

/* The runner's timers come before anything that it runs goes on. */
static void thaw_now(struct world *world, struct host *host)
{
    if (!host->frozen)
        return;
    host->frozen = false;
    host->agent_paused_until = 0;
    host->runner_paused_until = 0;
    struct runner_event event = {.kind = RUNNER_EVENT_TIMER, .now_ms = host_clock(world, host)};
    if (host->runner != NULL)
        runner_step_now(world, host, &event);
    processes_thaw(world, host);
}

static void thaw(struct world *world, const struct happening *happening)
{
    struct host *host = &world->hosts[happening->host];
    /* It was rebooted, and paused again, meanwhile. */
    if (host->agent_paused_until == world->now_ms + 1) {
        tell(world, "host %u goes on", host->index);
        thaw_now(world, host);
    }
}

void host_freeze(struct world *world, uint32_t index, uint64_t ms)
{
    struct host *host = &world->hosts[index];
    /* Where neither agent nor runner lives, they are started again soon: see runner_crash. */
    if (host->frozen || !host->up || (host->agent == NULL && host->runner == NULL) ||
        host->agent_paused_until > world->now_ms || host->runner_paused_until > world->now_ms)
        return;
    tell(world, "host %u stands still for %llu ms", index, (unsigned long long)ms);
    host->frozen = true;
    host->agent_paused_until = world->now_ms + ms + 1;
    host->runner_paused_until = world->now_ms + ms + 1;
    processes_freeze(world, host);
    plan_ahead(world, ms, thaw)->host = index;
}

/* Frames to the former connection are those of a dead one: some of them still arrive. */
void agent_reconnect(struct world *world, uint32_t index)
{
    struct host *host = &world->hosts[index];
    if (host->agent == NULL)
        return;
    tell(world, "agent %u connects again", index);
    host->peer = ++world->next_life * HOSTS_MAX + index;
}

/* Its agent sees the end of its pidfd, kills what is left, and exits to be started afresh. */
void runner_crash(struct world *world, uint32_t index)
{
    struct host *host = &world->hosts[index];
    if (host->runner == NULL)
        return;
    tell(world, "runner %u crashes", index);
    uint64_t instance = host->instance;
    runner_forget(world, host);
    if (host->agent == NULL) {
        /* Where neither lives, nothing can hold the promise: somebody starts them again soon. */
        plan_ahead(world, 50 + draw_below(world, DICE_HOSTS, 5000), agent_starts_again)->host =
            index;
        return;
    }
    if (!MUTANT(SWEEP_SKIPPED))
        processes_sweep(world, host, instance);
    agent_crash(world, index);
}

void host_reboot(struct world *world, uint32_t index)
{
    struct host *host = &world->hosts[index];
    tell(world, "host %u reboots", index);
    thaw_now(world, host);
    processes_sweep(world, host, 0);
    if (host->runner != NULL)
        runner_forget(world, host);
    /* An agent that found it dead may say so no more: it was of another boot. */
    agent_crash(world, index);
    for (size_t i = 0; i < sizeof host->boot; i++)
        host->boot[i] = (unsigned char)draw(world, DICE_HOSTS);
    host->dead_count = 0;
    host->last_instance = 0;
}

bool host_is_down(const struct world *world, uint32_t index)
{
    for (uint32_t i = 0; i < world->host_count; i++) {
        const struct host *host = &world->hosts[i];
        if (host->like == world->hosts[index].like && (host->agent != NULL || host->runner != NULL))
            return false;
    }
    for (size_t i = 0; i < world->process_count; i++) {
        const struct process *process = &world->processes[i];
        if (process->number != 0 && world->hosts[process->host].like == world->hosts[index].like)
            return false;
    }
    return true;
}
