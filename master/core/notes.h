/*
 * notes.h - what operators are told and what they say: document.c and notes.c. A part of state.h,
 * for the core's own files.
 */
#ifndef MASTER_CORE_NOTES_H
#define MASTER_CORE_NOTES_H

#include "master/core/state.h"

/* What operators noted in the attempts of a task, oldest first. */
struct task_notes {
    struct task_note *items; /* texts are owned */
    size_t count, capacity;
    size_t bytes; /* of the texts */
};

/* ---- document.c ---- */

struct tag;
struct template_scope;
/* The document of an assign, for the attempt `id`; lies in core->scratch. The same errors. */
int document_make(struct core *core, struct run *run, const struct tag *id,
    const struct template_scope *scope, struct slice *ret_document, struct error *error);

/* ---- notes.c ---- */

/* NULL: none. */
struct task_notes *run_notes(const struct run *run, uint32_t task);
void run_add_note(struct run *run, const struct note_row *row);
void run_forget_notes(struct run *run, uint32_t task);
/* `attempt` is the live one, or NULL. Answers the worker. */
void note_take(struct core *core, struct worker *worker, const struct attempt *attempt,
    const struct msg_note *note);
void progress_take(struct core *core, struct attempt *attempt, const struct msg_progress *message);

#endif
