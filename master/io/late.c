#include "master/io/late.h"

#include "common/clock.h"

/* Two hosts' clocks, compared by messages. */
enum { CLOCK_DOUBT_MS = 1000 };

struct overlap {
    const struct attempt_info *with; /* the first; NULL: there is none */
    int64_t from, to;
    bool sure;
};

/* When it was over, if that was before the given-up one was. */
static int64_t end_within(const struct late_row *late, const struct attempt_info *other)
{
    bool over = other->ended_at != 0 && other->ended_at < late->ended_at;
    int64_t end = over ? other->ended_at : late->ended_at;
    return end > other->started_at ? end : other->started_at;
}

static struct overlap find_overlap(
    const struct late_row *late, const struct attempt_info *later, uint32_t count)
{
    struct overlap overlap = {0};
    for (uint32_t i = 0; i < count; i++) {
        const struct attempt_info *other = &later[i];
        if (other->started_at == 0 || other->started_at >= late->ended_at + CLOCK_DOUBT_MS)
            continue;
        int64_t end = end_within(late, other);
        if (overlap.with == NULL) {
            overlap.with = other;
            overlap.from = other->started_at;
            overlap.sure = late->sure && other->started_at + CLOCK_DOUBT_MS <= late->ended_at;
        }
        if (end > overlap.to)
            overlap.to = end;
    }
    return overlap;
}

static struct slice first_half(const struct late_row *late, struct arena *arena)
{
    char told[CLOCK_TEXT_MAX], ended[CLOCK_TEXT_MAX];
    clock_format_wall(late->told_at, told);
    clock_format_wall(late->ended_at, ended);
    if (!late->sure)
        return arena_printf(
            arena, "its runner was found dead, and what that had left was killed at %s", told);
    bool killed = late->state == ATTEMPT_LOST || late->state == ATTEMPT_CANCELLED;
    return arena_printf(arena, "its worker said at %s, too late to count, that it %s%s%s at %s",
        told, killed ? "was killed" : "ended (", killed ? "" : attempt_state_name(late->state),
        killed ? "" : ")", ended);
}

static struct slice second_half(const struct overlap *overlap, struct arena *arena)
{
    char from[CLOCK_TEXT_MAX], to[CLOCK_TEXT_MAX];
    if (overlap->with == NULL)
        return slice_of("no later attempt had begun by then");
    clock_format_wall(overlap->from, from);
    clock_format_wall(overlap->to, to);
    return arena_printf(arena, "it %s beside attempt %u from %s to %s%s",
        overlap->sure ? "ran" : "may have run", overlap->with->attempt, from, to,
        overlap->sure ? "" : " at the latest");
}

void late_show(const struct late_row *late, struct arena *arena, struct attempt_info *shown,
    const struct attempt_info *later, uint32_t later_count)
{
    struct overlap overlap = find_overlap(late, later, later_count);
    struct slice first = first_half(late, arena), second = second_half(&overlap, arena);
    shown->late = arena_printf(arena, "%.*s: %.*s", SLICE_PRINT(first), SLICE_PRINT(second));
    shown->late_at = late->told_at;
    shown->late_ended_at = late->ended_at;
    if (overlap.with == NULL)
        return;
    shown->overlap = slice_of(overlap.sure ? "did" : "may");
    shown->overlap_attempt = overlap.with->attempt;
    shown->overlap_from = overlap.from;
    shown->overlap_to = overlap.to;
}
