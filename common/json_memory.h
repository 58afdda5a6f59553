/*
 * json_memory.h - JSON values, whose library goes on when memory cannot be had and leaves out what
 * it had no room for: a lost output, a param without its value. So it gets xmalloc.
 */
#ifndef COMMON_JSON_MEMORY_H
#define COMMON_JSON_MEMORY_H

/* Once, at a program's start: before any JSON value is made. */
void json_memory_start(void);

#endif
