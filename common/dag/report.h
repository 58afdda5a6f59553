/*
 * report.h - collects what is wrong with a DAG file. Internal to common/dag.
 *
 * Everything may report and go on; the compiler gives up at the end. Texts from the file are shown
 * without control characters, so that a terminal is safe.
 */
#ifndef COMMON_DAG_REPORT_H
#define COMMON_DAG_REPORT_H

#include "common/dag/compile.h"
#include "common/slice.h"

#include <stdint.h>

/* Line and column from 1, the column in characters; 0:0 is the whole file. */
struct place {
    uint32_t line, column;
};

struct report {
    struct diagnostics *diagnostics;
    struct slice text;   /* the file: UTF-8, or nothing is taken from it */
    size_t *line_starts; /* made when the first diagnostic needs it */
    size_t line_count;
    uint32_t dropped;      /* beyond DIAGNOSTICS_MAX */
    uint64_t suggest_work; /* names compared so far for "did you mean" */
};

void report_error(struct report *report, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void report_warning(struct report *report, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * `; did you mean "x"?` in `text`, or "": candidates ends with NULL and has `count` names. All
 * calls of one report together compare a bounded number of names, then nothing is suggested any
 * more.
 */
enum { SUGGESTION_MAX = 160 };
const char *report_suggestion(struct report *report, struct slice word,
    const char *const *candidates, size_t count, char text[SUGGESTION_MAX]);

/* False when report_suggestion would say nothing: the work of collecting candidates can be spared.
 */
bool report_suggests(const struct report *report, size_t count);

/* The place of a byte of the text. */
struct place report_place(struct report *report, size_t offset);
/* The byte at a place; the text's length behind the end. */
size_t report_offset(struct report *report, struct place place);

/* The index of the first byte that is no UTF-8; the length when all is well. */
size_t utf8_check(struct slice text);

/* Orders the diagnostics, and says how many were dropped. */
void report_finish(struct report *report);
void report_fini(struct report *report);

#endif
