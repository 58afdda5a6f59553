/*
 * What operators say: notes, which wait for the master's answer across sessions and masters;
 * progress, of which only the newest counts; and that one broke its contract.
 */
#include "common/memory.h"
#include "worker/core/state.h"

void held_forget_said(struct held *held)
{
    slice_free(&held->note);
    slice_free(&held->progress);
}

static void send_note(struct agent *agent, const struct held *held)
{
    struct msg_note note = {.id = held->id, .note = held->note_id, .text = held->note};
    channel_add(&agent->channel, MESSAGE_note, &note);
}

/* The one before may be unanswered when its operator is over: nobody waits for it. */
void take_note(struct agent *agent, const struct msg_note *note)
{
    struct held *held = held_find(agent, &note->id);
    if (held == NULL)
        return;
    slice_free(&held->note);
    held->note = slice_keep(note->text);
    held->note_id = note->note;
    if (agent->phase == SESSION_OPEN)
        send_note(agent, held);
}

/* Of an earlier session, or said twice: the operator looks at the number. */
void take_noted(struct agent *agent, const struct msg_noted *message)
{
    struct held *held = held_find(agent, &message->id);
    if (held == NULL)
        return;
    if (held->note_id == message->note)
        slice_free(&held->note);
    struct agent_effect *effect = add_effect(agent, AGENT_NOTED);
    effect->id = message->id;
    effect->noted = *message;
}

void take_progress(struct agent *agent, const struct msg_progress *progress)
{
    struct held *held = held_find(agent, &progress->id);
    if (held == NULL)
        return;
    slice_free(&held->progress);
    held->progress = slice_keep(progress->text);
    held->progress_done = progress->done;
    held->progress_total = progress->total;
    held->progress_known = true;
    held->progress_new = true;
}

void take_breach(struct agent *agent, const struct attempt_id *id)
{
    struct held *held = held_find(agent, id);
    if (held != NULL && held_has_process(held))
        held_kill(agent, held, REASON_OPERATOR);
}

void say_again(struct agent *agent, struct held *held)
{
    held->progress_new = held->progress_known;
    if (held->note.ptr != NULL)
        send_note(agent, held);
}

void tell_progress(struct agent *agent)
{
    for (struct held *held = agent->first; held != NULL; held = held->next) {
        if (!held->progress_new)
            continue;
        held->progress_new = false;
        struct msg_progress progress = {
            .id = held->id,
            .text = held->progress,
            .done = held->progress_done,
            .total = held->progress_total,
        };
        send_plain(agent, MESSAGE_progress, &progress);
    }
}
