/*
 * The invariants of the core's memory, walked in test builds: each step checks the totals, each
 * 1,024th step, and every step while all graphs are small, walks everything. A breach is a
 * programmer's error: it aborts with its name.
 */
#include "common/limits.h"
#include "master/core/state.h"

#include <stdio.h>
#include <stdlib.h>

enum { WALK_EVERY_STEPS = 1024, SMALL_TASKS = 50 /* or keys, or tokens */ };

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    (void)fprintf(stderr, "core_check: %s\n", what);
    abort();
}

struct totals {
    uint64_t ready, live;
};

static bool is_set_aside(const struct core *core, const struct task *task)
{
    uint8_t flags = core->attempts[task->live]->flags;
    if (task->state == TASK_READY)
        return (flags & (ATTEMPT_FLAG_EXPIRED | ATTEMPT_FLAG_DOUBTED)) != 0;
    return task->state == TASK_HELD && (flags & ATTEMPT_FLAG_EXPIRED) != 0;
}

static void check_counts(const struct core *core, const struct run *run)
{
    uint32_t counts[TASK_CANCELLING + 1] = {0};
    uint32_t fatal = 0;
    for (uint32_t i = 0; i < run->task_count; i++) {
        const struct task *task = &run->tasks[i];
        bool allowed = (run_plan_task(run, i)->flags & PLAN_TASK_ALLOW_FAILURE) != 0;
        counts[task->state]++;
        fatal += !allowed && (task->state == TASK_FAILED || task->state == TASK_CANCELLED);
        bool active = task->state == TASK_ASSIGNED || task->state == TASK_RUNNING;
        must(!active || task->live != NONE, "an assigned or running task has a live attempt");
        must(task->live == NONE || active || is_set_aside(core, task),
            "a task with a live attempt is assigned, running or, when that expired, ready or held");
        must((task->state == TASK_RETRYING) == table_get(&run->waits, i, NULL),
            "a retrying task has a timer, no other has");
    }
    must(memcmp(counts, run->counts, sizeof counts) == 0, "a run counts its tasks by state");
    must(fatal == run->fatal, "a run counts its fatal tasks");
    must(run->active == counts[TASK_ASSIGNED] + counts[TASK_RUNNING],
        "a run counts its active tasks");
    uint32_t ended = 0;
    for (uint32_t state = TASK_SUCCESS; state <= TASK_CANCELLED; state++)
        ended += counts[state];
    bool over = run->state != RUN_QUEUED && run->state != RUN_RUNNING;
    must(over == (ended == run->task_count) || !core->loaded,
        "a run is over when all its tasks are");
}

static void check_lanes(const struct run *run, struct totals *totals)
{
    for (uint32_t i = 0; i < run->lane_count; i++) {
        const struct lane *lane = &run->lanes[i];
        uint32_t count = 0;
        for (uint32_t task = lane->head; task != NONE; task = run->tasks[task].next, count++) {
            must(run->tasks[task].state == TASK_READY, "a lane holds ready tasks");
            must(run->tasks[task].lane == i, "a task stands in its own lane");
        }
        must(count == lane->count, "a lane counts its tasks");
        must((lane->heap_position != NONE) == (count > 0 && !run->parked),
            "a lane with tasks is in its class's heap unless its run is parked");
        totals->ready += count;
    }
    uint32_t in_lanes = 0;
    for (uint32_t i = 0; i < run->lane_count; i++)
        in_lanes += run->lanes[i].count;
    must(in_lanes == run->counts[TASK_READY], "every ready task stands in a lane");
}

/* What the predecessors of a task ended as, counted anew. Only while no end is still being told. */
static void check_predecessors(const struct run *run)
{
    for (uint32_t i = 0; i < run->task_count; i++) {
        struct task counted = {0};
        for (uint32_t e = run->plan.predecessor_starts[i]; e < run->plan.predecessor_starts[i + 1];
             e++) {
            uint32_t state = run->tasks[run->plan.predecessors[e]].state;
            counted.success += state == TASK_SUCCESS;
            counted.failed += state == TASK_FAILED || state == TASK_CANCELLED;
            counted.skipped += state == TASK_SKIPPED;
            counted.upstream_failed += state == TASK_UPSTREAM_FAILED;
        }
        const struct task *task = &run->tasks[i];
        must(counted.success == task->success && counted.failed == task->failed &&
                 counted.skipped == task->skipped &&
                 counted.upstream_failed == task->upstream_failed,
            "a task counts how its predecessors ended");
    }
}

static void check_attempt(const struct core *core, const struct attempt *attempt, uint32_t slot)
{
    const struct task *task = &core->runs[attempt->run].tasks[attempt->task];
    bool elder = task->live != slot;
    must(!elder || (task->live != NONE && core->attempts[task->live]->elder == slot),
        "an attempt and its task name each other");
    must(!elder || (attempt->elder == NONE && (attempt->flags & ATTEMPT_FLAG_DOUBTED) != 0),
        "there are two of a task at most, and the older one is in doubt");
    must(elder || (attempt->flags & ATTEMPT_FLAG_DOUBTED) == 0 || task->state == TASK_READY,
        "a task whose attempt is in doubt is ready");
}

static void check_worker(
    const struct core *core, const struct worker *worker, struct totals *totals)
{
    uint32_t running = 0, in_hand = 0, noops = 0, before = NONE;
    for (uint32_t slot = worker->attempts; slot != NONE; slot = core->attempts[slot]->next) {
        const struct attempt *attempt = core->attempts[slot];
        must(attempt->in_use && attempt->previous == before, "a worker's attempts are linked");
        check_attempt(core, attempt, slot);
        before = slot;
        totals->live++;
        must(!worker->open || attempt->held_in != worker->channel.session ||
                 !wheel_is_armed(&attempt->expiry),
            "a lease that is renewed does not run out");
        if ((attempt->flags & ATTEMPT_FLAG_EXPIRED) != 0)
            continue;
        if ((attempt->flags & ATTEMPT_FLAG_NOOP) != 0)
            noops++;
        else if (attempt->state == ATTEMPT_RUNNING)
            running++;
        else
            in_hand++;
    }
    must(running == worker->running && in_hand == worker->in_hand && noops == worker->noops,
        "a worker counts its attempts");
    must((worker->over_at != NONE) == (worker->open && running + in_hand > worker->slots),
        "a worker that holds more than it has slots is listed");
    must(worker->over_at == NONE || core->over[worker->over_at] == worker->number - 1,
        "a listed worker stands in its place");
    must(worker->open || worker->member_count == 0, "a worker without a session has no seat");
    must(!worker_is_heard(worker) || worker->open, "a worker without a session is not up");
    must(worker->state != WORKER_UP || (!worker->draining && !worker->leaving),
        "a worker that shall take no tasks is not up");
}

static void check_seats(const struct core *core, const struct class *class, uint32_t index)
{
    uint64_t free_slots = 0;
    uint32_t suited = 0;
    for (size_t i = 0; i < core->worker_count; i++)
        suited += core->workers[i]->open && class_suits(class, core->workers[i]);
    must(suited == class->seat_count, "whoever suits a class has a seat there");
    for (uint32_t i = 0; i < class->seat_count; i++) {
        const struct seat *seat = &class->seats[i];
        const struct worker *worker = core->workers[seat->worker];
        struct member member = worker->members[seat->member];
        must(
            member.class == index && member.position == i, "a seat and its worker know each other");
        must(seat->taken == (class->noop ? worker->noops : worker->running + worker->in_hand),
            "a seat knows what its worker holds");
        must(seat->takes || !worker_takes_work(core, worker) ||
                 (class->noop ? worker->noops >= NOOPS_IN_FLIGHT_MAX
                              : seat->taken >= worker_holds_max(worker)),
            "a worker with room sits where it is found");
        must(i == 0 || !class->seats[i].takes || class->seats[(i - 1) / 2].takes,
            "those that take tasks sit in front");
        if (seat->takes && seat->taken < seat->slots)
            free_slots += seat->slots - seat->taken;
    }
    must(free_slots == class->free_slots, "a class counts its free slots");
}

static void check_classes(const struct core *core)
{
    uint64_t seats = 0, members = 0;
    for (uint32_t i = 0; i < core->class_count; i++) {
        const struct class *class = &core->classes[i];
        must((class->lanes > 0) == (class->key.length > 0), "a class lives while a lane names it");
        if (class->lanes > 0)
            check_seats(core, class, i);
        seats += class->seat_count;
    }
    for (size_t i = 0; i < core->worker_count; i++)
        members += core->workers[i]->member_count;
    must(seats == members, "a worker knows its seats");
}

static void check_dags(const struct core *core)
{
    for (size_t d = 0; d < core->dag_count; d++) {
        const struct dag *dag = &core->dags[d];
        uint32_t active = 0;
        for (uint32_t slot = dag->first_run; slot != NONE; slot = core->runs[slot].next_of_dag)
            active += core->runs[slot].state == RUN_RUNNING;
        must(active == dag->active, "a DAG counts its running runs");
        for (uint32_t slot = dag->queued_head; slot != NONE; slot = core->runs[slot].next_queued)
            must(core->runs[slot].state == RUN_QUEUED, "a DAG's queue holds queued runs");
    }
}

/* ---- who belongs to the cluster, and the audit log ---- */

static void check_peers(const struct core *core)
{
    const struct access *access = &core->access;
    size_t members = 0;
    for (size_t i = 0; i < access->peer_count; i++) {
        const struct peer_row *peer = &access->peers[i];
        must(peer_find(core, key_slice(peer->key)) == peer, "a peer is found by its key");
        must(peer->role == ROLE_WORKER || role_is_person(peer->role), "a peer has a role");
        members += peer->removed_at == 0;
    }
    must(members == access->member_count, "peers that were not removed are counted");
}

static void check_uses(const struct core *core, const struct token_state *token)
{
    uint32_t used = 0;
    for (size_t i = 0; i < core->access.peer_count; i++) {
        const struct peer_row *peer = &core->access.peers[i];
        bool its = peer->token == token->row.token;
        used += its;
        must(!its || !core->loaded || token->row.revoked_at == 0 || peer->removed_at != 0 ||
                 !role_is_person(peer->role),
            "nobody belongs to the cluster by a token that was revoked");
    }
    must(!core->loaded || (used == token->used && used <= token->row.uses),
        "a token counts those who joined by it, and they are no more than it has uses");
}

static void check_tokens(const struct core *core)
{
    const struct access *access = &core->access;
    for (size_t i = 0; i < access->token_count; i++) {
        const struct token_state *token = &access->tokens[i];
        must(token_by_id(core, token->row.token) == token &&
                 token_by_key(core, key_slice(token->row.key)) == token,
            "a token is found by its id and by its key");
        must(peer_find(core, key_slice(token->row.key)) == NULL, "a token's key is nobody's own");
        check_uses(core, token);
    }
}

static void check_audit(const struct core *core)
{
    const struct audit *audit = &core->audit;
    bool dirty = false;
    for (size_t i = 0; audit->alikes != NULL && i <= AUDIT_ALIKE_MAX; i++) {
        const struct audit_alike *alike = &audit->alikes[i];
        must(alike->row.number <= audit->last_number, "an audit row has a number that was given");
        must(!alike->dirty || alike->row.number != 0, "a count that grows has a row");
        dirty = dirty || alike->dirty;
    }
    must(!dirty || wheel_is_armed(&audit->timer), "what is not on disk yet has a timer");
}

void core_check(const struct core *core)
{
    struct totals totals = {0};
    for (size_t i = 0; i < core->run_count; i++) {
        const struct run *run = &core->runs[i];
        if (run->key == 0)
            continue;
        check_counts(core, run);
        check_lanes(run, &totals);
        if (core->work_count == 0)
            check_predecessors(run);
    }
    for (size_t i = 0; i < core->worker_count; i++)
        check_worker(core, core->workers[i], &totals);
    check_classes(core);
    check_dags(core);
    check_peers(core);
    check_tokens(core);
    check_audit(core);
    must(totals.ready == core->ready_count, "the ready tasks are counted");
    must(totals.live == core->live_attempts, "the live attempts are counted");
}

#ifdef REEVE_CHECKS
void core_check_step(const struct core *core)
{
    bool small = core->access.token_count <= SMALL_TASKS && core->access.peer_count <= SMALL_TASKS;
    for (size_t i = 0; i < core->run_count && small; i++)
        small = core->runs[i].task_count <= SMALL_TASKS;
    if (small || core->steps % WALK_EVERY_STEPS == 0)
        core_check(core);
}
#endif
