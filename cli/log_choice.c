#include "cli/log_choice.h"

#include "cli/times.h"
#include "cli/why.h"
#include "common/memory.h"

#include <stdlib.h>

static void add(struct log_choices *choices, const struct msg_run_info *run,
    const struct task_info *task, const struct attempt_info *attempt)
{
    vector_reserve(&choices->items, choices->count, &choices->capacity);
    choices->items[choices->count++] = (struct log_choice){
        .id = {.run = run->key, .task = task->index, .attempt = attempt->attempt},
        .task = xasprintf("%.*s", SLICE_PRINT(task->task)),
        .error = xasprintf("%.*s", SLICE_PRINT(attempt->error)),
        .state = attempt->state,
        .reason = attempt->reason,
        .exit_code = attempt->exit_code,
        .started_at = attempt->started_at != 0 ? attempt->started_at : attempt->assigned_at,
        .ended_at = attempt->ended_at,
        .log_bytes = attempt->log_bytes,
    };
}

void log_choices_add(struct log_choices *choices, const struct log_wish *wish,
    const struct msg_run_info *run, const struct task_info *task, uint32_t above)
{
    uint32_t count = task->attempts.count;
    if (wish->failed && task->state != TASK_FAILED)
        return;
    for (uint32_t i = 0; i < count; i++) {
        const struct attempt_info *attempt = &task->attempts.items[i];
        bool wanted = i + 1 == count;
        if (wish->selector.all)
            wanted = true;
        if (wish->selector.attempt != 0)
            wanted = attempt->attempt == wish->selector.attempt;
        if (wanted && attempt->attempt > above)
            add(choices, run, task, attempt);
    }
}

void log_append_unstarted(
    const struct msg_run_info *run, const struct task_info *task, struct buffer *out)
{
    uint32_t count = task->attempts.count;
    uint32_t last = count > 0 ? task->attempts.items[count - 1].state : 0;
    if (task->state != TASK_FAILED || last == ATTEMPT_FAILED || last == ATTEMPT_LOST)
        return;
    buffer_printf(out, "%.*s/%.*s failed%s: ", SLICE_PRINT(run->run), SLICE_PRINT(task->task),
        count == 0 ? " before it started" : "");
    why_append(task_state_name(task->state), task->reason, task->error, out);
    buffer_append_text(out, "\n");
}

static int compare(const void *left, const void *right)
{
    const struct log_choice *a = left, *b = right;
    bool a_waits = a->started_at == 0, b_waits = b->started_at == 0;
    if (a_waits != b_waits)
        return a_waits ? 1 : -1;
    if (a->started_at != b->started_at)
        return a->started_at < b->started_at ? -1 : 1;
    int order = strcmp(a->task, b->task);
    if (order != 0)
        return order;
    return (a->id.attempt > b->id.attempt) - (a->id.attempt < b->id.attempt);
}

void log_choices_sort(struct log_choices *choices)
{
    if (choices->count > 1)
        qsort(choices->items, choices->count, sizeof *choices->items, compare);
}

void log_choice_fini(struct log_choice *choice)
{
    free(choice->task);
    free(choice->error);
    *choice = (struct log_choice){0};
}

void log_choices_fini(struct log_choices *choices)
{
    for (size_t i = 0; i < choices->count; i++)
        log_choice_fini(&choices->items[i]);
    free(choices->items);
    *choices = (struct log_choices){0};
}

bool log_choice_has_ended(const struct log_choice *choice)
{
    return choice->state == ATTEMPT_SUCCESS || choice->state == ATTEMPT_FAILED ||
           choice->state == ATTEMPT_SKIPPED || choice->state == ATTEMPT_CANCELLED ||
           choice->state == ATTEMPT_LOST;
}

bool log_choice_is_dull(const struct log_choice *choice, const struct log_style *style)
{
    return style->names && choice->state == ATTEMPT_SUCCESS && choice->log_bytes == 0;
}

void log_choice_append_end(const struct log_choice *choice, const char *run, struct buffer *out)
{
    buffer_printf(out, "%s/%s@%u %s", run, choice->task, choice->id.attempt,
        attempt_state_name(choice->state));
    if (log_choice_has_ended(choice) && choice->started_at != 0 && choice->ended_at != 0) {
        buffer_append_text(out, " after ");
        times_append_between(choice->started_at, choice->ended_at, 0, out);
    }
    struct buffer why = {0};
    why_append(attempt_state_name(choice->state), choice->reason, slice_of(choice->error), &why);
    if (why.length > 0)
        buffer_printf(out, ": %s", buffer_text(&why));
    buffer_fini(&why);
}
