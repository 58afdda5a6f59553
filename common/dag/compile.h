/*
 * compile.h - a DAG file's text -> a plan, or every mistake in it.
 */
#ifndef COMMON_DAG_COMPILE_H
#define COMMON_DAG_COMPILE_H

#include "common/buffer.h"
#include "common/error.h"
#include <stdbool.h>

#include <stdint.h>

enum severity { SEVERITY_ERROR, SEVERITY_WARNING };

struct diagnostic {
    enum severity severity;
    uint32_t line, column; /* from 1; column in characters; 0: the whole file */
    char *message;         /* one line; "did you mean …" included */
    char *source;          /* the source line, cut to 200 characters around the place, or NULL */
    uint32_t caret;        /* where the caret stands in `source`, from 0 */
};

/* At most DIAGNOSTICS_MAX are kept; then a last one says how many more there are. */
enum { DIAGNOSTICS_MAX = 100 };

struct diagnostics {
    struct diagnostic *items; /* ordered by line and column */
    size_t count, capacity;
    uint32_t errors; /* how many of them are errors */
};

/* Zero-initialised `diagnostics` grows; the caller calls diagnostics_fini. */
void diagnostics_fini(struct diagnostics *diagnostics);
/* "file:line:column: message" (a warning's begins with "warning: "), the source line and a caret, a
 * blank-free block a mistake. */
void diagnostics_print(const struct diagnostics *diagnostics, const char *file, struct buffer *out);

/*
 * Compiles `text`, the content of a file called `file_name` (only its last component is used: the
 * DAG's default name). 0 and the plan's bytes appended to *plan_bytes (which must be empty),
 * possibly with warnings; or ERR_INVALID with at least one error in diagnostics and nothing
 * appended. Reads no other file: that `file:` exists is checked by bundle_check.
 */
int dag_compile(struct slice text, const char *file_name, struct buffer *plan_bytes,
    struct diagnostics *diagnostics);

/* True when the text is a YAML mapping with a top-level `tasks`: other YAML files in a folder are
 * left alone. */
bool dag_is_dag(struct slice text);

#endif
