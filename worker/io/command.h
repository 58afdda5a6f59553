/*
 * command.h - what the runner is told to start: argv and environment of one attempt, and where on
 * this host it lives. Makes no file and reads none.
 */
#ifndef WORKER_IO_COMMAND_H
#define WORKER_IO_COMMAND_H

#include "common/arena.h"
#include "proto/proto.h"
#include "worker/io/task_user.h"

/* Where an attempt lives: all of it below DIR/work/ID. Texts are NUL-terminated. */
struct place {
    struct slice folder;    /* work/ID, absolute */
    struct slice files;     /* its working directory */
    struct slice output;    /* REEVE_OUTPUT */
    struct slice artifacts; /* REEVE_ARTIFACTS */
    struct slice script;    /* where a text goes that is too long for an argument */
};
void place_make(
    struct place *place, const char *work, const struct attempt_id *id, struct arena *arena);

/* Of the agent, for all its tasks. */
struct command_base {
    struct slice worker;          /* REEVE_WORKER */
    struct texts env;             /* the agent's own, less what tasks do not get */
    const struct task_user *user; /* as whom it runs; NULL: as the agent */
};
/* The environment without REEVE_* and AIRFLOW_*, with PYTHONUNBUFFERED=1. Borrows its texts. */
void command_base_env(char *const *environment, struct arena *arena, struct texts *ret_env);

/* The text in the arena, with the artifacts' folder in place of its mark. */
struct slice command_fill(struct slice text, const struct place *place, struct arena *arena);

struct command {
    struct texts arguments, env;
    struct slice script; /* not empty: what place.script is to hold */
};
/* Everything in it lies in the arena. An operator program's argv is its caller's to set. */
void command_make(struct command *command, const struct msg_assign *assign,
    const struct place *place, const struct command_base *base, struct arena *arena);

#endif
