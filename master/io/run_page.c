#include "master/io/run_page.h"

#include "common/memory.h"
#include "master/io/late.h"

#include <stdlib.h>

enum {
    /* A query costs as much as so many rows that are not wanted. */
    GAP_MAX = 8,
    /* The newest attempts of a task; older ones are left out. */
    ATTEMPTS_SHOWN_MAX = 1000,
    /* Numbers, states and times of one record on the wire. */
    RECORD_BYTES = 128,
};

/* What the spans say of one task of the page. */
struct span_note {
    const struct span_row *last;
    uint32_t resets;
};

void run_page_init(struct run_page *page, const struct plan *plan, struct arena *arena,
    uint32_t after, uint32_t limit)
{
    uint32_t total = plan_task_count(plan);
    uint32_t left = after < total ? total - after : 0;
    if (limit > PAGE_TASKS_MAX)
        limit = PAGE_TASKS_MAX;
    *page = (struct run_page){.plan = plan, .arena = arena};
    page->count = left < limit ? left : limit;
    page->more = left > page->count;
    page->tasks = arena_alloc(arena, page->count * sizeof(uint32_t) + 1);
    for (uint32_t i = 0; i < page->count; i++)
        page->tasks[i] = plan->display[after + i];
}

void run_page_init_task(
    struct run_page *page, const struct plan *plan, struct arena *arena, uint32_t task)
{
    *page = (struct run_page){.plan = plan, .arena = arena, .count = 1};
    page->tasks = arena_alloc(arena, sizeof(uint32_t));
    page->tasks[0] = task;
}

void run_page_fini(struct run_page *page)
{
    free(page->attempts);
    free(page->lates);
    page->attempts = NULL;
    page->lates = NULL;
}

static int by_task(const void *a, const void *b, void *context)
{
    const uint32_t *tasks = context;
    uint32_t one = tasks[*(const uint32_t *)a], two = tasks[*(const uint32_t *)b];
    return (one > two) - (one < two);
}

static void sort(struct run_page *page)
{
    page->sorted = arena_alloc(page->arena, page->count * sizeof(uint32_t) + 1);
    for (uint32_t i = 0; i < page->count; i++)
        page->sorted[i] = i;
    qsort_r(page->sorted, page->count, sizeof(uint32_t), by_task, page->tasks);
}

struct page_range *run_page_ranges(const struct run_page *page, size_t *ret_count)
{
    struct run_page sorted = *page;
    sort(&sorted);
    struct page_range *ranges =
        arena_alloc(page->arena, page->count * sizeof(struct page_range) + 1);
    size_t count = 0;
    for (uint32_t i = 0; i < page->count; i++) {
        uint32_t task = page->tasks[sorted.sorted[i]];
        if (count > 0 && task - ranges[count - 1].last <= GAP_MAX)
            ranges[count - 1].last = task;
        else
            ranges[count++] = (struct page_range){task, task};
    }
    *ret_count = count;
    return ranges;
}

void run_page_add(struct run_page *page, const struct attempt_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        vector_reserve(&page->attempts, page->attempt_count, &page->attempt_capacity);
        page->attempts[page->attempt_count++] = rows[i];
    }
}

void run_page_add_late(struct run_page *page, const struct late_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        vector_reserve(&page->lates, page->late_count, &page->late_capacity);
        page->lates[page->late_count++] = rows[i];
    }
}

/* The first of the sorted positions whose task is at least `task`. */
static uint32_t lower_bound(const struct run_page *page, uint32_t task)
{
    uint32_t low = 0, high = page->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (page->tasks[page->sorted[middle]] < task)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct span_note *read_spans(
    const struct run_page *page, const struct span_row *spans, size_t span_count)
{
    struct span_note *notes = arena_alloc(page->arena, page->count * sizeof(struct span_note) + 1);
    for (size_t i = 0; i < span_count; i++) {
        uint32_t at = lower_bound(page, spans[i].first);
        for (; at < page->count && page->tasks[page->sorted[at]] <= spans[i].last; at++) {
            struct span_note *note = &notes[page->sorted[at]];
            note->last = &spans[i];
            note->resets += spans[i].state == SPAN_RESET;
        }
    }
    return notes;
}

/* The rows of one task: ascending by attempt. */
static const struct attempt_row *find_rows(
    const struct run_page *page, uint32_t task, size_t *ret_count)
{
    size_t low = 0, high = page->attempt_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (page->attempts[middle].id.task < task)
            low = middle + 1;
        else
            high = middle;
    }
    size_t end = low;
    while (end < page->attempt_count && page->attempts[end].id.task == task)
        end++;
    if (end - low > ATTEMPTS_SHOWN_MAX)
        low = end - ATTEMPTS_SHOWN_MAX;
    *ret_count = end - low;
    return end > low ? page->attempts + low : NULL;
}

static bool is_over(uint32_t attempt_state)
{
    return attempt_state >= ATTEMPT_SUCCESS;
}

static struct attempt_info info_of_row(
    const struct attempt_row *row, const struct page_source *source)
{
    return (struct attempt_info){
        .attempt = row->id.attempt,
        .state = row->state,
        .worker = source->worker_name(source->context, row->worker),
        .exit_code = is_over(row->state) ? row->exit_code : -1,
        .reason = row->reason,
        .error = row->error,
        .started_at = row->started_at,
        .ended_at = row->ended_at,
        .assigned_at = row->assigned_at,
        .log_bytes = row->log_bytes,
        .outputs = row->outputs,
        .artifacts = row->artifacts,
    };
}

static struct attempt_info info_of_live(
    const struct task_view *view, const struct page_source *source)
{
    return (struct attempt_info){
        .attempt = view->attempt,
        .state = view->attempt_state,
        .worker = source->worker_name(source->context, view->worker),
        .exit_code = -1,
        .started_at = view->started_at,
        .assigned_at = view->assigned_at,
    };
}

static void show_lates(struct run_page *page, struct task_info *info)
{
    struct attempt_info *items = info->attempts.items;
    uint32_t count = info->attempts.count, at = 0;
    for (size_t i = 0; i < page->late_count; i++) {
        const struct late_row *late = &page->lates[i];
        if (late->id.task != info->index)
            continue;
        while (at < count && items[at].attempt < late->id.attempt)
            at++;
        if (at < count && items[at].attempt == late->id.attempt)
            late_show(late, page->arena, &items[at], items + at + 1, count - at - 1);
    }
}

static void set_attempts(struct run_page *page, struct task_info *info,
    const struct task_view *view, const struct page_source *source)
{
    size_t count;
    const struct attempt_row *rows = find_rows(page, info->index, &count);
    info->attempts.items = arena_alloc(page->arena, (count + 1) * sizeof(struct attempt_info));
    for (size_t i = 0; i < count; i++) {
        struct attempt_info *shown = &info->attempts.items[info->attempts.count++];
        *shown = info_of_row(&rows[i], source);
        if (view->elder != 0 && shown->attempt == view->elder && !is_over(shown->state))
            shown->state = view->elder_state;
    }
    if (!view->live)
        return;
    /* The core knows more of the live one than its row. */
    uint32_t last = info->attempts.count;
    if (last > 0 && info->attempts.items[last - 1].attempt == view->attempt)
        last--;
    info->attempts.items[last] = info_of_live(view, source);
    info->attempts.count = last + 1;
}

bool task_is_over(uint32_t task_state)
{
    return task_state >= TASK_SUCCESS && task_state <= TASK_CANCELLED;
}

/* The text behind the task's reason: the span's that ended it, else its last attempt's in this
 * round. */
static struct slice error_of(
    const struct run_page *page, const struct task_info *info, const struct span_note *note)
{
    size_t count;
    const struct attempt_row *rows = find_rows(page, info->index, &count);
    if (info->reason == REASON_NONE)
        return slice_of(NULL);
    if (note->last != NULL && task_is_over(note->last->state))
        return note->last->error;
    if (count > 0 && rows[count - 1].round >= note->resets)
        return rows[count - 1].error;
    return slice_of(NULL);
}

static size_t task_bytes(const struct task_info *info)
{
    size_t bytes = RECORD_BYTES + info->task.length + info->error.length;
    for (uint32_t i = 0; i < info->attempts.count; i++) {
        const struct attempt_info *attempt = &info->attempts.items[i];
        bytes += RECORD_BYTES + attempt->worker.length + attempt->error.length +
                 attempt->outputs.length + attempt->late.length;
    }
    for (uint32_t i = 0; i < info->notes.count; i++)
        bytes += RECORD_BYTES + info->notes.items[i].note.length;
    return bytes;
}

/* A task with very many attempts: only the last one keeps its outputs. */
static void shorten(struct task_info *info)
{
    for (uint32_t i = 0; i + 1 < info->attempts.count; i++)
        info->attempts.items[i].outputs = slice_of(NULL);
}

/* The core's texts may go before the answer does. */
static void set_said(struct run_page *page, struct task_info *info, const struct task_view *view)
{
    info->notes.items = arena_alloc(page->arena, (view->note_count + 1) * sizeof(struct note_info));
    for (size_t i = 0; i < view->note_count; i++)
        info->notes.items[info->notes.count++] = (struct note_info){
            .attempt = view->notes[i].attempt,
            .id = view->notes[i].id,
            .at = view->notes[i].at,
            .note = arena_copy(page->arena, view->notes[i].text),
        };
    info->progress = arena_copy(page->arena, view->progress);
    info->progress_done = view->progress_done;
    info->progress_total = view->progress_total;
}

static bool make_task(struct run_page *page, const struct page_source *source, uint32_t task,
    const struct span_note *note, struct task_info *info)
{
    struct task_view view;
    if (!source->view(source->context, task, &view))
        return false;
    *info = (struct task_info){
        .task = plan_string(page->plan, page->plan->tasks[task].name),
        .state = view.state,
        .reason = view.reason,
        .index = task,
        .tries = view.tries,
        .retries = page->plan->tasks[task].retries,
        .due_at = view.due_at,
    };
    info->error = error_of(page, info, note);
    set_said(page, info, &view);
    set_attempts(page, info, &view, source);
    show_lates(page, info);
    if (task_bytes(info) > PAGE_BYTES_MAX)
        shorten(info);
    return true;
}

struct task_info *run_page_tasks(struct run_page *page, const struct page_source *source,
    const struct span_row *spans, size_t span_count, uint32_t *ret_count)
{
    sort(page);
    const struct span_note *notes = read_spans(page, spans, span_count);
    struct task_info *infos = arena_alloc(page->arena, page->count * sizeof(struct task_info) + 1);
    uint32_t count = 0;
    size_t bytes = 0;
    for (uint32_t i = 0; i < page->count; i++) {
        if (!make_task(page, source, page->tasks[i], &notes[i], &infos[count]))
            continue;
        bytes += task_bytes(&infos[count]);
        if (bytes > PAGE_BYTES_MAX && count > 0) {
            page->more = true;
            break;
        }
        count++;
    }
    *ret_count = count;
    return infos;
}
