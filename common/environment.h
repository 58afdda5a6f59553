/*
 * environment.h - variables that hold secrets: taken once at a program's start, and wiped where
 * they stood, so that neither /proc/PID/environ nor a child shows them any more. Before any thread.
 */
#ifndef COMMON_ENVIRONMENT_H
#define COMMON_ENVIRONMENT_H

#include "common/slice.h"

/* Calls `visit` (or, NULL, nobody) for each variable whose name begins so, with the name's rest. */
void environment_take(const char *prefix,
    void (*visit)(void *context, struct slice rest, struct slice value), void *context);

/* From now on this process holds secrets: it leaves no core file, and no other process of its user
 * may read its memory. */
void environment_guard_memory(void);

#endif
