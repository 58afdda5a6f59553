/*
 * What the agent's core asks for, carried out in order.
 */
#include "worker/io/host_state.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/stop_point.h"

#include <stdio.h>

static void remember_leader(struct host *host, const struct agent_effect *effect)
{
    struct error error = {0};
    struct identity *identity = &host->identity;
    identity->epoch = effect->leader.epoch;
    identity->leader = effect->leader.leader;
    (void)snprintf(
        identity->cluster, sizeof identity->cluster, "%.*s", SLICE_PRINT(effect->leader.cluster));
    stop_here(STOP_LEADER_HEARD);
    /* What is not on disk was not followed: the core believes that it is. */
    if (identity_save_leader(identity, host->folder, &error) != 0) {
        log_error("%s", error.text);
        host_end(host, HOST_EXIT_AGAIN);
    }
    stop_here(STOP_LEADER_SAVED);
}

static void registered(struct host *host, struct slice bundles, uint64_t dead)
{
    struct error error = {0};
    log_info("registered with the master at %s", uplink_name(host->uplink));
    if (identity_forget_dead(&host->identity, host->folder, dead, &error) != 0)
        log_warn("%s", error.text);
    /* Elsewhere its folder is none of ours. */
    if (uplink_is_local(host->uplink))
        trees_set_bundles(host->trees, bundles);
    if (bulk_renew(host->bulk, agent_session(host->agent), &error) != 0)
        log_error("logs are not shipped: %s", error.text);
}

static void leave(struct host *host, const struct agent_effect *effect)
{
    if (effect->exit.status == 0)
        log_info("%.*s", SLICE_PRINT(effect->exit.text));
    else
        log_error("%.*s", SLICE_PRINT(effect->exit.text));
    host->stopped = effect->exit.status == 0;
    host_end(host, effect->exit.status);
}

static void carry_out_files(struct host *host, const struct agent_effect *effect)
{
    switch (effect->kind) {
    case AGENT_PREPARE:
        attempts_prepare(host->attempts, effect->prepare);
        break;
    case AGENT_DISCARD:
        attempts_discard(host->attempts, &effect->id);
        break;
    case AGENT_COLLECT:
        attempts_collect(
            host->attempts, &effect->id, effect->collect.assign, effect->collect.success);
        break;
    case AGENT_SAVE:
        results_save(host->results, effect->save);
        break;
    case AGENT_NOTED:
        attempts_noted(host->attempts, &effect->noted);
        break;
    case AGENT_DROP:
        results_drop(host->results, &effect->id);
        stop_here(STOP_RESULT_DROPPED);
        attempts_drop(host->attempts, &effect->id);
        break;
    default:
        break;
    }
}

static void carry_out(struct host *host, const struct agent_effect *effect)
{
    switch (effect->kind) {
    case AGENT_SEND:
        uplink_send(host->uplink, effect->frame);
        break;
    case AGENT_RUNNER:
        runner_link_say(host, &effect->runner);
        /* A slot waits for it; the rest of the batch may take a while. */
        if (effect->runner.number == MESSAGE_runner_start)
            runner_link_flush(host);
        break;
    case AGENT_LEADER:
        remember_leader(host, effect);
        break;
    case AGENT_REGISTERED:
        registered(host, effect->registered.bundles, effect->registered.dead);
        break;
    case AGENT_NOTE:
        log_warn("%.*s", SLICE_PRINT(effect->note));
        break;
    case AGENT_EXIT:
        leave(host, effect);
        break;
    default:
        carry_out_files(host, effect);
        break;
    }
}

void host_batch(struct host *host)
{
    size_t done = 0;
    while (host->stepped) {
        host->stepped = false;
        host_step(host, (struct agent_event){.kind = AGENT_EVENT_FLUSH});
        host->stepped = false;
        /* What is done at once (files that are ready, logs that are complete) steps the core again,
           which adds effects: the array may move. */
        while (done < host->effects.count) {
            struct agent_effect effect = host->effects.items[done++];
            carry_out(host, &effect);
        }
        results_write(host->results, clock_boot_ms());
    }
    agent_effects_reset(&host->effects);
    runner_link_flush(host);
}
