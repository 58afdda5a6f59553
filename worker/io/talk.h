/*
 * talk.h - the agent's end of an operator's socket: hands on what the operator says, and tells it
 * what became of its notes. One thread.
 *
 * An agent may be killed at any moment, and the next one gets the same socket from the runner. So a
 * line is looked at where it lies in the socket, and taken out only after it had its effect: a note
 * after its answer, an output or an error after it stands in the attempt's own file. What is done
 * twice for that is harmless. A line that came in pieces is the exception: it is gathered here.
 */
#ifndef WORKER_IO_TALK_H
#define WORKER_IO_TALK_H

#include "common/buffer.h"
#include "common/loop.h"
#include "proto/proto.h"

#include <jansson.h>

struct talk;

struct talk_events {
    void (*note)(void *context, const struct msg_note *note);
    void (*progress)(void *context, const struct msg_progress *progress);
    /* It broke the contract, once; what it says is not heard any more. */
    void (*breach)(void *context, const struct attempt_id *id);
    void *context;
};

struct talk_config {
    struct loop *loop;
    const char *folder; /* where what was said is kept, a file an attempt */
    struct talk_events events;
};

/* Takes fd and `kill_grace_ms` (0: not known, an earlier agent began it), reads what an earlier
 * agent kept. talk_listen begins. The config is borrowed. */
struct talk *talk_create(
    const struct talk_config *config, const struct attempt_id *id, int fd, uint64_t kill_grace_ms);
/* The file stays. */
void talk_destroy(struct talk *talk);
void talk_listen(struct talk *talk);

/* The first line to it, whole, before it starts. ERR_TOO_BIG. */
int talk_tell_task(const struct talk *talk, struct slice line, struct error *error);
void talk_answer(struct talk *talk, const struct msg_noted *noted);

/* When it must have ended, since it has said its error (boot time); UINT64_MAX: it has not. */
uint64_t talk_due_ms(const struct talk *talk);
/* That time is over. */
void talk_expire(struct talk *talk, uint64_t now_ms);

/* What it said in all, once nothing of it runs any more: reads the rest. Borrowed from the talk. */
struct talk_end {
    const json_t *outputs; /* an object */
    struct slice error;    /* or empty */
    bool no_retry;
    struct slice breach; /* how it broke the contract, or empty */
};
void talk_finish(struct talk *talk, struct talk_end *ret_end);

/* Removes the attempt's file, if there is one. */
void talk_forget(const char *folder, const struct attempt_id *id);

#endif
