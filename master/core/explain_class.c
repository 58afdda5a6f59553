/*
 * Why nobody takes the ready tasks of a class: nobody is there, nobody has what they ask, or those
 * who have it are full or away.
 */
#include "common/limits.h"
#include "master/core/explain.h"

/* How far a worker goes in meeting a class; the order in which it is asked. */
enum meets { MEETS_NOTHING, MEETS_QUEUE, MEETS_LABELS, MEETS_USER, MEETS_ALL };

static enum meets meets(const struct class *class, const struct worker *worker)
{
    if (!texts_hold(worker->queues, class->queue))
        return MEETS_NOTHING;
    for (uint32_t i = 0; i < class->labels.count; i++) {
        if (!texts_hold(worker->labels, class->labels.items[i]))
            return MEETS_QUEUE;
    }
    if (class->run_as.length > 0 && !texts_hold(worker->users, class->run_as))
        return MEETS_LABELS;
    return class_suits(class, worker) ? MEETS_ALL : MEETS_USER;
}

static void append_list(struct texts texts, struct buffer *text)
{
    for (uint32_t i = 0; i < texts.count; i++)
        buffer_printf(text, "%s%.*s", i > 0 ? ", " : "", SLICE_PRINT(texts.items[i]));
}

/* ---- nobody has what it asks ---- */

/* "; those that are up serve default, etl" */
static void append_served(const struct core *core, struct buffer *text)
{
    struct slice shown[2 * EXPLAIN_NAMES_MAX];
    struct texts seen = {shown, 0};
    for (size_t i = 0; i < core->worker_count; i++) {
        const struct worker *worker = core->workers[i];
        for (uint32_t q = 0; worker->open && q < worker->queues.count; q++) {
            if (seen.count == 2 * EXPLAIN_NAMES_MAX || texts_hold(seen, worker->queues.items[q]))
                continue;
            seen.items[seen.count++] = worker->queues.items[q];
        }
    }
    buffer_append_text(text, "; those that are up serve ");
    if (seen.count == 0)
        buffer_append_text(text, "none");
    append_list(seen, text);
}

static void append_lacks(
    const struct class *class, const struct worker *worker, struct buffer *text)
{
    const char *separator = "";
    explain_worker_name(worker, text);
    buffer_append_text(text, " lacks ");
    for (uint32_t i = 0; i < class->labels.count; i++) {
        if (texts_hold(worker->labels, class->labels.items[i]))
            continue;
        buffer_printf(text, "%s%.*s", separator, SLICE_PRINT(class->labels.items[i]));
        separator = ", ";
    }
}

static void append_users(const struct worker *worker, struct buffer *text)
{
    explain_worker_name(worker, text);
    if (worker->users.count == 0)
        buffer_append_text(text, " runs them as its agent's user alone");
    else
        buffer_append_text(text, " as ");
    append_list(worker->users, text);
}

static void append_program(
    const struct class *class, const struct worker *worker, struct buffer *text)
{
    const struct operator_line *line = worker_operator(worker, class->program);
    explain_worker_name(worker, text);
    if (line != NULL)
        buffer_printf(text, ": %.*s", SLICE_PRINT(line->problem));
    else
        buffer_append_text(text, " lacks it");
}

/* What each of those that came as far as `best` lacks. */
static void append_each(
    const struct core *core, const struct class *class, enum meets best, struct buffer *text)
{
    uint32_t count = 0;
    for (size_t i = 0; i < core->worker_count; i++) {
        const struct worker *worker = core->workers[i];
        if (!worker->open || meets(class, worker) != best || count++ >= EXPLAIN_NAMES_MAX)
            continue;
        buffer_append_text(text, count > 1 ? "; " : ": ");
        if (best == MEETS_QUEUE)
            append_lacks(class, worker, text);
        else if (best == MEETS_USER)
            append_program(class, worker, text);
        else
            append_users(worker, text);
    }
    if (count > EXPLAIN_NAMES_MAX)
        buffer_printf(text, "; and %u more", count - EXPLAIN_NAMES_MAX);
}

/* Those that could, if they were there. */
static void append_absent(const struct core *core, const struct class *class, struct buffer *text)
{
    uint32_t count = 0;
    for (size_t i = 0; i < core->worker_count; i++) {
        const struct worker *worker = core->workers[i];
        if (worker->open || worker->removed || worker->queues.count == 0 ||
            !class_suits(class, worker) || count++ >= EXPLAIN_NAMES_MAX)
            continue;
        buffer_append_text(text, "; ");
        explain_worker_name(worker, text);
        buffer_printf(text, " could, and is %s", worker_state_name(worker->state));
    }
}

static enum wait explain_nobody(
    const struct core *core, const struct class *class, struct buffer *text)
{
    enum meets best = MEETS_NOTHING;
    uint32_t open = 0;
    for (size_t i = 0; i < core->worker_count; i++) {
        enum meets met = core->workers[i]->open ? meets(class, core->workers[i]) : MEETS_NOTHING;
        open += core->workers[i]->open;
        best = met > best ? met : best;
    }
    if (best == MEETS_NOTHING) {
        buffer_printf(text, "no live worker serves queue \"%.*s\"", SLICE_PRINT(class->queue));
        if (open > 0)
            append_served(core, text);
        else if (core->worker_count == 0)
            buffer_append_text(text, ": no worker has joined yet (reeve-worker --join)");
        else
            buffer_append_text(text, ": no worker is there (reeve workers)");
    } else if (best == MEETS_QUEUE) {
        buffer_printf(text, "no live worker of queue \"%.*s\" has all its labels (",
            SLICE_PRINT(class->queue));
        append_list(class->labels, text);
        buffer_append_text(text, ")");
        append_each(core, class, best, text);
    } else if (best == MEETS_USER) {
        buffer_printf(text, "no live worker that could take it has the operator \"%.*s\"",
            SLICE_PRINT(class->program));
        append_each(core, class, best, text);
    } else {
        buffer_printf(text, "no live worker that could take it runs tasks as user \"%.*s\"",
            SLICE_PRINT(class->run_as));
        append_each(core, class, best, text);
    }
    append_absent(core, class, text);
    return best == MEETS_NOTHING && open > 0 ? WAIT_QUEUE : WAIT_WORKER;
}

/* ---- those who have it do not take it ---- */

struct tally {
    uint32_t away, busy, slots;
    const struct worker *free; /* one that takes tasks, or NULL */
};

/* Why this worker takes none, whatever its slots; NULL: it would. */
static const char *why_away(const struct core *core, const struct worker *worker)
{
    if (worker->state == WORKER_SILENT)
        return "is silent";
    if (worker->state == WORKER_DRAINING)
        return worker->leaving ? "was told to stop" : "is draining";
    if (worker->full)
        return "has a full disk";
    if (worker->resting)
        return "has just given a task back, and gets the next in a second";
    return worker_takes_work(core, worker) ? NULL : "has not answered for seconds";
}

static bool has_room(
    const struct class *class, const struct seat *seat, const struct worker *worker)
{
    return class->noop ? seat->taken < NOOPS_IN_FLIGHT_MAX : seat->taken < worker_holds_max(worker);
}

static struct tally count_seats(const struct core *core, const struct class *class)
{
    struct tally tally = {0};
    for (size_t i = 0; i < class->seat_count; i++) {
        const struct worker *worker = core->workers[class->seats[i].worker];
        if (why_away(core, worker) != NULL) {
            tally.away++;
        } else if (has_room(class, &class->seats[i], worker)) {
            tally.free = worker;
        } else {
            tally.busy++;
            tally.slots += worker->slots;
        }
    }
    return tally;
}

/* "w1 is draining, w2 is silent and 3 more are away" */
static void append_away(const struct core *core, const struct class *class, struct buffer *text)
{
    uint32_t count = 0;
    for (size_t i = 0; i < class->seat_count; i++) {
        const struct worker *worker = core->workers[class->seats[i].worker];
        const char *why = why_away(core, worker);
        if (why == NULL || count++ >= EXPLAIN_NAMES_MAX)
            continue;
        buffer_append_text(text, count > 1 ? ", " : "");
        explain_worker_name(worker, text);
        buffer_printf(text, " %s", why);
    }
    if (count > EXPLAIN_NAMES_MAX)
        buffer_printf(text, ", and %u more", count - EXPLAIN_NAMES_MAX);
}

/* "that serve queue "default"", or, when more is asked, "that can take it". */
static void append_who(const struct class *class, uint32_t count, struct buffer *text)
{
    if (class->labels.count > 0 || class->run_as.length > 0 || class->program.length > 0)
        buffer_append_text(text, "that can take it");
    else
        buffer_printf(
            text, "that serve%s queue \"%.*s\"", count == 1 ? "s" : "", SLICE_PRINT(class->queue));
}

static void append_busy(const struct class *class, const struct tally *tally, struct buffer *text)
{
    const char *are = tally->slots == 1 ? "is" : "are";
    if (class->noop)
        buffer_append_text(text, "no more no-ops fit on");
    else if (tally->slots == 1)
        buffer_append_text(text, "the one slot of");
    else
        buffer_printf(text, "all %u slots of", tally->slots);
    if (tally->busy == 1)
        buffer_append_text(text, " the worker ");
    else
        buffer_printf(text, " the %u workers ", tally->busy);
    append_who(class, tally->busy, text);
    if (!class->noop)
        buffer_printf(text, " %s taken", are);
}

enum wait explain_class(const struct core *core, const struct class *class, struct buffer *text)
{
    if (class->seat_count == 0)
        return explain_nobody(core, class, text);
    struct tally tally = count_seats(core, class);
    if (tally.free != NULL) {
        explain_worker_name(tally.free, text);
        buffer_append_text(text, " has room: it goes there now");
        return WAIT_NOTHING;
    }
    if (tally.busy > 0) {
        append_busy(class, &tally, text);
        if (tally.away > 0)
            buffer_append_text(text, "; ");
        append_away(core, class, text);
        return WAIT_SLOT;
    }
    buffer_printf(text, "no worker ");
    append_who(class, 1, text);
    buffer_append_text(text, " takes tasks now: ");
    append_away(core, class, text);
    return WAIT_WORKER;
}

bool explain_is_stranded(const struct core *core, const struct class *class)
{
    for (size_t i = 0; i < class->seat_count; i++) {
        if (why_away(core, core->workers[class->seats[i].worker]) == NULL)
            return false;
    }
    return true;
}
