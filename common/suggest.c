#include "common/suggest.h"

#include <stdint.h>

enum { WORD_MAX = 64 };

/* ASCII alone, whatever the locale. */
static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The optimal string alignment distance; both words are at most WORD_MAX bytes. */
static size_t distance(struct slice a, struct slice b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b.length; j++)
        last[j] = j;
    for (size_t i = 1; i <= a.length; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b.length; j++) {
            size_t change = fold(a.ptr[i - 1]) != fold(b.ptr[j - 1]);
            now[j] = smaller(smaller(last[j] + 1, now[j - 1] + 1), last[j - 1] + change);
            if (i > 1 && j > 1 && fold(a.ptr[i - 1]) == fold(b.ptr[j - 2]) &&
                fold(a.ptr[i - 2]) == fold(b.ptr[j - 1]))
                now[j] = smaller(now[j], before[j - 2] + 1);
        }
        size_t *freed = before;
        before = last;
        last = now;
        now = freed;
    }
    return last[b.length];
}

const char *suggest(struct slice word, const char *const *candidates)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    if (word.length == 0 || word.length > WORD_MAX)
        return NULL;
    for (size_t i = 0; candidates[i] != NULL; i++) {
        struct slice candidate = slice_of(candidates[i]);
        if (candidate.length > WORD_MAX)
            continue;
        size_t apart = distance(word, candidate);
        size_t allowed = word.length / 3 > 0 ? word.length / 3 : 1;
        /* Of a word of one letter nothing is left when that is changed. */
        if (word.length == 1 && candidate.length == 1)
            continue;
        if (apart <= allowed && apart < best_distance) {
            best = candidates[i];
            best_distance = apart;
        }
    }
    return best;
}
