/*
 * outputs.h - what a task wrote to $REEVE_OUTPUT: lines of name=value, or one JSON object. Pure.
 */
#ifndef WORKER_IO_OUTPUTS_H
#define WORKER_IO_OUTPUTS_H

#include "common/buffer.h"
#include "common/error.h"

/*
 * Appends the JSON object of the outputs; nothing for a text without any. The last one of a name
 * counts. ERR_INVALID says where and what, for the person who wrote the task; ERR_TOO_BIG past
 * OUTPUTS_MAX_BYTES, in the file or as JSON.
 */
int outputs_parse(struct slice text, struct buffer *json, struct error *error);

#endif
