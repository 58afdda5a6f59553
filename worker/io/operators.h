/*
 * operators.h - the operator programs of this host: found on the operator path and asked to
 * describe themselves, once, when the agent starts and before it has threads. docs/operators.md.
 */
#ifndef WORKER_IO_OPERATORS_H
#define WORKER_IO_OPERATORS_H

#include "common/slice.h"
#include "proto/proto.h"

enum { OPERATORS_MAX = 256 }; /* as many as `register` holds; more are left out */

struct operator_program {
    char *name, *path, *version;
    char *problem; /* why it gets no tasks; empty: none */
};

struct operators {
    struct operator_program *items;
    size_t count, capacity;
};

/* `path`: folders separated by ':'; of programs of one name the first counts. Waits for their
 * descriptions, 5 s at most. */
void operators_find(const char *path, struct operators *ret_operators);
void operators_fini(struct operators *operators);
/* The path of the program to start, or NULL. */
const char *operators_path(const struct operators *operators, struct slice name);
/* What `register` says of them; borrowed. */
uint32_t operators_lines(
    const struct operators *operators, struct operator_line lines[OPERATORS_MAX]);
/* The path when none was given; the caller's to free. */
char *operators_default_path(void);

#endif
