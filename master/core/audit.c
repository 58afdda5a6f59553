/*
 * The audit log: a row for every change that somebody asked for, and for every refusal. Refusals
 * alike within a minute are one row whose count grows on disk at most once a second, and only so
 * many kinds are told apart: a flood of refusals costs a bounded number of writes.
 */
#include "common/memory.h"
#include "master/core/state.h"
#include "proto/roles.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    ALIKE_MS = 60000,
    REWRITE_MS = 1000,
    TEXT_MAX_BYTES = 600, /* of each text of a row; cut */
};

/* ---- who ---- */

static struct slice key_in_hex(struct core *core, struct slice key)
{
    char text[2 * WORKER_KEY_BYTES + 1];
    for (size_t i = 0; i < key.length && i < WORKER_KEY_BYTES; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", (unsigned char)key.ptr[i]);
    return arena_copy(&core->effects->arena, slice_make(text, 2 * key.length));
}

/* `claimed` is what an actor that is not known calls itself, or empty. */
static struct slice who_of(struct core *core, struct slice claimed)
{
    const struct actor *actor = core->actor;
    bool keyed = actor->key.length == WORKER_KEY_BYTES;
    const struct peer_row *peer = keyed ? peer_find(core, actor->key) : NULL;
    if (actor->name.length > 0)
        return actor->name;
    if (peer != NULL)
        return peer->name;
    if (claimed.length > 0)
        return claimed;
    return keyed ? key_in_hex(core, actor->key) : slice_of("local");
}

static uint32_t role_of_actor(const struct actor *actor)
{
    return actor->role == ROLE_NONE && actor->key.length == 0 ? ROLE_LOCAL : actor->role;
}

/* One line: cut before the character that would be broken, and no control characters. */
static struct slice line(struct core *core, struct slice text)
{
    size_t length = text.length;
    if (length > TEXT_MAX_BYTES) {
        length = TEXT_MAX_BYTES;
        while (length > 0 && ((unsigned char)text.ptr[length] & 0xc0) == 0x80)
            length--;
    }
    if (length == 0)
        return (struct slice){NULL, 0};
    char *bytes = arena_alloc(&core->effects->arena, length);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f ? '?' : text.ptr[i];
    return slice_make(bytes, length);
}

/* ---- rows ---- */

static void write_row(struct core *core, const struct audit_row *row)
{
    struct arena *arena = &core->effects->arena;
    struct audit_row *fact = &effects_add_fact(core->effects, FACT_AUDIT)->audit;
    *fact = *row;
    fact->who = arena_copy(arena, row->who);
    fact->address = arena_copy(arena, row->address);
    fact->action = arena_copy(arena, row->action);
    fact->target = arena_copy(arena, row->target);
    fact->text = arena_copy(arena, row->text);
}

static void fill(struct core *core, struct audit_row *row)
{
    row->at = core->now_wall;
    row->role = role_of_actor(core->actor);
    row->who = line(core, who_of(core, row->who));
    row->address = line(core, core->actor->address);
    row->action = line(core, row->action);
    row->target = line(core, row->target);
    row->text = line(core, row->text);
    if (row->count == 0)
        row->count = 1;
}

/* ---- refusals ---- */

static uint64_t alike_hash(const struct audit_row *row)
{
    uint64_t hash = hash_bytes(row->who);
    hash = hash_mix(hash ^ row->role ^ hash_bytes(row->action));
    return hash_mix(hash ^ hash_bytes(row->text));
}

static bool is_alike(const struct audit_alike *alike, uint64_t hash, const struct audit_row *row)
{
    return alike->hash == hash && alike->row.role == row->role &&
           slice_equal(alike->row.who, row->who) && slice_equal(alike->row.action, row->action) &&
           slice_equal(alike->row.text, row->text);
}

static void free_texts(struct audit_row *row)
{
    slice_free(&row->who);
    slice_free(&row->address);
    slice_free(&row->action);
    slice_free(&row->target);
    slice_free(&row->text);
}

static void write_alike(struct core *core, struct audit_alike *alike)
{
    alike->dirty = false;
    alike->written_ms = core->now_ms;
    write_row(core, &alike->row);
}

static bool is_over(const struct core *core, const struct audit_alike *alike)
{
    return core->now_ms >= alike->begun_ms + ALIKE_MS;
}

/* A minute of its own begins. */
static void begin(
    struct core *core, struct audit_alike *alike, uint64_t hash, const struct audit_row *row)
{
    if (alike->dirty)
        write_alike(core, alike);
    free_texts(&alike->row);
    alike->row = *row;
    alike->row.number = ++core->audit.last_number;
    alike->row.who = slice_keep(row->who);
    alike->row.address = slice_keep(row->address);
    alike->row.action = slice_keep(row->action);
    alike->row.target = slice_keep(row->target);
    alike->row.text = slice_keep(row->text);
    alike->hash = hash;
    alike->begun_ms = core->now_ms;
    write_alike(core, alike);
}

static void count_in(struct core *core, struct audit_alike *alike, uint32_t count)
{
    uint32_t left = UINT32_MAX - alike->row.count;
    alike->row.count += count < left ? count : left;
    alike->dirty = true;
    if (core->now_ms >= alike->written_ms + REWRITE_MS)
        write_alike(core, alike);
    else if (!wheel_is_armed(&core->audit.timer))
        wheel_arm(&core->wheel, &core->audit.timer, alike->written_ms + REWRITE_MS);
}

static void count_refusal(struct core *core, const struct audit_row *row)
{
    struct audit *audit = &core->audit;
    uint64_t hash = alike_hash(row);
    struct audit_alike *room = NULL;
    if (audit->alikes == NULL)
        audit->alikes = xcalloc(AUDIT_ALIKE_MAX + 1, sizeof *audit->alikes);
    for (size_t i = 0; i < AUDIT_ALIKE_MAX; i++) {
        struct audit_alike *alike = &audit->alikes[i];
        bool free_slot = alike->row.number == 0 || is_over(core, alike);
        if (!free_slot && is_alike(alike, hash, row)) {
            count_in(core, alike, row->count);
            return;
        }
        if (free_slot && room == NULL)
            room = alike;
    }
    if (room != NULL) {
        begin(core, room, hash, row);
        return;
    }
    struct audit_alike *rest = &audit->alikes[AUDIT_ALIKE_MAX];
    if (rest->row.number != 0 && !is_over(core, rest)) {
        count_in(core, rest, row->count);
        return;
    }
    struct audit_row many = {
        .at = row->at,
        .who = slice_of("many"),
        .action = slice_of("refusals"),
        .text = slice_of("more kinds of refusals in this minute than the log tells apart"),
        .refused = true,
        .count = row->count,
    };
    begin(core, rest, 0, &many);
}

void audit_refusal(struct core *core, struct audit_row row)
{
    row.refused = true;
    fill(core, &row);
    count_refusal(core, &row);
}

void audit_timer(struct core *core)
{
    uint64_t due = UINT64_MAX;
    for (size_t i = 0; i <= AUDIT_ALIKE_MAX; i++) {
        struct audit_alike *alike = &core->audit.alikes[i];
        if (alike->dirty && core->now_ms >= alike->written_ms + REWRITE_MS)
            write_alike(core, alike);
        if (alike->dirty && alike->written_ms + REWRITE_MS < due)
            due = alike->written_ms + REWRITE_MS;
    }
    if (due != UINT64_MAX)
        wheel_arm(&core->wheel, &core->audit.timer, due);
}

/* ---- what comes to be audited ---- */

static struct slice action_of(const struct event *event)
{
    static const char *const names[EVENT_KIND_COUNT] = {
        [EVENT_SUBMIT] = "submit",
        [EVENT_CANCEL] = "cancel",
        [EVENT_RETRY] = "retry",
        [EVENT_MARK] = "mark",
        [EVENT_JOIN] = "join",
        [EVENT_CREATE_TOKEN] = "create_token",
        [EVENT_REVOKE_TOKEN] = "revoke_token",
        [EVENT_DRAIN] = "drain",
        [EVENT_REMOVE_WORKER] = "remove_worker",
        [EVENT_LOST_WORKER] = "lost_worker",
        [EVENT_SET_CONNECTION] = "set_connection",
        [EVENT_REMOVE_CONNECTION] = "remove_connection",
        [EVENT_RESEAL] = "rotate_key",
    };
    if (event->action.length > 0)
        return event->action;
    if (event->kind == EVENT_DRAIN && event->worker_change.undo)
        return slice_of("undrain");
    return slice_of(names[event->kind]);
}

/* It goes by the name that it asks for, if that can be one. */
static struct slice newcomer(const struct event *event)
{
    bool named = event->kind == EVENT_JOIN && access_is_name(event->join.name);
    return named ? event->join.name : (struct slice){NULL, 0};
}

/* "skipped: loaded by hand": what a person said of a task. */
static void append_mark(const struct event *event, struct buffer *text)
{
    buffer_append_text(text, task_state_name(event->change.state));
    if (event->change.note.length > 0)
        buffer_printf(text, ": %.*s", SLICE_PRINT(event->change.note));
}

void audit_change(struct core *core, const struct event *event)
{
    const struct outcome *outcome = &core->outcome;
    struct buffer mark = {0};
    if (!outcome->changed && !outcome->refused)
        return;
    struct audit_row row = {
        .who = newcomer(event),
        .action = action_of(event),
        .target = outcome->target.length > 0 ? outcome->target : event->target,
        .text = outcome->text,
        .refused = outcome->refused,
    };
    fill(core, &row);
    if (row.refused) {
        count_refusal(core, &row);
        return;
    }
    if (event->kind == EVENT_MARK) {
        append_mark(event, &mark);
        row.text = buffer_slice(&mark);
    }
    row.number = ++core->audit.last_number;
    write_row(core, &row);
    buffer_fini(&mark);
}

void audit_reported(struct core *core, const struct event *event)
{
    audit_refusal(core, (struct audit_row){
                            .action = event->action,
                            .target = event->target,
                            .text = event->audit.text,
                            .count = event->audit.count,
                        });
}

/* ---- its life ---- */

void audit_init(struct core *core, uint64_t last_number)
{
    core->audit.timer_kind = TIMER_AUDIT;
    core->audit.last_number = last_number;
}

void audit_fini(struct audit *audit)
{
    for (size_t i = 0; audit->alikes != NULL && i <= AUDIT_ALIKE_MAX; i++)
        free_texts(&audit->alikes[i].row);
    free(audit->alikes);
}
