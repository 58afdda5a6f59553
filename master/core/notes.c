/*
 * What operators note for later attempts of their task: kept in rows, answered once they are
 * durable, and told to every later attempt. And how far an operator says it is: kept nowhere.
 */
#include "common/limits.h"
#include "common/memory.h"
#include "common/probe.h"
#include "master/core/state.h"

#include <stdlib.h>

struct task_notes *run_notes(const struct run *run, uint32_t task)
{
    uint64_t value = 0;
    return table_get(&run->notes, task, &value) ? (struct task_notes *)(uintptr_t)value : NULL;
}

static struct task_notes *make_notes(struct run *run, uint32_t task)
{
    struct task_notes *notes = run_notes(run, task);
    if (notes == NULL) {
        notes = xcalloc(1, sizeof *notes);
        table_set(&run->notes, task, (uintptr_t)notes);
    }
    return notes;
}

void run_add_note(struct run *run, const struct note_row *row)
{
    struct task_notes *notes = make_notes(run, row->id.task);
    vector_reserve(&notes->items, notes->count, &notes->capacity);
    notes->items[notes->count++] = (struct task_note){
        .attempt = row->id.attempt,
        .id = row->note,
        .at = row->at,
        .text = slice_keep(row->text),
    };
    notes->bytes += row->text.length;
}

void run_forget_notes(struct run *run, uint32_t task)
{
    struct task_notes *notes = run_notes(run, task);
    if (notes == NULL)
        return;
    (void)table_remove(&run->notes, task);
    for (size_t i = 0; i < notes->count; i++)
        slice_free(&notes->items[i].text);
    free(notes->items);
    free(notes);
}

static bool is_object(struct slice text)
{
    json_t *object = json_loadb(text.ptr, text.length, JSON_REJECT_DUPLICATES, NULL);
    bool is = json_is_object(object);
    json_decref(object);
    return is;
}

/* 0: it is new. ERR_AGAIN: it is there already. Else why it cannot be kept. */
static int check_note(const struct run *run, const struct msg_note *note, struct error *error)
{
    const struct task_notes *notes = run_notes(run, note->id.task);
    uint32_t own = 0;
    for (size_t i = 0; notes != NULL && i < notes->count; i++) {
        if (notes->items[i].attempt != note->id.attempt)
            continue;
        if (notes->items[i].id == note->note)
            return ERR_AGAIN;
        own++;
    }
    if (note->text.length > NOTE_MAX_BYTES || !is_object(note->text))
        return error_set(
            error, ERR_INVALID, "a note is a JSON object of at most %d bytes", NOTE_MAX_BYTES);
    if (own >= ATTEMPT_NOTES_MAX)
        return error_set(
            error, ERR_TOO_BIG, "an attempt leaves at most %d notes", ATTEMPT_NOTES_MAX);
    if (notes != NULL && notes->bytes + note->text.length > TASK_NOTES_MAX_BYTES)
        return error_set(error, ERR_TOO_BIG, "a task's notes have at most %d bytes in all",
            TASK_NOTES_MAX_BYTES);
    return 0;
}

static int take(struct core *core, const struct attempt *attempt, const struct msg_note *note,
    struct error *error)
{
    struct run *run = &core->runs[attempt->run];
    int code = check_note(run, note, error);
    if (code == ERR_AGAIN)
        return 0;
    if (code != 0)
        return code;
    if (MUTANT(NOTE_ON_NO_DISK))
        return 0;
    struct note_row *row = &effects_add_fact(core->effects, FACT_NOTE)->note;
    *row = (struct note_row){
        .id = note->id,
        .note = note->note,
        .at = core->now_wall,
        .text = arena_copy(&core->effects->arena,
            connections_mask_json(core, &run->plan, attempt->task, note->text)),
    };
    run_add_note(run, row);
    return 0;
}

/* The answer is of this batch, or of a later one: it leaves when the note is on disk. */
void note_take(struct core *core, struct worker *worker, const struct attempt *attempt,
    const struct msg_note *note)
{
    struct error error = {0};
    int code = attempt == NULL
                   ? error_set(&error, ERR_NOT_FOUND, "this attempt is over for the master")
                   : take(core, attempt, note, &error);
    struct msg_noted noted = {
        .id = note->id, .note = note->note, .code = code, .error = slice_of(error.text)};
    channel_add(&worker->channel, MESSAGE_noted, &noted);
    worker_mark_dirty(core, worker);
}

void progress_take(struct core *core, struct attempt *attempt, const struct msg_progress *message)
{
    const struct run *run = &core->runs[attempt->run];
    struct slice text = connections_mask(core, &run->plan, attempt->task, message->text);
    if (text.length > 2 * NAME_MAX_BYTES)
        text.length = 2 * NAME_MAX_BYTES;
    slice_free(&attempt->progress.text);
    attempt->progress = *message;
    attempt->progress.text = slice_keep(text);
    uint32_t live = run->tasks[attempt->task].live;
    if (live != NONE && core->attempts[live] == attempt)
        task_show(core, run, attempt->task, slice_of(NULL));
}
