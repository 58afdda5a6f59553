/*
 * notes.h - what operators note, in the simulated world: notes.c.
 */
#ifndef SIM_NOTES_H
#define SIM_NOTES_H

#include "tests/sim/world.h"

/* A process of the attempt was made; its agent has changed; its agent hands on an answer; an
 * attempt's assignment has come. */
void notes_begin(struct world *world, const struct host *host, const struct attempt_id *id);
void notes_adopted(struct world *world, const struct host *host, const struct attempt_id *id);
void notes_answered(struct world *world, const struct host *host, const struct msg_noted *noted);
void notes_told(struct world *world, const struct msg_assign *assign);
void notes_fini(struct world *world);

#endif
