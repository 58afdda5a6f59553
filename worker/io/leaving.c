/*
 * How an agent goes: at a signal at once, with its tasks running on; by `reeve-worker stop` when
 * nothing is left to do, or sooner.
 */
#include "worker/io/host_state.h"

#include "common/clock.h"
#include "common/duration.h"
#include "common/log.h"

#include <stdio.h>
#include <string.h>

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

/* ---- wishes ---- */

static void begin(struct host *host)
{
    struct leaving *leaving = &host->leaving;
    if (!host->listed || host->ending)
        return;
    leaving->begun = true;
    leaving->logs = ship_count(host->ship);
    if (leaving->done)
        host_step(host, (struct agent_event){.kind = AGENT_EVENT_LEAVE, .leave = {leaving->logs}});
    if (leaving->now)
        host_step(host, (struct agent_event){.kind = AGENT_EVENT_STOP});
}

void leaving_wish(void *context, const struct stop_wish *wish)
{
    struct host *host = context;
    struct leaving *leaving = &host->leaving;
    if (wish->now && !leaving->now)
        log_info("stopping at once: what runs is killed");
    else if (!wish->now && !leaving->done)
        log_info("stopping: no more tasks are taken, what runs may end");
    leaving->now = leaving->now || wish->now;
    leaving->done = leaving->done || !wish->now;
    if (!wish->now)
        leaving->by_ms = wish->within_ms > 0 ? clock_boot_ms() + wish->within_ms : UINT64_MAX;
    /* Whoever joined the wait later hears where it is. */
    leaving->told[0] = '\0';
    begin(host);
}

void leaving_listed(struct host *host)
{
    if (host->leaving.now || host->leaving.done)
        begin(host);
}

/* ---- what is waited for ---- */

static void write_rest(const struct host *host, char text[STOP_TEXT_MAX])
{
    struct agent_rest rest = agent_rest(host->agent);
    uint32_t busy = rest.running + rest.ending;
    size_t logs = ship_count(host->ship);
    const char *why = agent_is_registered(host->agent) ? "" : " (it does not answer)";
    if (busy > 0)
        (void)snprintf(text, STOP_TEXT_MAX, "waiting for %u task%s", busy, plural(busy));
    else if (rest.results == 0 && logs == 0)
        (void)snprintf(text, STOP_TEXT_MAX, "waiting for the master's last word%s", why);
    else
        (void)snprintf(text, STOP_TEXT_MAX,
            "waiting for the master to take %u result%s and %zu log%s%s", rest.results,
            plural(rest.results), logs, plural(logs), why);
}

static void tell(struct host *host)
{
    struct leaving *leaving = &host->leaving;
    char text[STOP_TEXT_MAX];
    write_rest(host, text);
    if (strcmp(text, leaving->told) == 0)
        return;
    memcpy(leaving->told, text, sizeof text);
    if (host->options->stop)
        (void)fprintf(stderr, "%s\n", text);
    stop_port_tell(host->stop_port, text);
}

void leaving_round(struct host *host, uint64_t now_ms)
{
    struct leaving *leaving = &host->leaving;
    if (!leaving->begun || host->ending)
        return;
    if (!leaving->now && now_ms >= leaving->by_ms) {
        uint32_t running = agent_running(host->agent);
        log_info("the time for a stop is over: %u task%s killed", running,
            running == 1 ? " is" : "s are");
        leaving->now = true;
        host_step(host, (struct agent_event){.kind = AGENT_EVENT_STOP});
    }
    size_t logs = ship_count(host->ship);
    if (leaving->done && logs != leaving->logs)
        host_step(host, (struct agent_event){.kind = AGENT_EVENT_LEAVE, .leave = {logs}});
    leaving->logs = logs;
    tell(host);
}

uint64_t leaving_due_ms(const struct host *host)
{
    return host->leaving.begun && !host->leaving.now ? host->leaving.by_ms : UINT64_MAX;
}

/* ---- a signal ---- */

void leaving_say_goodbye(const struct host *host)
{
    char left[DURATION_TEXT_MAX] = "";
    uint32_t running = agent_running(host->agent);
    uint64_t ends_ms = agent_lease_ends_ms(host->agent);
    uint64_t now_ms = clock_boot_ms();
    const char *data = host->folder->path;
    if (running == 0)
        return;
    if (ends_ms == UINT64_MAX) {
        log_info("%u running task%s on without a lease; restart \"reeve-worker --data %s\" to take "
                 "them back",
            running, running == 1 ? " goes" : "s go", data);
        return;
    }
    duration_format(ends_ms > now_ms ? (ends_ms - now_ms) / 1000 * 1000 : 0, left);
    log_info("%u running task%s on until the lease ends; restart \"reeve-worker --data %s\" within "
             "%s to take %s back",
        running, running == 1 ? " goes" : "s go", data, left, running == 1 ? "it" : "them");
}
