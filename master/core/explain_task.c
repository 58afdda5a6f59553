/*
 * One sentence for a task, by its state as shown.
 */
#include "common/duration.h"
#include "common/limits.h"
#include "master/core/explain.h"

/* How far a chain of waiting tasks, and a lane, are walked for one sentence. */
enum { ROOT_STEPS_MAX = 10000, BEFORE_MAX = 100000 };

void explain_span(const struct core *core, const char *before, int64_t since, struct buffer *text)
{
    char span[DURATION_TEXT_MAX];
    if (since == 0)
        return;
    duration_format_short(core->now_wall > since ? (uint64_t)(core->now_wall - since) : 0, span);
    buffer_printf(text, "%s%s", before, span);
}

/* How long until then, in boot time. */
static void append_rest(const struct core *core, uint64_t due_ms, struct buffer *text)
{
    char span[DURATION_TEXT_MAX];
    duration_format_short(due_ms > core->now_ms ? due_ms - core->now_ms : 0, span);
    buffer_append_text(text, span);
}

void explain_worker_name(const struct worker *worker, struct buffer *text)
{
    buffer_append_slice(text, worker->name);
}

static struct slice task_name(const struct run *run, uint32_t task)
{
    return plan_string(&run->plan, run_plan_task(run, task)->name);
}

static void append_task_name(
    const struct core *core, const struct run *run, uint32_t task, struct buffer *text)
{
    buffer_printf(text, "%.*s/%u/%.*s", SLICE_PRINT(core->dags[run->dag].name), run->number,
        SLICE_PRINT(task_name(run, task)));
}

static const struct attempt *live_of(const struct core *core, const struct run *run, uint32_t task)
{
    uint32_t live = run->tasks[task].live;
    return live != NONE ? core->attempts[live] : NULL;
}

static const struct worker *worker_of(const struct core *core, const struct attempt *attempt)
{
    return core->workers[attempt->worker];
}

/* ---- dependencies ---- */

/* "extract (running on w1 for 3m12s)" */
static void append_dependency(
    const struct core *core, const struct run *run, uint32_t task, struct buffer *text)
{
    const struct attempt *attempt = live_of(core, run, task);
    uint32_t state = task_shown_state(core, run, task);
    buffer_printf(text, "%.*s (%s", SLICE_PRINT(task_name(run, task)), task_state_name(state));
    if (attempt != NULL && state != TASK_READY) {
        buffer_append_text(text, " on ");
        explain_worker_name(worker_of(core, attempt), text);
        explain_span(core, " for ",
            attempt->started_at != 0 ? attempt->started_at : attempt->assigned_at, text);
    } else if (state != TASK_WAITING) {
        explain_span(core, " for ", task_moved_at(run, task), text);
    }
    buffer_append_text(text, ")");
}

/* The first dependency that has not ended, or NONE. */
static uint32_t first_open(const struct run *run, uint32_t task)
{
    const uint32_t *starts = run->plan.predecessor_starts;
    for (uint32_t i = starts[task]; i < starts[task + 1]; i++) {
        if (!task_state_is_end(run->tasks[run->plan.predecessors[i]].state))
            return run->plan.predecessors[i];
    }
    return NONE;
}

/* What a chain of waiting tasks waits for in the end. */
static void append_root(
    const struct core *core, const struct run *run, uint32_t task, struct buffer *text)
{
    uint32_t root = first_open(run, task);
    if (root == NONE || run->tasks[root].state != TASK_WAITING)
        return;
    for (uint32_t i = 0; i < ROOT_STEPS_MAX && run->tasks[root].state == TASK_WAITING; i++) {
        uint32_t above = first_open(run, root);
        if (above == NONE)
            return;
        root = above;
    }
    buffer_append_text(text, "; in the end for ");
    append_dependency(core, run, root, text);
}

static enum wait explain_dependencies(
    const struct core *core, const struct run *run, uint32_t task, struct buffer *text)
{
    const uint32_t *starts = run->plan.predecessor_starts;
    uint32_t rule = run_plan_task(run, task)->trigger_rule, open = 0;
    for (uint32_t i = starts[task]; i < starts[task + 1]; i++) {
        uint32_t above = run->plan.predecessors[i];
        if (task_state_is_end(run->tasks[above].state) || open++ >= EXPLAIN_NAMES_MAX)
            continue;
        buffer_append_text(text, open == 1 ? "waits for " : ", ");
        append_dependency(core, run, above, text);
    }
    if (open == 0) {
        buffer_append_text(text, "what it needs has ended: it goes on now");
        return WAIT_NOTHING;
    }
    if (open > EXPLAIN_NAMES_MAX)
        buffer_printf(text, " and %u more", open - EXPLAIN_NAMES_MAX);
    if (rule != TRIGGER_ALL_SUCCESS)
        buffer_printf(text, " (trigger rule %s)", trigger_rule_name((int)rule));
    append_root(core, run, task, text);
    return WAIT_DEPENDENCY;
}

static enum wait explain_waiting(
    const struct core *core, const struct run *run, uint32_t task, struct buffer *text)
{
    if (run->cancelled) {
        buffer_append_text(text, "its run is being cancelled, and so is it");
        return WAIT_CANCEL;
    }
    if (run->state == RUN_QUEUED) {
        buffer_append_text(text, "its run is ");
        return explain_queued(core, run, text);
    }
    return explain_dependencies(core, run, task, text);
}

/* ---- ready ---- */

/* Ready tasks of other lanes of its class that are served before this lane's. */
static uint64_t before_lane(const struct core *core, const struct run *run, uint32_t lane)
{
    const struct class *class = &core->classes[run->lanes[lane].class];
    struct lane_ref own = {run_slot(core, run), lane};
    uint64_t before = 0;
    for (size_t i = 0; i < class->heap_count; i++) {
        struct lane_ref other = class->heap[i];
        int order = lanes_compare(core, other, own);
        if (order < 0 || (order == 0 && other.run == own.run && other.lane < own.lane))
            before += core->runs[other.run].lanes[other.lane].count;
    }
    return before;
}

static uint64_t before_in_lane(const struct run *run, uint32_t task)
{
    uint64_t before = 0;
    for (uint32_t at = run->tasks[task].previous; at != NONE && before < BEFORE_MAX;
         at = run->tasks[at].previous)
        before++;
    return before;
}

static enum wait explain_ready(
    const struct core *core, const struct run *run, uint32_t task, struct buffer *text)
{
    uint32_t lane = run->tasks[task].lane, cap = run->plan.header->max_active_tasks;
    uint64_t before = before_in_lane(run, task);
    if (core->fenced) {
        buffer_append_slice(text, core->fenced_text);
        return WAIT_WORKER;
    }
    if (core->restoring) {
        buffer_append_text(text,
            "an older store was restored: what its workers may still run is waited out, for ");
        append_rest(core, core->restore.timer.due_ms, text);
        return WAIT_LEASE;
    }
    if (run->parked && !run->cancelled) {
        buffer_printf(text,
            "%u task%s of its run %s active already, and max_active_tasks is %u; %llu ready %s "
            "before it",
            run->active, run->active == 1 ? "" : "s", run->active == 1 ? "is" : "are", cap,
            (unsigned long long)before, before == 1 ? "one is" : "ones are");
        return WAIT_CAP;
    }
    enum wait wait = explain_class(core, &core->classes[run->lanes[lane].class], text);
    before += before_lane(core, run, lane);
    if (wait == WAIT_SLOT && before > 0)
        buffer_printf(text, "; %llu task%s before it", (unsigned long long)before,
            before == 1 ? " is" : "s are");
    return wait;
}

/* ---- on a worker ---- */

static enum wait explain_assigned(
    const struct core *core, const struct attempt *attempt, struct buffer *text)
{
    const struct worker *worker = worker_of(core, attempt);
    buffer_append_text(text, "sent to ");
    explain_worker_name(worker, text);
    if ((attempt->flags & ATTEMPT_FLAG_ASKED) != 0) {
        buffer_append_text(text, ", and asked back: another worker may start it at once");
        return WAIT_SLOT;
    }
    if (worker->running < worker->slots) {
        buffer_append_text(text, ", which starts it now");
        return WAIT_NOTHING;
    }
    buffer_printf(text, ", which starts it when one of its %u slot%s is free", worker->slots,
        worker->slots == 1 ? "" : "s");
    return WAIT_SLOT;
}

static void explain_running(const struct core *core, const struct run *run,
    const struct attempt *attempt, struct buffer *text)
{
    uint64_t timeout_ms = run_plan_task(run, attempt->task)->execution_timeout_ms;
    buffer_append_text(text, "runs on ");
    explain_worker_name(worker_of(core, attempt), text);
    if (attempt->number > 1)
        buffer_printf(text, ", attempt %u", attempt->number);
    if (timeout_ms > 0) {
        char span[DURATION_TEXT_MAX];
        duration_format_short(timeout_ms, span);
        buffer_printf(text, ", and is stopped after %s at the latest", span);
    }
}

/* When its lease and the margin end, if nothing is heard: boot time; 0: never. */
static uint64_t lease_end_ms(const struct core *core, const struct attempt *attempt)
{
    if (attempt->lease_ms == 0)
        return 0;
    if (wheel_is_armed(&attempt->expiry))
        return attempt->lease_ends_ms;
    return worker_of(core, attempt)->heartbeat_ms + attempt->lease_ms +
           LEASE_MARGIN_MS(attempt->lease_ms);
}

static const char *loss_words(enum loss verdict)
{
    static const char *const words[] = {
        [LOSS_RERUN] = "starts again",
        [LOSS_FAIL] = "fails",
        [LOSS_HOLD] = "is held",
        [LOSS_TOO_MANY] = "fails",
    };
    return words[verdict];
}

static void append_lost_hint(const struct worker *worker, struct buffer *text)
{
    buffer_append_text(text, " (reeve workers --lost ");
    explain_worker_name(worker, text);
    buffer_append_text(text, " if you know that its host is gone)");
}

/* A worker that is here and does not have it came back with another runner: a host that was started
 * again, or another one with its folder. */
static void append_silence(
    const struct core *core, const struct worker *worker, bool cancelled, struct buffer *text)
{
    explain_worker_name(worker, text);
    if (worker_is_heard(worker)) {
        buffer_append_text(text,
            " came back without it, with another runner, and the one that has it is silent: it may "
            "still run there");
        return;
    }
    buffer_append_text(text, " is silent");
    explain_span(core, " for ", worker->state_at, text);
    buffer_printf(text, ", and it may still be there: it %s as soon as that worker is back",
        cancelled ? "is cancelled" : "goes on");
}

static enum wait explain_unreachable(const struct core *core, const struct run *run,
    const struct attempt *attempt, struct buffer *text)
{
    const struct worker *worker = worker_of(core, attempt);
    bool cancelled = run->cancelled || (run->tasks[attempt->task].flags & TASK_FLAG_CANCEL) != 0;
    uint32_t losses = run->tasks[attempt->task].losses + 1;
    uint64_t end_ms = lease_end_ms(core, attempt);
    append_silence(core, worker, cancelled, text);
    if (end_ms == 0) {
        buffer_append_text(text, "; its lease is none, so that nothing else ends this wait");
        append_lost_hint(worker, text);
        return WAIT_LEASE;
    }
    buffer_printf(text, ", else it %s in ",
        cancelled ? "counts as cancelled"
                  : loss_words(loss_verdict(run, attempt->task, REASON_WORKER_LOST, losses)));
    append_rest(core, end_ms, text);
    buffer_append_text(text, ", when its lease has run out");
    append_lost_hint(worker, text);
    return WAIT_LEASE;
}

static void explain_cancelling(
    const struct core *core, const struct attempt *attempt, struct buffer *text)
{
    buffer_append_text(text, "is to be cancelled: ");
    explain_worker_name(worker_of(core, attempt), text);
    buffer_append_text(text, " was told to stop it, and has not said that it ended");
}

/* ---- between tries, held, and over ---- */

static void explain_held(
    const struct core *core, const struct run *run, uint32_t task, struct buffer *text)
{
    buffer_printf(text, "attempt %u was lost", run->tasks[task].attempt);
    if (run->tasks[task].reason != REASON_NONE)
        buffer_printf(text, " (%s)", reason_name(run->tasks[task].reason));
    buffer_append_text(
        text, " and may have finished: a person says what becomes of it (reeve mark ");
    append_task_name(core, run, task, text);
    buffer_append_text(text, " success, or reeve retry ");
    append_task_name(core, run, task, text);
    buffer_append_text(text, ")");
}

static void explain_retrying(
    const struct core *core, const struct run *run, uint32_t task, struct buffer *text)
{
    const struct task *held = &run->tasks[task];
    uint64_t wait = 0;
    buffer_printf(text, "try %u of %u failed", held->tries, run_plan_task(run, task)->retries + 1);
    if (held->reason != REASON_NONE)
        buffer_printf(text, " (%s)", reason_name(held->reason));
    if (table_get(&run->waits, task, &wait)) {
        buffer_append_text(text, "; the next begins in ");
        append_rest(core, ((const struct retry_wait *)(uintptr_t)wait)->timer.due_ms, text);
    }
    buffer_append_text(text, " (reeve retry ");
    append_task_name(core, run, task, text);
    buffer_append_text(text, " begins it now)");
}

/* The dependencies that decided, for one that ended by its trigger rule. */
static void append_culprits(const struct run *run, uint32_t task, struct buffer *text)
{
    const uint32_t *starts = run->plan.predecessor_starts;
    uint32_t count = 0;
    for (uint32_t i = starts[task]; i < starts[task + 1]; i++) {
        uint32_t above = run->plan.predecessors[i], state = run->tasks[above].state;
        if (state == TASK_SUCCESS || !task_state_is_end(state) || count++ >= EXPLAIN_NAMES_MAX)
            continue;
        buffer_printf(text, "%s%.*s %s %s", count == 1 ? ": " : ", ",
            SLICE_PRINT(task_name(run, above)), state == TASK_FAILED ? "has" : "is",
            task_state_name(state));
    }
    if (count > EXPLAIN_NAMES_MAX)
        buffer_printf(text, " and %u more", count - EXPLAIN_NAMES_MAX);
}

static void explain_end(
    const struct core *core, const struct run *run, uint32_t task, struct buffer *text)
{
    const struct task *held = &run->tasks[task];
    uint32_t rule = run_plan_task(run, task)->trigger_rule;
    buffer_append_text(text, held->state == TASK_SUCCESS ? "succeeded" : "ended");
    explain_span(core, " ", task_moved_at(run, task), text);
    if (task_moved_at(run, task) != 0)
        buffer_append_text(text, " ago");
    if (held->reason == REASON_UPSTREAM) {
        buffer_printf(text, " by its trigger rule %s", trigger_rule_name((int)rule));
        append_culprits(run, task, text);
    } else if (held->reason == REASON_MARKED) {
        buffer_append_text(text, ": a person marked it so");
    } else if (held->reason != REASON_NONE && held->state != TASK_SUCCESS) {
        buffer_printf(text, ": %s", reason_name(held->reason));
        if (held->state == TASK_FAILED && held->tries > 1)
            buffer_printf(text, ", after %u tries", held->tries);
    }
    if (held->state != TASK_FAILED || held->attempt == 0)
        return;
    buffer_append_text(text, " (reeve logs ");
    append_task_name(core, run, task, text);
    buffer_append_text(text, ")");
}

/* ---- all of them ---- */

static int64_t since_of(const struct core *core, const struct run *run, uint32_t task,
    uint32_t shown, const struct attempt *attempt)
{
    int64_t moved = task_moved_at(run, task);
    switch (shown) {
    case TASK_WAITING:
        return moved != 0 || run->state == RUN_QUEUED ? moved : run->started_at;
    case TASK_ASSIGNED:
        return attempt->assigned_at;
    case TASK_RUNNING:
        return attempt->started_at;
    case TASK_UNREACHABLE:
        return worker_of(core, attempt)->state_at;
    case TASK_CANCELLING:
        return 0;
    default:
        return moved;
    }
}

enum wait explain_task(const struct core *core, const struct run *run, uint32_t task,
    struct buffer *text, int64_t *ret_since)
{
    const struct attempt *attempt = live_of(core, run, task);
    uint32_t shown = task_shown_state(core, run, task);
    *ret_since = since_of(core, run, task, shown, attempt);
    enum wait wait;
    switch (shown) {
    case TASK_WAITING:
        wait = explain_waiting(core, run, task, text);
        connections_explain(core, &run->plan, task, text);
        return wait;
    case TASK_READY:
        wait = explain_ready(core, run, task, text);
        connections_explain(core, &run->plan, task, text);
        return wait;
    case TASK_ASSIGNED:
        return explain_assigned(core, attempt, text);
    case TASK_RUNNING:
        explain_running(core, run, attempt, text);
        return WAIT_NOTHING;
    case TASK_UNREACHABLE:
        return explain_unreachable(core, run, attempt, text);
    case TASK_CANCELLING:
        explain_cancelling(core, attempt, text);
        return WAIT_CANCEL;
    case TASK_RETRYING:
        explain_retrying(core, run, task, text);
        return WAIT_RETRY;
    case TASK_HELD:
        explain_held(core, run, task, text);
        return WAIT_PERSON;
    default:
        explain_end(core, run, task, text);
        return WAIT_NOTHING;
    }
}
