/*
 * Operators that leave notes: a process says one and waits for its answer, whichever agent and
 * master come and go meanwhile; what it said stays in its socket until then. The judge sees that a
 * note is durable before it is answered, and that each later attempt is told all that were.
 */
#include "tests/sim/notes.h"
#include "common/memory.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { NOTES_MOST = 3, PAUSE_MS = 3000 };

/* A process that notes. */
struct noting {
    uint32_t host;
    struct attempt_id id;
    uint32_t note; /* the last that it said */
    bool open;     /* which is not answered */
};

struct answered {
    struct attempt_id id;
    uint32_t note;
};

struct notes {
    struct noting *notings;
    size_t count, capacity;
    struct answered *answered;
    size_t answered_count, answered_capacity;
};

static struct notes *notes_of(struct world *world)
{
    if (world->notes == NULL)
        world->notes = xcalloc(1, sizeof *world->notes);
    return world->notes;
}

void notes_fini(struct world *world)
{
    if (world->notes == NULL)
        return;
    free(world->notes->notings);
    free(world->notes->answered);
    free(world->notes);
}

static bool same(const struct attempt_id *a, const struct attempt_id *b)
{
    return a->run == b->run && a->task == b->task && a->attempt == b->attempt;
}

static struct noting *find(struct world *world, uint32_t host, const struct attempt_id *id)
{
    struct notes *notes = notes_of(world);
    for (size_t i = 0; i < notes->count; i++) {
        if (notes->notings[i].host == host && same(&notes->notings[i].id, id))
            return &notes->notings[i];
    }
    return NULL;
}

/* What lies in its socket, to the agent that looks there. */
static void say(struct world *world, const struct noting *noting)
{
    struct host *host = &world->hosts[noting->host];
    char text[32];
    if (host->agent == NULL || host->agent_paused_until > world->now_ms)
        return;
    (void)snprintf(text, sizeof text, "{\"n\":%u}", noting->note);
    struct agent_event event = {.kind = AGENT_EVENT_NOTED,
        .note = {.id = noting->id, .note = noting->note, .text = slice_of(text)}};
    agent_step_now(world, host, &event);
}

static void speak(struct world *world, const struct happening *happening)
{
    struct noting *noting = find(world, happening->host, &happening->id);
    if (noting->open || noting->note == NOTES_MOST ||
        !process_is_of(world, &world->hosts[happening->host], &happening->id))
        return;
    noting->note++;
    noting->open = true;
    say(world, noting);
}

static void speak_later(struct world *world, uint32_t host, const struct attempt_id *id)
{
    struct happening *happening =
        plan_ahead(world, 1 + draw_below(world, DICE_NOTES, PAUSE_MS), speak);
    happening->host = host;
    happening->id = *id;
}

void notes_begin(struct world *world, const struct host *host, const struct attempt_id *id)
{
    struct notes *notes = notes_of(world);
    const struct sim_run *run = workload_find(world, id->run);
    if (!run->tasks[id->task].notes || find(world, host->index, id) != NULL)
        return;
    vector_reserve(&notes->notings, notes->count, &notes->capacity);
    notes->notings[notes->count++] = (struct noting){.host = host->index, .id = *id};
    speak_later(world, host->index, id);
}

void notes_adopted(struct world *world, const struct host *host, const struct attempt_id *id)
{
    const struct noting *noting = find(world, host->index, id);
    if (noting != NULL && noting->open)
        say(world, noting);
}

static void must_be_durable(struct world *world, const struct msg_noted *noted)
{
    const struct rows *rows = &world->master.rows;
    for (size_t i = 0; i < rows->note_count; i++) {
        if (same(&rows->notes[i].id, &noted->id) && rows->notes[i].note == noted->note)
            return;
    }
    if (!world->restore.ever)
        violated(world, "note %u of task %u, attempt %u, was answered and is on no disk",
            noted->note, noted->id.task, noted->id.attempt);
}

void notes_answered(struct world *world, const struct host *host, const struct msg_noted *noted)
{
    struct notes *notes = notes_of(world);
    struct noting *noting = find(world, host->index, &noted->id);
    if (noting == NULL || !noting->open || noting->note != noted->note)
        return;
    noting->open = false;
    tell(world, "note %u of task %u@%u is answered: %lld", noted->note, noted->id.task,
        noted->id.attempt, (long long)noted->code);
    if (noted->code == 0) {
        must_be_durable(world, noted);
        vector_reserve(&notes->answered, notes->answered_count, &notes->answered_capacity);
        notes->answered[notes->answered_count++] =
            (struct answered){.id = noted->id, .note = noted->note};
    }
    speak_later(world, host->index, &noted->id);
}

static bool is_told(const json_t *told, const struct answered *answered)
{
    for (size_t i = 0; i < json_array_size(told); i++) {
        const json_t *note = json_array_get(told, i);
        if (json_integer_value(json_object_get(note, "attempt")) == answered->id.attempt &&
            json_integer_value(json_object_get(note, "id")) == answered->note &&
            json_integer_value(json_object_get(json_object_get(note, "note"), "n")) ==
                answered->note)
            return true;
    }
    return false;
}

/* One whose lost attempts may run beside the next is told what was answered till then. */
void notes_told(struct world *world, const struct msg_assign *assign)
{
    const struct notes *notes = notes_of(world);
    const struct sim_run *run = workload_find(world, assign->id.run);
    if (assign->document.length == 0 || world->restore.ever ||
        run->tasks[assign->id.task].idempotent)
        return;
    json_t *document = json_loadb(assign->document.ptr, assign->document.length, 0, NULL);
    const json_t *told = json_object_get(document, "notes");
    if (!json_is_array(told))
        violated(world, "an operator's document has no notes");
    for (size_t i = 0; i < notes->answered_count; i++) {
        const struct answered *answered = &notes->answered[i];
        if (answered->id.run == assign->id.run && answered->id.task == assign->id.task &&
            answered->id.attempt < assign->id.attempt && !is_told(told, answered))
            violated(world, "attempt %u of task %u is not told note %u of attempt %u",
                assign->id.attempt, assign->id.task, answered->note, answered->id.attempt);
    }
    json_decref(document);
}
