/*
 * selector.h - how a person names a run, a task, an attempt: RUN[/TASK[@N|@all]]. Pure.
 *
 *     salaries/17   salaries   last   salaries/17/load   salaries/load   last/load
 * salaries/17/load@2   …@all
 *
 * A part of digits alone behind the DAG is the run's number; a task of that name needs the number
 * before it.
 */
#ifndef CLI_SELECTOR_H
#define CLI_SELECTOR_H

#include "common/error.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stdint.h>

enum { SELECTOR_RUN_MAX = NAME_MAX_BYTES + 24, SELECTOR_TASK_MAX = NAME_MAX_BYTES + 1 };

struct selector {
    char run[SELECTOR_RUN_MAX];   /* "salaries/17", "salaries" or "last" */
    bool numbered;                /* the run's number is there */
    char task[SELECTOR_TASK_MAX]; /* or empty */
    uint32_t attempt;             /* 0: the last one */
    bool all;                     /* @all */
};

enum selector_use {
    SELECTOR_READS = 0,         /* the number may be left out */
    SELECTOR_CHANGES = 1 << 0,  /* the number must be there */
    SELECTOR_TASKS = 1 << 1,    /* /TASK may follow */
    SELECTOR_ATTEMPTS = 1 << 2, /* @N and @all may follow */
};

/* `uses` are enum selector_use. ERR_USAGE shows the right way; ERR_REFUSED for a mapped task. */
int selector_parse(
    const char *text, unsigned uses, struct selector *ret_selector, struct error *error);

#endif
