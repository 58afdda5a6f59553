/*
 * What a person says of a worker: that it shall take no more tasks, that it shall again, and that
 * its host is gone.
 */
#include "common/memory.h"
#include "common/suggest.h"
#include "master/core/request.h"
#include "master/core/state.h"

#include <stdlib.h>

struct worker *worker_named(const struct core *core, struct slice name)
{
    struct worker *found = NULL;
    for (size_t i = 0; i < core->worker_count; i++) {
        struct worker *worker = core->workers[i];
        if (!worker->removed && slice_equal(worker->name, name) &&
            (found == NULL || worker->open || !found->open))
            found = worker;
    }
    return found;
}

void worker_refuse_unknown(struct core *core, const struct event *event)
{
    struct slice name = event->worker_change.worker;
    const char **names = xcalloc(core->worker_count + 1, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; i < core->worker_count; i++) {
        if (core->workers[i]->name.length > 0 && !core->workers[i]->removed)
            names[count++] = core->workers[i]->name.ptr;
    }
    const char *near = suggest(name, names);
    if (near != NULL)
        request_refuse(core, event, ERR_NOT_FOUND,
            "no worker is called \"%.*s\": did you mean \"%s\"?", SLICE_PRINT(name), near);
    else
        request_refuse(core, event, ERR_NOT_FOUND,
            "no worker is called \"%.*s\" (reeve workers lists them)", SLICE_PRINT(name));
    free(names);
}

static struct slice describe_drained(struct core *core, const struct worker *worker)
{
    struct arena *arena = &core->effects->arena;
    struct slice name = worker->name;
    if (!worker->open && worker->attempts == NONE)
        return arena_printf(arena,
            "%.*s is gone; it takes no tasks when it comes back, until it is undrained",
            SLICE_PRINT(name));
    if (worker->running + worker->in_hand == 0)
        return arena_printf(
            arena, "%.*s takes no more tasks; nothing runs there", SLICE_PRINT(name));
    if (worker->in_hand == 0)
        return arena_printf(arena, "%.*s takes no more tasks; %u still run%s there",
            SLICE_PRINT(name), worker->running, worker->running == 1 ? "s" : "");
    return arena_printf(arena,
        "%.*s takes no more tasks; %u still run%s there, %u not started yet %s asked back",
        SLICE_PRINT(name), worker->running, worker->running == 1 ? "s" : "", worker->in_hand,
        worker->in_hand == 1 ? "is" : "are");
}

static struct slice describe_undrained(struct core *core, const struct worker *worker)
{
    struct arena *arena = &core->effects->arena;
    const char *what = " takes tasks again";
    if (!worker->open)
        what = " takes tasks when it comes back";
    else if (worker->leaving)
        what = " takes no tasks still: it was told to stop, on its own host";
    return arena_printf(arena, "%.*s%s", SLICE_PRINT(worker->name), what);
}

void request_drain(struct core *core, const struct event *event)
{
    struct worker *worker = worker_named(core, event->worker_change.worker);
    bool draining = !event->worker_change.undo;
    core->outcome.target = event->worker_change.worker;
    if (worker == NULL) {
        worker_refuse_unknown(core, event);
        return;
    }
    if (worker->draining != draining) {
        worker->draining = draining;
        worker_fact(core, worker);
        worker_follow_wishes(core, worker);
    }
    uint32_t touched = draining ? worker->running : 0;
    struct slice text =
        draining ? describe_drained(core, worker) : describe_undrained(core, worker);
    request_accept(core, event, touched, text.ptr);
}

/* ---- its host is gone ---- */

static const char LOST_TEXT[] = "a person said that its host is gone";

static uint32_t unreachable_count(const struct core *core, const struct worker *worker)
{
    uint32_t count = 0;
    for (uint32_t slot = worker->attempts; slot != NONE; slot = core->attempts[slot]->next)
        count += attempt_is_unreachable(core, core->attempts[slot]);
    return count;
}

/* Names come again: who had something that nobody has heard of since goes before the others. */
static struct worker *lost_named(const struct core *core, struct slice name)
{
    for (size_t i = 0; i < core->worker_count; i++) {
        struct worker *worker = core->workers[i];
        if (slice_equal(worker->name, name) && unreachable_count(core, worker) > 0)
            return worker;
    }
    return worker_named(core, name);
}

/* Returns how many tasks go on, or end, by it. Those whose lease has run out went on before. */
static uint32_t lose_unreachable(struct core *core, struct worker *worker)
{
    uint32_t count = 0, next = NONE;
    for (uint32_t slot = worker->attempts; slot != NONE; slot = next) {
        struct attempt *attempt = core->attempts[slot];
        next = attempt->next;
        if (!attempt_is_unreachable(core, attempt))
            continue;
        if ((attempt->flags & ATTEMPT_FLAG_EXPIRED) != 0) {
            attempt_bury(core, attempt);
            continue;
        }
        attempt_gone(core, attempt, REASON_WORKER_LOST, slice_of(LOST_TEXT));
        count++;
    }
    return count;
}

/* If it is not gone after all, its next word is answered with "register again", and what it had is
 * killed there. */
void request_lost(struct core *core, const struct event *event)
{
    struct slice name = event->worker_change.worker;
    struct worker *worker = lost_named(core, name);
    core->outcome.target = name;
    if (worker == NULL) {
        worker_refuse_unknown(core, event);
        return;
    }
    if (worker_is_heard(worker) && unreachable_count(core, worker) == 0) {
        request_refuse(core, event, ERR_REFUSED,
            "%.*s is not lost: its last word came %llu ms ago (reeve drain %.*s gives it no more "
            "tasks)",
            SLICE_PRINT(name), (unsigned long long)(core->now_ms - worker->traffic_ms),
            SLICE_PRINT(name));
        return;
    }
    if (worker->open && !worker_is_heard(worker))
        worker_close(core, worker);
    uint32_t tasks = lose_unreachable(core, worker);
    request_accept(core, event, tasks,
        arena_printf(&core->effects->arena, "%.*s is given up: %u task%s there %s lost",
            SLICE_PRINT(name), tasks, tasks == 1 ? "" : "s", tasks == 1 ? "was" : "were")
            .ptr);
}
