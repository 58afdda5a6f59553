#include "cli/follow.h"

#include "cli/command.h"
#include "cli/document.h"
#include "cli/live.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "cli/watch.h"
#include "common/clock.h"
#include "common/memory.h"

#include <stdlib.h>

enum {
    REDRAW_MS = 100,           /* at most so often while things happen */
    TICK_MS = 1000,            /* and so often while nothing does: clocks go on */
    LOOK_MS = 5000,            /* when nothing runs, the master is asked so often why */
    OUT_MAX_BYTES = 64 * 1024, /* for stdout, that wait for the next drawing */
};

struct follow {
    struct client *client;
    char *run;
    enum follow_style style;
    bool own;
    struct progress *progress;
    struct live live;
    struct buffer lines; /* to be written */
    struct watch watch;
    bool synced;        /* the state was read once */
    uint64_t looked_ms; /* BOOT: when the run's own state was read */
    bool dirty;
    uint64_t drawn_ms;
    const struct follow_beside *beside; /* or NULL */
    struct buffer out;                  /* for stdout, with the next drawing */
};

static void on_push(void *context, const struct message *message);

static void before_notice(void *context)
{
    follow_hide(context);
}

struct follow *follow_create(struct client *client, const char *run, bool own, bool json)
{
    struct follow *follow = xcalloc(1, sizeof *follow);
    follow->client = client;
    follow->run = xstrdup(run);
    follow->own = own;
    follow->style = terminal_is_live(stderr) ? FOLLOW_LIVE : FOLLOW_LINES;
    if (json)
        follow->style = FOLLOW_JSON;
    follow->progress = progress_create(run);
    watch_init(&follow->watch, client, follow->run);
    client_be_patient(client);
    client_on_push(client, on_push, follow);
    client_before_notice(client, before_notice, follow);
    return follow;
}

void follow_destroy(struct follow *follow)
{
    if (follow == NULL)
        return;
    client_on_push(follow->client, NULL, NULL);
    client_before_notice(follow->client, NULL, NULL);
    progress_destroy(follow->progress);
    live_fini(&follow->live);
    buffer_fini(&follow->lines);
    buffer_fini(&follow->out);
    free(follow->run);
    free(follow);
}

uint32_t follow_state(const struct follow *follow)
{
    return progress_state(follow->progress);
}

bool follow_has_ended(const struct follow *follow)
{
    return progress_has_ended(follow->progress);
}

/* What of a change is told as a line; NULL: nothing. */
static struct buffer *lines_of(struct follow *follow)
{
    return follow->style == FOLLOW_LINES ? &follow->lines : NULL;
}

static void write_change(struct follow *follow, const struct task_change *change)
{
    const struct field_shape *field = message_shape(MESSAGE_run_changed)->record.fields;
    while (strcmp(field->name, "changes") != 0)
        field++;
    json_t *line = json_object();
    json_t *rest = record_json(field->record, change);
    (void)json_object_set_new(line, "run", text_json(slice_of(follow->run)));
    (void)json_object_update(line, rest);
    json_decref(rest);
    document_print(line);
}

static void see_task(struct follow *follow, const struct task_change *change, bool quiet)
{
    bool news = progress_see_task(follow->progress, change, quiet ? NULL : lines_of(follow));
    follow->dirty = follow->dirty || news;
    if (news && !quiet && follow->style == FOLLOW_JSON)
        write_change(follow, change);
}

static void see_changes(struct follow *follow, const struct msg_run_changed *changed)
{
    const struct progress_run run = {
        changed->state, changed->counts.items, changed->counts.count, changed->task_count, 0};
    /* Before the first reading it is not known what is news. */
    bool quiet = !follow->synced && !follow->own;
    if (changed->changes.count > 0)
        progress_see_wait(follow->progress, slice_of(""), 0, NULL);
    for (uint32_t i = 0; i < changed->changes.count; i++)
        see_task(follow, &changed->changes.items[i], quiet);
    progress_see_run(follow->progress, &run, session_now(), lines_of(follow));
    follow->dirty = true;
}

static void on_push(void *context, const struct message *message)
{
    struct follow *follow = context;
    const struct msg_run_changed *changed = watch_take(&follow->watch, message);
    if (changed != NULL)
        see_changes(follow, changed);
    if (follow->beside != NULL)
        follow->beside->take(follow->beside->context, message);
}

void follow_add_beside(struct follow *follow, const struct follow_beside *beside)
{
    follow->beside = beside;
}

/* A page's task as if it had just changed. */
static struct task_change change_of(const struct task_info *task)
{
    struct task_change change = {.task = task->task,
        .state = task->state,
        .reason = task->reason,
        .error = task->error,
        .progress = task->progress,
        .progress_done = task->progress_done,
        .progress_total = task->progress_total};
    if (task->attempts.count > 0) {
        const struct attempt_info *last = &task->attempts.items[task->attempts.count - 1];
        change.attempt = last->attempt;
        change.worker = last->worker;
        change.at = last->ended_at != 0     ? last->ended_at
                    : last->started_at != 0 ? last->started_at
                                            : last->assigned_at;
    }
    if (change.at == 0)
        change.at = session_now();
    return change;
}

static int see_page(
    void *context, const struct msg_run_info *page, uint32_t before, struct error *error)
{
    struct follow *follow = context;
    bool quiet = !follow->synced && !follow->own;
    (void)before;
    (void)error;
    for (uint32_t i = 0; i < page->tasks.count; i++) {
        const struct task_change change = change_of(&page->tasks.items[i]);
        see_task(follow, &change, quiet);
    }
    follow->dirty = true;
    return 0;
}

/* BOOT: when to ask why nothing goes on. */
static uint64_t look_due(const struct follow *follow)
{
    return progress_is_idle(follow->progress) ? follow->looked_ms + LOOK_MS : UINT64_MAX;
}

/* Reads the run's own state. Changes that were sent before its answer have been seen after it. */
static int read_head(struct follow *follow, struct error *error)
{
    const struct msg_run_info *info;
    int rc = session_read_head(follow->client, follow->run, &info, error);
    if (rc != 0)
        return rc;
    const struct progress_run run = {
        info->state, info->counts.items, info->counts.count, info->task_count, info->started_at};
    int64_t at = info->ended_at != 0 ? info->ended_at : session_now();
    progress_see_run(follow->progress, &run, at, lines_of(follow));
    /* A run that has just begun waits for nothing that is worth telling. */
    uint64_t now = clock_boot_ms();
    if (follow->looked_ms != 0 && now >= look_due(follow))
        progress_see_wait(follow->progress, info->waits_for, at, lines_of(follow));
    if (follow->looked_ms == 0 || now >= look_due(follow))
        follow->looked_ms = now;
    follow->dirty = true;
    return 0;
}

/* Subscribes and reads the whole state: the changes that come from then on follow upon it. */
static int synchronise(struct follow *follow, struct error *error)
{
    int rc = watch_begin(&follow->watch, error);
    if (rc == 0)
        rc = session_read_run(follow->client, follow->run, "", see_page, follow, error);
    if (rc == 0)
        rc = read_head(follow, error);
    if (rc != 0)
        follow->watch.stale = true;
    else
        follow->synced = true;
    return rc;
}

static void write_lines(struct slice lines)
{
    (void)fwrite(lines.ptr, 1, lines.length, stdout);
    (void)fflush(stdout);
}

static void draw(struct follow *follow, bool visible)
{
    struct progress_view view = {.now = session_now(), .colour = terminal_has_colour(stderr)};
    struct buffer block = {0}, out = {0};
    size_t rows;
    terminal_size(stderr, &view.columns, &rows);
    /* A line that fills the last column may wrap, a block as high as the screen would scroll. */
    view.columns = view.columns > 1 ? view.columns - 1 : 1;
    view.rows = rows > 3 ? rows - 2 : 1;
    if (follow->out.length > 0) {
        live_draw(&follow->live, slice_of(""), view.columns + 1, &out);
        (void)fwrite(out.data, 1, out.length, stderr);
        buffer_clear(&out);
        write_lines(buffer_slice(&follow->out));
        buffer_clear(&follow->out);
    }
    if (visible)
        progress_draw(follow->progress, &view, &block);
    live_draw(&follow->live, buffer_slice(&block), view.columns + 1, &out);
    (void)fwrite(out.data, 1, out.length, stderr);
    follow->drawn_ms = clock_boot_ms();
    follow->dirty = false;
    buffer_fini(&block);
    buffer_fini(&out);
}

/* Shows what is new, and says until when to wait. */
static uint64_t show(struct follow *follow)
{
    uint64_t now = clock_boot_ms();
    if (follow->lines.length > 0)
        (void)fwrite(follow->lines.data, 1, follow->lines.length, stderr);
    buffer_clear(&follow->lines);
    if (follow->style == FOLLOW_JSON)
        (void)fflush(stdout);
    if (follow->style != FOLLOW_LIVE)
        return UINT64_MAX;
    uint64_t due = follow->drawn_ms + (follow->dirty ? REDRAW_MS : TICK_MS);
    if (now < due)
        return due;
    draw(follow, true);
    return follow->drawn_ms + TICK_MS;
}

void follow_hide(struct follow *follow)
{
    if (follow->style == FOLLOW_LIVE && follow->live.drawn.length + follow->out.length > 0)
        draw(follow, false);
}

void follow_write(struct follow *follow, struct slice lines)
{
    if (follow->style != FOLLOW_LIVE || !terminal_is_tty(stdout)) {
        write_lines(lines);
        return;
    }
    buffer_append_slice(&follow->out, lines);
    follow->dirty = true;
    if (follow->out.length >= OUT_MAX_BYTES)
        draw(follow, true);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool is_over(const struct follow *follow)
{
    return progress_has_ended(follow->progress) && !watch_is_stale(&follow->watch) &&
           (follow->beside == NULL || follow->beside->is_over(follow->beside->context));
}

/* One message, or whatever else is due first. */
static int step(struct follow *follow, uint64_t until_ms, struct error *error)
{
    struct message message;
    uint64_t until_beside = UINT64_MAX;
    int rc = watch_renew(&follow->watch, error);
    if (rc == 0 && watch_is_stale(&follow->watch))
        rc = synchronise(follow, error);
    if (rc == 0 && clock_boot_ms() >= look_due(follow))
        rc = read_head(follow, error);
    if (rc == 0 && follow->beside != NULL)
        rc = follow->beside->step(follow->beside->context, &until_beside, error);
    if (rc != 0)
        return rc;
    uint64_t due = earlier(show(follow), watch_due(&follow->watch));
    due = earlier(due, until_beside);
    due = earlier(due, look_due(follow));
    if (is_over(follow))
        return 0;
    rc = client_receive(follow->client, earlier(due, until_ms), &message, error);
    if (rc == 1)
        on_push(follow, &message);
    return rc == 1 ? 0 : rc;
}

static int wait_in_time(struct follow *follow, uint64_t until_ms, struct error *error)
{
    while (!is_over(follow)) {
        int rc = step(follow, until_ms, error);
        if (rc != 0)
            return rc;
        if (clock_boot_ms() >= until_ms && !is_over(follow))
            return error_set(error, ERR_TIMEOUT, "%s is still %s", follow->run,
                run_state_name(progress_state(follow->progress)));
    }
    /* The end may stand in the first of several frames: the answer to this comes behind them all.
     */
    int rc = read_head(follow, error);
    if (rc == 0)
        watch_end(&follow->watch);
    return rc;
}

int follow_wait(struct follow *follow, uint64_t until_ms, struct error *error)
{
    client_set_deadline(follow->client, until_ms);
    int rc = wait_in_time(follow, until_ms, error);
    client_set_deadline(follow->client, UINT64_MAX);
    return rc;
}

static void write_end(const struct follow *follow)
{
    json_t *line = json_object();
    (void)json_object_set_new(line, "run", text_json(slice_of(follow->run)));
    (void)json_object_set_new(line, "state", json_string(run_state_name(follow_state(follow))));
    document_print(line);
}

int follow_conclude(struct follow *follow, const char *hint)
{
    uint32_t state = follow_state(follow);
    (void)show(follow);
    if (follow->style == FOLLOW_LIVE)
        draw(follow, true);
    if (follow->style == FOLLOW_JSON)
        write_end(follow);
    if (state == RUN_FAILED)
        terminal_say(
            "%s failed%s%s", follow->run, hint != NULL ? "; " : "", hint != NULL ? hint : "");
    if (state == RUN_CANCELLED)
        terminal_say("%s was cancelled", follow->run);
    return state == RUN_SUCCESS ? STATUS_OK : STATUS_RUN_FAILED;
}
