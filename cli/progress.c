#include "cli/progress.h"

#include "cli/printable.h"
#include "cli/terminal.h"
#include "cli/times.h"
#include "cli/why.h"
#include "common/memory.h"
#include "common/table.h"

#include <stdlib.h>

enum {
    FAILED_KEPT_MAX = 10, /* failed tasks that are named; the rest is counted */
    ACTIVE_SHOWN_MAX = 12,
    BAR_COLUMNS = 20,
    FAR_LINE_MS = 10000, /* between two lines that say how far a task is */
};

/* A task that is worth a line in the block. */
struct active {
    char *name;
    char *worker;
    uint32_t state;
    uint32_t attempt;
    int64_t since;
    char *far;        /* how far its operator says it is, or NULL */
    char *far_told;   /* the text of the last line about it */
    int64_t far_line; /* when that line was written */
};

struct failure {
    char *name;
    char *text;
};

struct progress {
    char *run;
    uint32_t state;
    uint32_t task_count;
    int64_t started_at;
    uint32_t counts[32];  /* by task state */
    struct names known;   /* task -> state | attempt << 8 */
    struct names indices; /* task -> index in `active` */
    struct active *active;
    size_t active_count, active_capacity;
    struct failure failures[FAILED_KEPT_MAX];
    size_t failure_count;
    struct buffer wait; /* why nothing goes on */
};

struct progress *progress_create(const char *run)
{
    struct progress *progress = xcalloc(1, sizeof *progress);
    progress->run = xstrdup(run);
    return progress;
}

static void active_fini(struct active *active)
{
    free(active->name);
    free(active->worker);
    free(active->far);
    free(active->far_told);
}

void progress_destroy(struct progress *progress)
{
    if (progress == NULL)
        return;
    for (size_t i = 0; i < progress->active_count; i++)
        active_fini(&progress->active[i]);
    for (size_t i = 0; i < progress->failure_count; i++) {
        free(progress->failures[i].name);
        free(progress->failures[i].text);
    }
    free(progress->active);
    buffer_fini(&progress->wait);
    names_fini(&progress->known);
    names_fini(&progress->indices);
    free(progress->run);
    free(progress);
}

uint32_t progress_state(const struct progress *progress)
{
    return progress->state;
}

bool progress_has_ended(const struct progress *progress)
{
    return progress->state == RUN_SUCCESS || progress->state == RUN_FAILED ||
           progress->state == RUN_CANCELLED;
}

/* "12 tasks: 10 success, 2 failed" */
static void append_counts(const struct progress *progress, struct buffer *out)
{
    const char *separator = ": ";
    buffer_printf(out, "%u task%s", progress->task_count, progress->task_count == 1 ? "" : "s");
    for (uint32_t state = 0; state < 32; state++) {
        if (progress->counts[state] == 0)
            continue;
        buffer_printf(out, "%s%u %s", separator, progress->counts[state], task_state_name(state));
        separator = ", ";
    }
}

void progress_see_run(
    struct progress *progress, const struct progress_run *run, int64_t at, struct buffer *lines)
{
    bool news = run->state != progress->state;
    progress->state = run->state;
    progress->task_count = run->task_count;
    if (run->started_at != 0)
        progress->started_at = run->started_at;
    else if (progress->started_at == 0 && run->state == RUN_RUNNING)
        progress->started_at = at;
    memset(progress->counts, 0, sizeof progress->counts);
    for (uint32_t i = 0; i < run->count; i++) {
        if (run->counts[i].state < 32)
            progress->counts[run->counts[i].state] = run->counts[i].count;
    }
    if (!news || lines == NULL)
        return;
    times_append_moment(at, lines);
    buffer_printf(lines, " %s %s", progress->run, run_state_name(run->state));
    if (progress_has_ended(progress)) {
        buffer_append_text(lines, "; ");
        append_counts(progress, lines);
    }
    buffer_append_text(lines, "\n");
}

void progress_see_wait(
    struct progress *progress, struct slice why, int64_t at, struct buffer *lines)
{
    struct buffer text = {0};
    printable_line(why, &text);
    bool news = !slice_equal(buffer_slice(&text), buffer_slice(&progress->wait));
    buffer_clear(&progress->wait);
    buffer_append_slice(&progress->wait, buffer_slice(&text));
    if (news && text.length > 0 && lines != NULL) {
        times_append_moment(at, lines);
        buffer_printf(lines, " %s waits: %s\n", progress->run, buffer_text(&text));
    }
    buffer_fini(&text);
}

bool progress_is_idle(const struct progress *progress)
{
    return progress->active_count == 0;
}

static bool is_quiet(uint32_t state)
{
    return state == TASK_WAITING || state == TASK_READY || state == TASK_ASSIGNED;
}

static bool is_active(uint32_t state)
{
    return state == TASK_RUNNING || state == TASK_RETRYING || state == TASK_HELD ||
           state == TASK_UNREACHABLE || state == TASK_CANCELLING;
}

static void append_why(const struct task_change *change, struct buffer *out)
{
    why_append(task_state_name(change->state), change->reason, change->error, out);
}

static void append_line(const struct task_change *change, struct buffer *lines)
{
    times_append_moment(change->at, lines);
    buffer_append_text(lines, " ");
    printable_line(change->task, lines);
    buffer_printf(lines, " %s", task_state_name(change->state));
    if (change->worker.length > 0 && is_active(change->state)) {
        buffer_append_text(lines, " on ");
        printable_line(change->worker, lines);
    }
    if (change->attempt > 1)
        buffer_printf(lines, ", attempt %u", change->attempt);
    size_t before = lines->length;
    buffer_append_text(lines, ": ");
    size_t after = lines->length;
    append_why(change, lines);
    if (lines->length == after)
        lines->length = before;
    buffer_append_text(lines, "\n");
}

static void active_remove(struct progress *progress, struct slice name)
{
    uint64_t index;
    if (!names_get(&progress->indices, name, &index))
        return;
    (void)names_remove(&progress->indices, name);
    active_fini(&progress->active[index]);
    struct active last = progress->active[--progress->active_count];
    if (index == progress->active_count)
        return;
    progress->active[index] = last;
    names_set(&progress->indices, slice_of(last.name), index);
}

static void active_add(struct progress *progress, const struct task_change *change)
{
    struct buffer name = {0}, worker = {0};
    printable_line(change->task, &name);
    printable_line(change->worker, &worker);
    vector_reserve(&progress->active, progress->active_count, &progress->active_capacity);
    names_set(&progress->indices, buffer_slice(&name), progress->active_count);
    progress->active[progress->active_count++] = (struct active){
        .name = xstrdup(buffer_text(&name)),
        .worker = xstrdup(buffer_text(&worker)),
        .state = change->state,
        .attempt = change->attempt,
        .since = change->at,
    };
    buffer_fini(&name);
    buffer_fini(&worker);
}

static void failure_remove(struct progress *progress, struct slice name)
{
    for (size_t i = 0; i < progress->failure_count; i++) {
        struct failure *failure = &progress->failures[i];
        if (!slice_is(name, failure->name))
            continue;
        free(failure->name);
        free(failure->text);
        progress->failure_count--;
        memmove(failure, failure + 1, (progress->failure_count - i) * sizeof *failure);
        return;
    }
}

static void failure_add(struct progress *progress, const struct task_change *change)
{
    struct buffer text = {0};
    if (progress->failure_count == FAILED_KEPT_MAX)
        return;
    append_why(change, &text);
    progress->failures[progress->failure_count++] = (struct failure){
        .name = xasprintf("%.*s", SLICE_PRINT(change->task)),
        .text = xstrdup(buffer_text(&text)),
    };
    buffer_fini(&text);
}

static bool has_far(const struct task_change *change)
{
    return change->progress.length > 0 || change->progress_done > 0;
}

/* A line when the text is another one: numbers alone are for the block. And not too often. */
static void append_far_line(
    struct active *active, const struct task_change *change, struct buffer *lines)
{
    if (active->far_told != NULL && (slice_is(change->progress, active->far_told) ||
                                        change->at - active->far_line < FAR_LINE_MS))
        return;
    free(active->far_told);
    active->far_told = xstrndup(change->progress.ptr, change->progress.length);
    active->far_line = change->at;
    times_append_moment(change->at, lines);
    buffer_printf(lines, " %s %s: %s\n", active->name, task_state_name(active->state), active->far);
}

static bool see_far(
    struct progress *progress, const struct task_change *change, struct buffer *lines)
{
    uint64_t index;
    struct buffer text = {0};
    if (!has_far(change) || !names_get(&progress->indices, change->task, &index))
        return false;
    struct active *active = &progress->active[index];
    why_append_progress(change->progress, change->progress_done, change->progress_total, &text);
    bool news = active->far == NULL || strcmp(active->far, buffer_text(&text)) != 0;
    if (news) {
        free(active->far);
        active->far = xstrdup(buffer_text(&text));
    }
    if (news && lines != NULL)
        append_far_line(active, change, lines);
    buffer_fini(&text);
    return news;
}

bool progress_see_task(
    struct progress *progress, const struct task_change *change, struct buffer *lines)
{
    uint64_t now = change->state | (uint64_t)change->attempt << 8, before = 0;
    bool seen = names_get(&progress->known, change->task, &before);
    if (seen && before == now)
        return see_far(progress, change, lines);
    if (!seen && is_quiet(change->state) && change->attempt == 0)
        return false;
    names_set(&progress->known, change->task, now);
    active_remove(progress, change->task);
    if (is_active(change->state))
        active_add(progress, change);
    if ((before & 0xff) == TASK_FAILED)
        failure_remove(progress, change->task);
    if (change->state == TASK_FAILED)
        failure_add(progress, change);
    if (!is_quiet(change->state) && lines != NULL)
        append_line(change, lines);
    (void)see_far(progress, change, lines);
    return true;
}

static void append_coloured(
    const struct progress_view *view, const char *state, size_t width, struct buffer *out)
{
    const char *colour = view->colour ? terminal_state_colour(slice_of(state)) : "";
    buffer_printf(
        out, "%s%-*s%s", colour, (int)width, state, colour[0] != '\0' ? TERMINAL_PLAIN : "");
}

static uint32_t ended_count(const struct progress *progress)
{
    return progress->counts[TASK_SUCCESS] + progress->counts[TASK_FAILED] +
           progress->counts[TASK_SKIPPED] + progress->counts[TASK_UPSTREAM_FAILED] +
           progress->counts[TASK_CANCELLED];
}

/* Appends what fits of `text` in the columns that are left. */
static void append_cut(struct slice text, size_t *left, struct buffer *out)
{
    struct slice shown = printable_cut(text, *left);
    buffer_append_slice(out, shown);
    *left -= printable_width(shown);
}

static void append_bar(const struct progress *progress, struct buffer *out)
{
    uint64_t ended = ended_count(progress);
    uint64_t filled = progress->task_count > 0 ? ended * BAR_COLUMNS / progress->task_count : 0;
    buffer_append_text(out, "[");
    for (uint64_t i = 0; i < BAR_COLUMNS; i++)
        buffer_append_text(out, i < filled ? "#" : "-");
    buffer_printf(out, "] %llu/%u", (unsigned long long)ended, progress->task_count);
}

/* "salaries/17  running  [####----] 12/40  3 running, 1 failed  1m12s" */
static void draw_head(
    const struct progress *progress, const struct progress_view *view, struct buffer *out)
{
    struct buffer text = {0};
    size_t left = view->columns;
    buffer_printf(&text, "%s  ", progress->run);
    append_cut(buffer_slice(&text), &left, out);
    const char *state = run_state_name(progress->state);
    if (left > strlen(state)) {
        append_coloured(view, state, 0, out);
        left -= strlen(state);
    }
    buffer_clear(&text);
    buffer_append_text(&text, "  ");
    append_bar(progress, &text);
    static const uint32_t told[] = {TASK_RUNNING, TASK_RETRYING, TASK_FAILED};
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        if (progress->counts[told[i]] > 0)
            buffer_printf(&text, "  %u %s", progress->counts[told[i]], task_state_name(told[i]));
    }
    if (progress->started_at != 0 && !progress_has_ended(progress)) {
        buffer_append_text(&text, "  ");
        times_append_between(progress->started_at, 0, view->now, &text);
    }
    append_cut(buffer_slice(&text), &left, out);
    buffer_append_text(out, "\n");
    buffer_fini(&text);
}

static void draw_row(const struct progress_view *view, const char *name, const char *state,
    struct slice rest, struct buffer *out)
{
    enum { NAME_COLUMNS = 24, STATE_COLUMNS = 13, AROUND = 4, NAME_LEAST = 6 };
    size_t left = view->columns;
    struct buffer text = {0};
    if (left >= NAME_COLUMNS + STATE_COLUMNS + AROUND) {
        buffer_printf(&text, "  %-*s ", NAME_COLUMNS, name);
    } else {
        /* On a narrow terminal what became of a task matters more than the end of its name. */
        bool least = left < NAME_LEAST + STATE_COLUMNS + AROUND;
        size_t room = least ? NAME_LEAST : left - STATE_COLUMNS - AROUND;
        buffer_printf(
            &text, "  %-*.*s ", (int)room, (int)printable_cut(slice_of(name), room).length, name);
    }
    append_cut(buffer_slice(&text), &left, out);
    if (left > STATE_COLUMNS) {
        append_coloured(view, state, STATE_COLUMNS, out);
        left -= STATE_COLUMNS;
        append_cut(rest, &left, out);
    } else if (left >= strlen(state)) {
        append_coloured(view, state, 0, out);
    }
    buffer_append_text(out, "\n");
    buffer_fini(&text);
}

static void draw_active(
    const struct active *active, const struct progress_view *view, struct buffer *out)
{
    struct buffer rest = {0};
    if (active->worker[0] != '\0')
        buffer_printf(&rest, "%s  ", active->worker);
    times_append_between(active->since, 0, view->now, &rest);
    if (active->attempt > 1)
        buffer_printf(&rest, "  attempt %u", active->attempt);
    if (active->far != NULL)
        buffer_printf(&rest, "  %s", active->far);
    draw_row(view, active->name, task_state_name(active->state), buffer_slice(&rest), out);
    buffer_fini(&rest);
}

/* The next in order of time, then of name, after `last`; NULL when there is none. */
static const struct active *next_active(const struct progress *progress, const struct active *last)
{
    const struct active *best = NULL;
    for (size_t i = 0; i < progress->active_count; i++) {
        const struct active *candidate = &progress->active[i];
        if (last != NULL &&
            (candidate->since < last->since ||
                (candidate->since == last->since && strcmp(candidate->name, last->name) <= 0)))
            continue;
        if (best == NULL || candidate->since < best->since ||
            (candidate->since == best->since && strcmp(candidate->name, best->name) < 0))
            best = candidate;
    }
    return best;
}

static void draw_wait(
    const struct progress *progress, const struct progress_view *view, struct buffer *out)
{
    size_t left = view->columns;
    append_cut(slice_of("  waits: "), &left, out);
    append_cut(buffer_slice(&progress->wait), &left, out);
    buffer_append_text(out, "\n");
}

static void draw_rest(size_t count, const struct progress_view *view, struct buffer *out)
{
    struct buffer text = {0};
    size_t left = view->columns;
    buffer_printf(&text, "  … and %zu more", count);
    append_cut(buffer_slice(&text), &left, out);
    buffer_append_text(out, "\n");
    buffer_fini(&text);
}

void progress_draw(
    const struct progress *progress, const struct progress_view *view, struct buffer *out)
{
    size_t rows = view->rows > 0 ? view->rows - 1 : 0;
    if (view->rows == 0)
        return;
    draw_head(progress, view, out);
    size_t failures = progress->failure_count < rows ? progress->failure_count : rows;
    for (size_t i = 0; i < failures; i++)
        draw_row(view, progress->failures[i].name, task_state_name(TASK_FAILED),
            slice_of(progress->failures[i].text), out);
    rows -= failures;
    if (progress->wait.length > 0 && rows > 0) {
        draw_wait(progress, view, out);
        rows--;
    }
    const struct active *active = NULL;
    size_t shown = 0;
    size_t wanted = rows > 1 ? rows - 1 : 0;
    if (wanted > ACTIVE_SHOWN_MAX)
        wanted = ACTIVE_SHOWN_MAX;
    for (; shown < wanted && (active = next_active(progress, active)) != NULL; shown++)
        draw_active(active, view, out);
    if (shown == wanted && wanted > 0 && progress->active_count > shown)
        draw_rest(progress->active_count - shown, view, out);
}
