/*
 * no_memory.h - scenarios whose allocations fail, one after the other. The program that links this
 * has its own malloc, calloc, realloc and reallocarray, for the libraries too; they are the C
 * library's until one is told to fail.
 */
#ifndef TESTS_UNIT_NO_MEMORY_H
#define TESTS_UNIT_NO_MEMORY_H

#include "common/buffer.h"

#include <stdbool.h>
#include <stdint.h>

/* Plays something, and appends to `out` what came of it. */
typedef void (*scenario_fn)(void *context, struct buffer *out);

/* How a child ended. */
struct ending {
    bool reached; /* the allocation that was to fail was asked for */
    bool done;    /* the scenario came to its end; `out` is what it made */
    bool aborted; /* by SIGABRT, and its last words were those of common/memory.h */
    int status;   /* as waitpid has it */
    struct buffer out, words;
};
void ending_fini(struct ending *ending);

/* Skips the test, and says so, under a sanitizer: that has its own malloc, and nothing can be made
 * to fail. */
void no_memory_or_skip(void);
/*
 * Plays the scenario in a child of its own in which the n-th allocation fails, and all later ones
 * with `for_good`; n 0: none. What hangs is killed after a minute.
 */
void no_memory_play(
    scenario_fn scenario, void *context, uint64_t n, bool for_good, struct ending *ret_ending);
/*
 * For every n until the scenario ends before it: either the child ended by abort with the right
 * words, or it made what it makes when nothing fails. Fails the test, and tells n, otherwise.
 */
void no_memory_expect_clean_ends(scenario_fn scenario, void *context);

#endif
