/*
 * task_line.h - the first line to an operator: what the master sent, and what only this host knows.
 */
#ifndef WORKER_IO_TASK_LINE_H
#define WORKER_IO_TASK_LINE_H

#include "common/buffer.h"
#include "common/error.h"
#include "worker/io/command.h"

/* Appends the line with its end. ERR_MALFORMED: the assign's document is none. */
int task_line_make(const struct msg_assign *assign, const struct place *place, struct slice worker,
    struct buffer *line, struct error *error);

#endif
