#include "master/core/request.h"

#include "common/memory.h"
#include "common/probe.h"
#include "master/core/state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* As messages.def has it for submitted. */
enum { CONNECTION_WARNINGS_MAX = 16 };

enum { REQUESTS_MAX = 4096 }; /* kept in memory; the store knows the older ones */

/* ---- answers ---- */

void request_answer(
    struct core *core, const struct event *event, enum message_id number, const void *body)
{
    struct buffer message = {0};
    message_encode(&message, number, body);
    effects_add_answer(core->effects, event->ticket, buffer_slice(&message));
    buffer_fini(&message);
}

void request_answer_change(
    struct core *core, const struct event *event, enum message_id number, const void *body)
{
    struct buffer message = {0};
    message_encode(&message, number, body);
    effects_add_answer(core->effects, event->ticket, buffer_slice(&message));
    core->outcome.changed = true;
    struct request_row *row = &effects_add_fact(core->effects, FACT_REQUEST)->request;
    row->request = event->request;
    row->answer = arena_copy(&core->effects->arena, buffer_slice(&message));
    row->at = core->now_wall;
    if (core->requests == NULL)
        core->requests = xcalloc(REQUESTS_MAX, sizeof *core->requests);
    struct request_answer *slot = &core->requests[core->request_next];
    if (slot->request != 0)
        (void)table_remove(&core->requests_by_id, slot->request);
    slice_free(&slot->message);
    *slot = (struct request_answer){event->request, slice_keep(buffer_slice(&message))};
    table_set(&core->requests_by_id, event->request, core->request_next);
    core->request_next = (core->request_next + 1) % REQUESTS_MAX;
    buffer_fini(&message);
}

void requests_fini(struct core *core)
{
    for (size_t i = 0; core->requests != NULL && i < REQUESTS_MAX; i++)
        slice_free(&core->requests[i].message);
    free(core->requests);
    table_fini(&core->requests_by_id);
}

bool request_repeat(struct core *core, const struct event *event)
{
    uint64_t slot = 0;
    if (!table_get(&core->requests_by_id, event->request, &slot) || MUTANT(REQUEST_REPEATED))
        return false;
    effects_add_answer(core->effects, event->ticket, core->requests[slot].message);
    return true;
}

void request_refuse(struct core *core, const struct event *event, int code, const char *format, ...)
{
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct msg_refused refused = {.request = event->request, .code = code, .text = slice_of(text)};
    request_answer(core, event, MESSAGE_refused, &refused);
    core->outcome.refused = true;
    core->outcome.text = arena_copy(&core->effects->arena, refused.text);
}

void request_accept(struct core *core, const struct event *event, uint32_t tasks, const char *text)
{
    struct msg_done done = {.request = event->request, .tasks = tasks, .text = slice_of(text)};
    request_answer_change(core, event, MESSAGE_done, &done);
    core->outcome.text = arena_copy(&core->effects->arena, done.text);
}

/* ---- submit ---- */

static struct slice run_name(struct core *core, const struct run *run)
{
    return arena_printf(
        &core->effects->arena, "%.*s/%u", SLICE_PRINT(core->dags[run->dag].name), run->number);
}

/* What the run will miss unless somebody sets it in time. */
static struct texts missing_of(struct core *core, const struct run *run)
{
    struct texts lines = {
        .items = arena_alloc(&core->effects->arena, CONNECTION_WARNINGS_MAX * sizeof *lines.items)};
    lines.count = connections_warn(core, &run->plan, lines.items, CONNECTION_WARNINGS_MAX);
    return lines;
}

static void answer_submitted(
    struct core *core, const struct event *event, const struct run *run, bool existing)
{
    struct msg_submitted submitted = {
        .request = event->request,
        .run = run_name(core, run),
        .existing = existing,
        .warnings = event->submit.warnings,
        .missing = missing_of(core, run),
    };
    request_answer_change(core, event, MESSAGE_submitted, &submitted);
    core->outcome.target = submitted.run;
    if (existing)
        core->outcome.text = slice_of("it existed already");
}

/* A run in memory with the same key, or NULL; the owner has asked the store for older ones. */
static const struct run *same_key(
    const struct core *core, const struct dag *dag, struct slice key_text)
{
    if (key_text.length == 0)
        return NULL;
    for (uint32_t slot = dag->first_run; slot != NONE; slot = core->runs[slot].next_of_dag) {
        if (slice_equal(core->runs[slot].key_text, key_text))
            return &core->runs[slot];
    }
    return NULL;
}

static const struct run *same_date(
    const struct core *core, const struct dag *dag, const struct submit_event *submit)
{
    if (!submit->date_given || submit->again)
        return NULL;
    for (uint32_t slot = dag->first_run; slot != NONE; slot = core->runs[slot].next_of_dag) {
        const struct run *run = &core->runs[slot];
        if (run->date_given && run->logical_date == submit->logical_date)
            return run;
    }
    return NULL;
}

static struct run *make_run(struct core *core, const struct submit_event *submit, struct dag *dag)
{
    struct run_row row = {
        .key = submit->key,
        .order = core->next_order++,
        .dag = dag->name,
        .number = ++dag->last_number,
        .state = RUN_QUEUED,
        .plan = submit->plan_hash,
        .bundle = submit->bundle,
        .context = submit->context,
        .key_text = submit->key_text,
        .date_given = submit->date_given,
        .logical_date = submit->logical_date,
        .submitted_at = core->now_wall,
    };
    struct dag_row *dag_row = &effects_add_fact(core->effects, FACT_DAG)->dag;
    dag_row->dag = arena_copy(&core->effects->arena, dag->name);
    dag_row->last_number = dag->last_number;
    return run_create(core, &row, &submit->plan);
}

void request_submit(struct core *core, const struct event *event)
{
    const struct submit_event *submit = &event->submit;
    struct slice name = plan_string(&submit->plan, submit->plan.header->name);
    struct dag *dag = dag_get(core, name);
    const struct run *existing = same_key(core, dag, submit->key_text);
    if (existing != NULL) {
        answer_submitted(core, event, existing, true);
    } else if ((existing = same_date(core, dag, submit)) != NULL) {
        request_refuse(core, event, ERR_REFUSED,
            "%.*s has a run of this date already: %.*s/%u (--again starts another)",
            SLICE_PRINT(name), SLICE_PRINT(name), existing->number);
    } else {
        struct run *run = make_run(core, submit, dag);
        run_enqueue(core, run);
        answer_submitted(core, event, run, false);
        return;
    }
    /* The plan was not taken. */
    effects_add_forgotten(core->effects, submit->key);
}

/* ---- the run or task that a change is about ---- */

static struct slice task_name(const struct run *run, uint32_t task)
{
    return plan_string(&run->plan, run_plan_task(run, task)->name);
}

static struct run *target(struct core *core, const struct event *event)
{
    struct run *run = run_by_key(core, event->change.run);
    uint32_t task = event->change.task;
    if (run == NULL || (task != TASK_ALL && task >= run->task_count)) {
        request_refuse(core, event, ERR_NOT_FOUND, "no such run or task");
        return NULL;
    }
    core->outcome.target = run_name(core, run);
    if (task != TASK_ALL)
        core->outcome.target = arena_printf(&core->effects->arena, "%.*s/%.*s",
            SLICE_PRINT(core->outcome.target), SLICE_PRINT(task_name(run, task)));
    return run;
}

/* An attempt of it may be alive. */
static bool is_live(const struct core *core, const struct run *run, uint32_t task)
{
    uint32_t live = run->tasks[task].live;
    return live != NONE && (core->attempts[live]->flags & ATTEMPT_FLAG_EXPIRED) == 0;
}

/* ---- cancel ---- */

static void cancel_run(struct core *core, const struct event *event, struct run *run)
{
    if (run->state != RUN_QUEUED && run->state != RUN_RUNNING) {
        request_accept(core, event, 0, "it had ended already");
        return;
    }
    uint32_t open = 0;
    for (uint32_t state = TASK_WAITING; state <= TASK_HELD; state++)
        open += run->counts[state];
    run->cancelled = true;
    run_park(core, run);
    run_fact(core, run);
    work_add(core, WORK_CANCEL, run);
    request_accept(core, event, open, "");
}

static void cancel_task(
    struct core *core, const struct event *event, struct run *run, uint32_t index)
{
    struct task *task = &run->tasks[index];
    if (task_state_is_end(task->state)) {
        request_accept(core, event, 0, "it had ended already");
        return;
    }
    if (is_live(core, run, index)) {
        task->flags |= TASK_FLAG_CANCEL;
        span_add(core, run, index, SPAN_CANCEL_WISH, (struct cause){REASON_CANCELLED, {0}});
        attempt_cancel(core, core->attempts[task->live]);
    } else {
        if (task->live != NONE)
            attempt_bury(core, core->attempts[task->live]);
        task_end(core, run, index, TASK_EVENT_CANCEL, (struct cause){REASON_CANCELLED, {0}});
    }
    request_accept(core, event, 1, "");
}

void request_cancel(struct core *core, const struct event *event)
{
    struct run *run = target(core, event);
    if (run == NULL)
        return;
    if (event->change.task == TASK_ALL)
        cancel_run(core, event, run);
    else
        cancel_task(core, event, run, event->change.task);
}

/* ---- retry ---- */

static bool goes_again(uint32_t state)
{
    return state == TASK_FAILED || state == TASK_CANCELLED || state == TASK_UPSTREAM_FAILED;
}

/* Marks what a retry resets: what it names, and, unless `only`, all below. Returns how many have
 * ended. */
static uint32_t mark_chosen(
    const struct event *event, const struct run *run, bool *chosen, uint32_t *line)
{
    uint32_t head = 0, tail = 0, ended = 0;
    for (uint32_t i = 0; i < run->task_count; i++) {
        bool named = event->change.task == i;
        if (named || (event->change.task == TASK_ALL && goes_again(run->tasks[i].state))) {
            chosen[i] = true;
            line[tail++] = i;
        }
    }
    while (head < tail) {
        uint32_t at = line[head++];
        ended += task_state_is_end(run->tasks[at].state) || run->tasks[at].state == TASK_HELD;
        for (uint32_t i = run->plan.successor_starts[at];
             !event->change.only && i < run->plan.successor_starts[at + 1]; i++) {
            uint32_t below = run->plan.successors[i];
            if (!chosen[below])
                line[tail++] = below;
            chosen[below] = true;
        }
    }
    return ended;
}

/* The first chosen task whose attempt may be alive, or NONE. One whose lease has run out is not. */
static uint32_t first_alive(const struct core *core, const struct run *run, const bool *chosen)
{
    for (uint32_t i = 0; i < run->task_count; i++) {
        if (chosen[i] && is_live(core, run, i) && !MUTANT(RESET_ALIVE))
            return i;
    }
    return NONE;
}

static void set_context(struct run *run, struct slice context)
{
    if (context.length == 0)
        return;
    json_t *parsed = json_loadb(context.ptr, context.length, JSON_ALLOW_NUL, NULL);
    if (parsed == NULL)
        return;
    json_decref(run->context);
    run->context = parsed;
    slice_free(&run->context_text);
    run->context_text = slice_keep(context);
}

/* What was ready below waits anew. Their ends are forgotten by their successors before anything is
 * evaluated anew. */
static void reset_chosen(struct core *core, struct run *run, const bool *chosen)
{
    for (uint32_t i = 0; i < run->task_count; i++) {
        if (!chosen[i] || run->tasks[i].state == TASK_WAITING)
            continue;
        if (run->tasks[i].live != NONE)
            attempt_bury(core, core->attempts[run->tasks[i].live]);
        task_move(core, run, i, TASK_EVENT_RESET, REASON_NONE);
        span_add(core, run, i, SPAN_RESET, (struct cause){REASON_NONE, {0}});
        task_show(core, run, i, (struct slice){0});
    }
    span_flush(core);
    while (core->work_count > 0)
        work_go_on(core);
}

static void reset_and_start(
    struct core *core, const struct event *event, struct run *run, const bool *chosen)
{
    reset_chosen(core, run, chosen);
    set_context(run, event->change.context);
    run->cancelled = false;
    run_park(core, run);
    if (run->state == RUN_RUNNING || run->state == RUN_QUEUED) {
        run_fact(core, run);
        work_add(core, WORK_START, run);
        return;
    }
    run_enqueue(core, run);
}

void request_retry(struct core *core, const struct event *event)
{
    /* Every end is counted where it belongs before any of them is taken back. */
    while (core->work_count > 0)
        work_go_on(core);
    struct run *run = target(core, event);
    if (run == NULL)
        return;
    uint32_t named = event->change.task;
    if (named != TASK_ALL && run->tasks[named].state == TASK_RETRYING) {
        task_move(core, run, named, TASK_EVENT_DUE, REASON_NONE);
        task_show(core, run, named, (struct slice){0});
        request_accept(core, event, 1, "its next try starts now");
        return;
    }
    bool *chosen = xcalloc(run->task_count, sizeof *chosen);
    uint32_t *line = xcalloc(run->task_count, sizeof *line);
    uint32_t ended = mark_chosen(event, run, chosen, line);
    uint32_t alive = first_alive(core, run, chosen);
    if (alive != NONE) {
        request_refuse(core, event, ERR_REFUSED,
            "an attempt of task \"%.*s\" may be alive: wait for it, or cancel it first",
            SLICE_PRINT(task_name(run, alive)));
    } else if (ended == 0) {
        request_refuse(core, event, ERR_REFUSED,
            "nothing to retry: no task of it failed, was cancelled or is upstream_failed (a held "
            "one "
            "goes again when it is named)");
    } else {
        reset_and_start(core, event, run, chosen);
        request_accept(core, event, ended, "");
    }
    free(chosen);
    free(line);
}

/* ---- mark ---- */

static enum task_event event_of_mark(uint32_t state)
{
    if (state == TASK_SUCCESS)
        return TASK_EVENT_MARK_SUCCESS;
    return state == TASK_SKIPPED ? TASK_EVENT_MARK_SKIPPED : TASK_EVENT_MARK_FAILED;
}

void request_mark(struct core *core, const struct event *event)
{
    struct run *run = target(core, event);
    if (run == NULL)
        return;
    uint32_t index = event->change.task, state = event->change.state;
    if (index == TASK_ALL ||
        (state != TASK_SUCCESS && state != TASK_SKIPPED && state != TASK_FAILED)) {
        request_refuse(
            core, event, ERR_USAGE, "mark takes one task, and success, skipped or failed");
        return;
    }
    if (is_live(core, run, index)) {
        request_refuse(core, event, ERR_REFUSED,
            "task \"%.*s\" is running: cancel it first, or wait for it",
            SLICE_PRINT(task_name(run, index)));
        return;
    }
    if (run->tasks[index].live != NONE)
        attempt_bury(core, core->attempts[run->tasks[index].live]);
    task_end(
        core, run, index, event_of_mark(state), (struct cause){REASON_MARKED, event->change.note});
    request_accept(core, event, 1, "");
}
