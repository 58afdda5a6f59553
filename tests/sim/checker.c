/*
 * The judge: it sees processes, durable rows and answers, as a person with a stopwatch and the
 * database would, and shares no code with the cores. docs/guarantees.md lists what must hold.
 */
#include "tests/sim/checker.h"
#include "common/memory.h"
#include "common/table.h"

#include <stdlib.h>

enum {
    FRESH_MS = 3000,
    CPU_MS = 6000,
    /* As the workload has it. */
    KILL_GRACE_MS = 2000,
    /* In a good world a wish reaches whoever is there, or the lease runs out. */
    CANCEL_MS = 200000,
};

/* ---- may it start? the rules, by their definitions ---- */

struct ends {
    uint32_t all, success, failed, skipped, upstream, open;
};

static struct ends ends_above(const struct seen_run *run, uint32_t task)
{
    struct ends ends = {0};
    const struct sim_task *asked = &run->plan->tasks[task];
    for (uint32_t i = 0; i < asked->parent_count; i++) {
        uint32_t end = run->tasks[asked->parents[i]].end;
        ends.all++;
        ends.success += end == TASK_SUCCESS;
        ends.failed += end == TASK_FAILED || end == TASK_CANCELLED;
        ends.skipped += end == TASK_SKIPPED;
        ends.upstream += end == TASK_UPSTREAM_FAILED;
        ends.open += end == 0;
    }
    return ends;
}

static bool may_start(const char *rule, const struct ends *e)
{
    struct slice name = slice_of(rule);
    uint32_t bad = e->failed + e->upstream;
    if (e->all == 0 || slice_is(name, "always"))
        return true;
    if (slice_is(name, "all_success"))
        return e->success == e->all;
    if (slice_is(name, "all_failed"))
        return bad == e->all;
    if (slice_is(name, "all_done"))
        return e->open == 0;
    if (slice_is(name, "all_done_min_one_success"))
        return e->open == 0 && e->success >= 1;
    if (slice_is(name, "all_skipped"))
        return e->skipped == e->all;
    if (slice_is(name, "one_failed"))
        return bad >= 1;
    if (slice_is(name, "one_success"))
        return e->success >= 1;
    if (slice_is(name, "one_done"))
        return e->success + e->failed >= 1;
    if (slice_is(name, "none_failed"))
        return e->open == 0 && bad == 0;
    if (slice_is(name, "none_failed_min_one_success"))
        return e->open == 0 && bad == 0 && e->success >= 1;
    return e->open == 0 && e->skipped == 0; /* none_skipped */
}

/* Once a rule has held, what a person marks or resets above takes nothing back. */
static void see_rule(struct seen_run *run, uint32_t task)
{
    struct ends ends = ends_above(run, task);
    if (may_start(trigger_rule_name((int)run->plan->tasks[task].rule), &ends))
        run->tasks[task].ruled = true;
}

/* A task's end has changed: for those below it counts. */
static void see_rules_below(struct seen_run *run, uint32_t task)
{
    for (uint32_t i = run->plan->child_starts[task]; i < run->plan->child_starts[task + 1]; i++)
        see_rule(run, run->plan->children[i]);
}

struct checker *checker_create(void)
{
    return xcalloc(1, sizeof(struct checker));
}

void checker_destroy(struct checker *checker)
{
    for (uint32_t i = 0; i < checker->run_count; i++) {
        for (uint32_t t = 0; t < checker->runs[i].plan->task_count; t++)
            free(checker->runs[i].tasks[t].attempts);
        free(checker->runs[i].tasks);
    }
    checker_forget_backup(checker);
    table_fini(&checker->dead);
    free(checker);
}

static struct seen_run *seen_run(struct world *world, uint64_t key)
{
    struct checker *checker = world->checker;
    for (uint32_t i = 0; i < checker->run_count; i++) {
        if (checker->runs[i].key == key)
            return &checker->runs[i];
    }
    const struct sim_run *plan = workload_find(world, key);
    if (checker->run_count == SEEN_RUNS_MAX)
        violated(world, "more runs than were submitted");
    struct seen_run *run = &checker->runs[checker->run_count++];
    *run = (struct seen_run){
        .key = key, .plan = plan, .tasks = xcalloc(plan->task_count, sizeof *run->tasks)};
    for (uint32_t i = 0; i < plan->task_count; i++)
        see_rule(run, i);
    return run;
}

static struct seen_attempt *seen_attempt(struct world *world, const struct attempt_id *id)
{
    struct seen_task *task = &seen_run(world, id->run)->tasks[id->task];
    while (task->attempt_count < id->attempt) {
        vector_reserve(&task->attempts, task->attempt_count, &task->attempt_capacity);
        task->attempts[task->attempt_count++] = (struct seen_attempt){0};
    }
    return &task->attempts[id->attempt - 1];
}

/* ---- processes ---- */

/* Side by side on a host: as many as it has slots, and only where somebody has just been heard. */
static void check_host(struct world *world, const struct process *process, uint64_t now_ms)
{
    const struct host *host = &world->hosts[process->host];
    uint32_t alive = 0;
    for (size_t i = 0; i < world->process_count; i++)
        alive += world->processes[i].number != 0 && world->processes[i].host == host->index;
    if (alive > host->slots)
        violated(world, "%u processes at once on a host of %u slots", alive, host->slots);
    if (now_ms - host->answered_ms > FRESH_MS)
        violated(world, "a process was started %llu ms after what the master has last heard of",
            (unsigned long long)(now_ms - host->answered_ms));
}

static bool may_any_double(const struct sim_run *plan)
{
    bool may = false;
    for (uint32_t i = 0; i < plan->task_count; i++)
        may = may || plan->tasks[i].idempotent;
    return may;
}

void checker_process_started(struct world *world, const struct process *process, uint64_t now_ms)
{
    check_host(world, process, now_ms);
    struct seen_run *run = seen_run(world, process->id.run);
    const struct sim_run *plan = run->plan;
    struct seen_task *task = &run->tasks[process->id.task];
    struct seen_attempt *attempt = seen_attempt(world, &process->id);
    if ((plan->tasks[process->id.task].asks & ~host_has(world, process->host)) != 0)
        violated(world, "%s of run %llx runs on a host that lacks what it asks",
            plan->tasks[process->id.task].name, (unsigned long long)run->key);
    bool may_double = plan->tasks[process->id.task].idempotent;
    if (task->alive > 0 && !may_double)
        violated(world, "two processes of %s of run %llx at once",
            plan->tasks[process->id.task].name, (unsigned long long)run->key);
    if (attempt->instance != 0)
        violated(world, "an attempt was started twice");
    /* The loser of two may begin before its end comes to it, and what a store knew that was lost.
     */
    if (attempt->state != ATTEMPT_ASSIGNED && !attempt->undone &&
        !(may_double && attempt->state == ATTEMPT_CANCELLED))
        violated(
            world, "an attempt was started whose assignment is not durable, or that had ended");
    if (process->id.attempt < task->last_number && !may_double)
        violated(world, "an older attempt was started after a newer one");
    attempt->instance = process->instance;
    attempt->there = true;
    task->last_number = process->id.attempt;
    task->alive++;
    if (++run->alive > plan->max_active_tasks && plan->max_active_tasks > 0 &&
        !may_any_double(plan))
        violated(world, "%u processes at once of run %llx, which may have %u", run->alive,
            (unsigned long long)run->key, plan->max_active_tasks);
}

void checker_process_frozen(struct world *world, const struct process *process)
{
    struct seen_run *run = seen_run(world, process->id.run);
    run->tasks[process->id.task].alive--;
    run->alive--;
}

void checker_process_thawed(struct world *world, const struct process *process)
{
    struct seen_run *run = seen_run(world, process->id.run);
    run->alive++;
    if (++run->tasks[process->id.task].alive > 1 && !run->plan->tasks[process->id.task].idempotent)
        violated(world, "two processes of %s of run %llx at once: one was paused with its host",
            run->plan->tasks[process->id.task].name, (unsigned long long)run->key);
}

/* The runner's own clock may be 8% slow, and it gets the CPU within 5 s. */
static void check_timeout(
    struct world *world, const struct seen_run *run, const struct process *process)
{
    const struct sim_task *task = &run->plan->tasks[process->id.task];
    uint64_t most_ms = task->timeout_s * UINT64_C(1100) + KILL_GRACE_MS + CPU_MS;
    if (task->timeout_s > 0 && !process->struck && world->now_ms > process->started_ms + most_ms &&
        !table_get(&world->checker->dead, process->instance, NULL))
        violated(world, "%s of run %llx ran for %llu ms, and times out after %u s", task->name,
            (unsigned long long)run->key, (unsigned long long)(world->now_ms - process->started_ms),
            task->timeout_s);
}

uint64_t checker_cancelled_ms(struct world *world, const struct attempt_id *id)
{
    const struct seen_run *run = seen_run(world, id->run);
    const struct seen_task *task = &run->tasks[id->task];
    if (run->cancelled || run->vanished)
        return run->cancelled_ms;
    return task->cancel_wish ? task->cancel_ms : 0;
}

void checker_cancels(struct world *world)
{
    for (size_t i = 0; i < world->process_count; i++) {
        const struct process *process = &world->processes[i];
        if (process->number == 0 || process->frozen)
            continue;
        const struct attempt_id *id = &process->id;
        uint64_t at_ms = checker_cancelled_ms(world, id);
        if (at_ms != 0 && world->now_ms > at_ms + CANCEL_MS)
            violated(world, "%s of run %llx was cancelled %llu ms ago, and its process is there",
                workload_find(world, id->run)->tasks[id->task].name, (unsigned long long)id->run,
                (unsigned long long)(world->now_ms - at_ms));
    }
}

void checker_process_ended(struct world *world, const struct process *process)
{
    struct seen_run *run = seen_run(world, process->id.run);
    seen_attempt(world, &process->id)->there = false;
    check_timeout(world, run, process);
    if (process->frozen)
        return;
    run->tasks[process->id.task].alive--;
    run->alive--;
}

void checker_runner_died(struct world *world, uint64_t instance)
{
    table_set(&world->checker->dead, instance, 1);
}

void checker_result_saved(struct world *world, const struct attempt_id *id)
{
    seen_attempt(world, id)->saved = true;
}

void checker_result_dropped(struct world *world, const struct attempt_id *id)
{
    const struct seen_attempt *seen = seen_attempt(world, id);
    if (seen->state == ATTEMPT_ASSIGNED && !seen->undone)
        violated(
            world, "a worker gave up the result of %u@%u, which no row has", id->task, id->attempt);
}

/* ---- rows ---- */

static void set_end(
    struct world *world, struct seen_run *run, uint32_t task, uint32_t end, bool marked)
{
    struct seen_task *seen = &run->tasks[task];
    if (seen->end != 0 && seen->end != end && !marked)
        violated(world,
            "task %u of run %llx left its end %s for %s without a recorded retry or mark", task,
            (unsigned long long)run->key, task_state_name(seen->end), task_state_name(end));
    seen->end = end;
    see_rules_below(run, task);
}

/* The host on which the process of an older attempt is, if its runner is the one that lives. */
static const struct host *host_of(const struct world *world, const struct seen_attempt *seen)
{
    for (uint32_t i = 0; i < world->host_count && seen->there; i++) {
        if (world->hosts[i].instance == seen->instance && world->hosts[i].runner != NULL)
            return &world->hosts[i];
    }
    return NULL;
}

/* One that may be alive stands beside none, or an idempotent task's beside one other. */
static void check_doubles(
    struct world *world, const struct seen_run *run, const struct attempt_row *row)
{
    const struct seen_task *task = &run->tasks[row->id.task];
    uint32_t open = 0;
    for (size_t i = 0; i + 1 < row->id.attempt && i < task->attempt_count; i++) {
        if (task->attempts[i].state != ATTEMPT_ASSIGNED)
            continue;
        losses_see_double(world, row, host_of(world, &task->attempts[i]));
        if (++open > 1)
            violated(world, "task %u of run %llx has a third attempt", row->id.task,
                (unsigned long long)run->key);
    }
}

/* What may be assigned, by what is durable. */
static void check_assigned(
    struct world *world, const struct seen_run *run, const struct attempt_row *row)
{
    const struct seen_task *task = &run->tasks[row->id.task];
    unsigned long long key = run->key;
    if (run->cancelled || task->cancel_wish)
        violated(world, "task %u of run %llx was assigned after its cancel was recorded",
            row->id.task, key);
    if (!task->ruled)
        violated(world, "task %u of run %llx was assigned before its rule held by what is durable",
            row->id.task, key);
    check_doubles(world, run, row);
    if (world->checker->draining[row->worker])
        violated(
            world, "task %u of run %llx was assigned to a worker that drains", row->id.task, key);
}

static bool is_dead(const struct world *world, uint64_t instance)
{
    return table_get(&world->checker->dead, instance, NULL);
}

/* What may be said of an attempt, by what the world has seen of its process. */
static void check_end(
    struct world *world, const struct seen_attempt *seen, const struct attempt_row *row)
{
    bool lost = row->state == ATTEMPT_LOST;
    if (lost && row->reason == REASON_NOT_STARTED && seen->saved)
        violated(world, "%u@%u is said not to have started, and its result is on a disk",
            row->id.task, row->id.attempt);
    if (lost && row->reason == REASON_NOT_STARTED && seen->instance != 0 &&
        !is_dead(world, seen->instance))
        violated(world, "%u@%u is said not to have started, and its runner has started it",
            row->id.task, row->id.attempt);
    bool superseded = row->reason == REASON_SUPERSEDED;
    if (superseded && !seen_run(world, row->id.run)->plan->tasks[row->id.task].idempotent)
        violated(
            world, "%u@%u was superseded, and is not idempotent", row->id.task, row->id.attempt);
    if (seen->there && !superseded && (!lost || row->reason == REASON_LEASE))
        violated(world, "%u@%u has ended as %s, and its process is there", row->id.task,
            row->id.attempt, attempt_state_name(row->state));
    if (row->state == ATTEMPT_FAILED &&
        (row->reason == REASON_LEASE || row->reason == REASON_WORKER_LOST ||
            row->reason == REASON_WORKER_STOPPED))
        violated(world, "%u@%u has failed because of its worker", row->id.task, row->id.attempt);
}

static bool has_open(const struct seen_task *task)
{
    for (size_t i = 0; i < task->attempt_count; i++) {
        if (task->attempts[i].state == ATTEMPT_ASSIGNED)
            return true;
    }
    return false;
}

/* What the end of an attempt means for its task: of two, the first that is none of a loser's. */
static void see_end(struct world *world, struct seen_run *run, const struct attempt_row *row)
{
    struct seen_task *task = &run->tasks[row->id.task];
    if (row->reason == REASON_SUPERSEDED)
        return;
    uint32_t retries = run->plan->tasks[row->id.task].retries;
    if (row->state == ATTEMPT_SUCCESS)
        set_end(world, run, row->id.task, TASK_SUCCESS, false);
    else if (row->state == ATTEMPT_SKIPPED)
        set_end(world, run, row->id.task, TASK_SKIPPED, false);
    else if (row->state == ATTEMPT_CANCELLED && !has_open(task))
        set_end(world, run, row->id.task, TASK_CANCELLED, false);
    else if (row->state == ATTEMPT_FAILED && ++task->failures > retries)
        set_end(world, run, row->id.task, TASK_FAILED, false);
}

static void see_attempt(struct world *world, const struct attempt_row *row)
{
    tell(world, "durable: %u@%u of run %llx is %s (%s), worker %u", row->id.task, row->id.attempt,
        (unsigned long long)row->id.run, attempt_state_name(row->state), reason_name(row->reason),
        row->worker);
    struct seen_run *run = seen_run(world, row->id.run);
    struct seen_attempt *seen = seen_attempt(world, &row->id);
    if (seen->state == row->state)
        return;
    if (seen->state != 0 && seen->state != ATTEMPT_ASSIGNED)
        violated(world, "an attempt left its end %s for %s", attempt_state_name(seen->state),
            attempt_state_name(row->state));
    bool assigned = row->state == ATTEMPT_ASSIGNED;
    if ((assigned || row->state == ATTEMPT_SUCCESS) && world->checker->removed[row->worker])
        violated(world, "%u@%u of run %llx: worker %u was removed, and is listened to",
            row->id.task, row->id.attempt, (unsigned long long)run->key, row->worker);
    if (assigned)
        check_assigned(world, run, row);
    else
        check_end(world, seen, row);
    seen->state = row->state;
    if (!assigned && row->state != ATTEMPT_LOST && world->now_ms > world->moved_ms)
        world->moved_ms = world->now_ms;
    losses_see_attempt(world, row);
    if (row->round == run->tasks[row->id.task].round)
        see_end(world, run, row);
}

/* Nothing is known of what a lost store had started, until its worker is heard. */
static bool is_known_alive(const struct seen_task *task)
{
    uint32_t unknown = 0;
    for (size_t i = 0; i < task->attempt_count; i++)
        unknown += task->attempts[i].there && task->attempts[i].undone;
    return task->alive > unknown;
}

static void see_span(struct world *world, const struct span_row *row)
{
    struct seen_run *run = seen_run(world, row->run);
    tell(world, "durable: tasks %u to %u of run %llx: %s (%s)", row->first, row->last,
        (unsigned long long)row->run,
        row->state == SPAN_RESET ? "reset" : task_state_name(row->state), reason_name(row->reason));
    for (uint32_t i = row->first; i <= row->last; i++) {
        losses_see_span(world, row, i);
        if (row->state == SPAN_RESET) {
            run->tasks[i].end = 0;
            run->tasks[i].failures = 0;
            run->tasks[i].ruled = false;
            run->tasks[i].cancel_wish = false;
            run->tasks[i].round++;
            if (is_known_alive(&run->tasks[i]) && !run->plan->tasks[i].idempotent)
                violated(world, "task %u was reset while a process of it is alive", i);
            see_rule(run, i);
            see_rules_below(run, i);
        } else if (row->state == SPAN_CANCEL_WISH) {
            run->tasks[i].cancel_wish = true;
            run->tasks[i].cancel_ms = world->now_ms;
        } else {
            set_end(world, run, i, row->state, row->reason == REASON_MARKED);
        }
    }
}

/* As many of one DAG as may run at once. */
static void check_started(struct world *world, const struct seen_run *run)
{
    uint32_t running = 1;
    for (uint32_t i = 0; i < world->checker->run_count; i++) {
        const struct seen_run *other = &world->checker->runs[i];
        running += other != run && !other->vanished && other->state == RUN_RUNNING &&
                   other->plan->dag == run->plan->dag;
    }
    if (running > run->plan->max_active_runs)
        violated(world, "%u runs at once of a DAG that may have %u", running,
            run->plan->max_active_runs);
}

static void see_run(struct world *world, const struct run_row *row)
{
    struct seen_run *run = seen_run(world, row->key);
    if (row->state == RUN_RUNNING && run->state != RUN_RUNNING)
        check_started(world, run);
    tell(world, "durable: run %llx is %s%s", (unsigned long long)row->key,
        run_state_name(row->state), row->cancelled ? ", to be cancelled" : "");
    run->state = row->state;
    if (row->cancelled && !run->cancelled)
        run->cancelled_ms = world->now_ms;
    run->cancelled = row->cancelled;
}

static bool undrain_was_asked(const struct world *world, const struct worker_row *row)
{
    for (uint32_t i = 0; i < world->asked_count; i++) {
        const struct asked *asked = &world->asked[i];
        if (asked->kind == EVENT_DRAIN && asked->only && asked->run + 1 == row->key[0])
            return true;
    }
    return false;
}

static void see_worker(struct world *world, const struct worker_row *row)
{
    struct checker *checker = world->checker;
    bool before = checker->draining[row->number];
    if (before != row->draining)
        tell(world, "durable: worker %u %s", row->number, row->draining ? "drains" : "takes tasks");
    if (before && !row->draining && !undrain_was_asked(world, row))
        violated(world, "a person's wish that worker %u drains was forgotten", row->number);
    if (checker->removed[row->number])
        violated(world, "worker %u, which was removed, has a new row", row->number);
    checker->removed[row->number] |= row->removed;
    checker->draining[row->number] = row->draining;
}

/* A key that was removed stays so, and no more keys join than the token has uses. */
static void see_peer(struct world *world, const struct peer_row *row)
{
    struct checker *checker = world->checker;
    uint32_t i = 0;
    while (i < checker->peer_count && memcmp(checker->peers[i].key, row->key, 32) != 0)
        i++;
    if (i == checker->peer_count && ++checker->peer_count > world->joins_wanted)
        violated(world, "%u keys joined by a token of %u uses", i + 1, world->joins_wanted);
    if (checker->peers[i].removed && row->removed_at == 0)
        violated(world, "a key that was removed came back");
    memcpy(checker->peers[i].key, row->key, 32);
    checker->peers[i].removed = row->removed_at != 0;
    tell(world, "durable: %.*s %s", SLICE_PRINT(row->name),
        row->removed_at != 0 ? "was removed" : "has joined");
}

static void see_session(struct world *world, const struct session_row *row)
{
    if (world->checker->removed[row->worker])
        violated(world, "worker %u, which was removed, has a session", row->worker);
}

void checker_committed(struct world *world, const struct fact *facts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (facts[i].kind == FACT_ATTEMPT)
            see_attempt(world, &facts[i].attempt);
        else if (facts[i].kind == FACT_SPAN)
            see_span(world, &facts[i].span);
        else if (facts[i].kind == FACT_RUN)
            see_run(world, &facts[i].run);
        else if (facts[i].kind == FACT_WORKER)
            see_worker(world, &facts[i].worker);
        else if (facts[i].kind == FACT_PEER)
            see_peer(world, &facts[i].peer);
        else if (facts[i].kind == FACT_SESSION)
            see_session(world, &facts[i].session);
    }
}

void checker_epoch(struct world *world, uint64_t epoch)
{
    if (epoch <= world->checker->epoch)
        violated(world, "the epoch did not grow");
    world->checker->epoch = epoch;
}

/* ---- the end ---- */

static bool is_over(uint32_t state)
{
    return state == RUN_SUCCESS || state == RUN_FAILED || state == RUN_CANCELLED;
}

/* It is killed within its grace, and where its worker is silent with that one's return. */
static bool loser_is_alive(const struct world *world)
{
    for (uint32_t i = 0; i < world->checker->run_count; i++) {
        const struct seen_run *run = &world->checker->runs[i];
        for (uint32_t t = 0; t < run->plan->task_count; t++) {
            if (run->plan->tasks[t].idempotent && run->tasks[t].alive > 0)
                return true;
        }
    }
    return false;
}

/* Asked after each happening: what is most often not so comes first. */
bool checker_all_ended(const struct world *world)
{
    for (uint32_t i = 0; i < world->run_count; i++) {
        if (!world->runs[i].acknowledged)
            return false;
    }
    if (world->checker->run_count < world->run_count)
        return false;
    for (uint32_t i = 0; i < world->checker->run_count; i++) {
        const struct seen_run *run = &world->checker->runs[i];
        if (run->vanished ? run->alive > 0 : !is_over(run->state))
            return false;
    }
    for (uint32_t i = 0; i < world->asked_count; i++) {
        if (!world->asked[i].answered)
            return false;
    }
    return !loser_is_alive(world);
}

/* docs/dag-file.md: failed, cancelled or upstream_failed, unless it is allowed, or came so by
 * allowed failures only. */
static bool is_red(const struct seen_run *run, uint32_t task)
{
    uint32_t end = run->tasks[task].end;
    if (run->plan->tasks[task].allow_failure)
        return false;
    if (end == TASK_FAILED || end == TASK_CANCELLED)
        return true;
    if (end != TASK_UPSTREAM_FAILED)
        return false;
    struct ends above = ends_above(run, task);
    return above.failed + above.upstream == 0;
}

static void check_run(struct world *world, const struct sim_run *plan)
{
    const struct seen_run *run = seen_run(world, plan->key);
    bool failed = false;
    if (!is_over(run->state))
        violated(world, "run %llx has not ended: %s", (unsigned long long)run->key,
            run->state == 0 ? "it vanished" : run_state_name(run->state));
    for (uint32_t i = 0; i < plan->task_count; i++) {
        uint32_t end = run->tasks[i].end;
        if (end == 0)
            violated(world, "run %llx ended, its task %u did not", (unsigned long long)run->key, i);
        if (run->tasks[i].alive > 0)
            violated(world, "run %llx ended, a process of task %u is alive",
                (unsigned long long)run->key, i);
        failed = failed || is_red(run, i);
    }
    uint32_t expected = failed ? RUN_FAILED : RUN_SUCCESS;
    if (run->state != expected && run->state != RUN_CANCELLED)
        violated(world, "run %llx is %s, its tasks make it %s", (unsigned long long)run->key,
            run_state_name(run->state), run_state_name(expected));
    if (run->state == RUN_CANCELLED && !run->cancelled)
        violated(
            world, "run %llx is cancelled, and nobody cancelled it", (unsigned long long)run->key);
}

void checker_finish(struct world *world)
{
    for (uint32_t i = 0; i < world->run_count; i++) {
        if (!world->runs[i].acknowledged)
            violated(world, "a submit was never acknowledged");
        if (!world->runs[i].vanished)
            check_run(world, &world->runs[i]);
    }
    for (uint32_t i = 0; i < world->checker->run_count; i++) {
        if (world->checker->runs[i].vanished && world->checker->runs[i].alive > 0)
            violated(world, "a process of run %llx is alive, which went with a store",
                (unsigned long long)world->checker->runs[i].key);
    }
}
