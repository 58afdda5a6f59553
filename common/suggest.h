/*
 * suggest.h - "did you mean …?"
 */
#ifndef COMMON_SUGGEST_H
#define COMMON_SUGGEST_H

#include "common/slice.h"

/*
 * The candidate nearest to word (Damerau-Levenshtein, case folded), or NULL when none is near
 * enough: at most a third of the word's length, and at least one edit, apart. Borrowed from
 * candidates, which ends with NULL.
 */
const char *suggest(struct slice word, const char *const *candidates);

#endif
