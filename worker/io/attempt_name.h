/*
 * attempt_name.h - the name of an attempt's folder and spool: RUN.TASK.MAP.ATTEMPT, the run key in
 * hex.
 */
#ifndef WORKER_IO_ATTEMPT_NAME_H
#define WORKER_IO_ATTEMPT_NAME_H

#include "proto/proto.h"

#include <stdbool.h>

enum { ATTEMPT_NAME_MAX = 56 };

void attempt_name(const struct attempt_id *id, char name[ATTEMPT_NAME_MAX]);
/* False for what attempt_name does not write. */
bool attempt_name_parse(const char *name, struct attempt_id *ret_id);

#endif
