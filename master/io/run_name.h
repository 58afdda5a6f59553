/*
 * run_name.h - how a person names a run: salaries/17; for reading also salaries (its latest) and
 * last. Pure.
 */
#ifndef MASTER_IO_RUN_NAME_H
#define MASTER_IO_RUN_NAME_H

#include "common/arena.h"
#include "common/error.h"

#include <stdint.h>

struct run_name {
    struct slice dag; /* borrows the text; empty: the last run of all */
    uint32_t number;  /* 0: the latest */
};

/* ERR_USAGE with a text that shows the right way. */
int run_name_parse(struct slice text, struct run_name *ret_name, struct error *error);

/* "salaries/17" */
struct slice run_name_text(struct arena *arena, struct slice dag, uint32_t number);

#endif
