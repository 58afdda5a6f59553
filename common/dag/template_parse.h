/*
 * template_parse.h - the grammar of templates, for the renderer and for the compiler's checks.
 * Internal to common/dag.
 *
 *     text       = { raw | "{{" expression "}}" }
 *     expression = primary { "|" FILTER }
 *     primary    = STRING | VALUE | "ds_add" "(" expression "," INTEGER ")"
 *                | "params" steps | "outputs" steps | "artifacts" step
 *     step       = "." NAME | "[" STRING "]" | "[" INTEGER "]"
 */
#ifndef COMMON_DAG_TEMPLATE_PARSE_H
#define COMMON_DAG_TEMPLATE_PARSE_H

#include "common/arena.h"
#include "common/error.h"
#include "common/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum expression_kind {
    EXPRESSION_TEXT,     /* a literal: `name` is what stands between the quotes */
    EXPRESSION_VALUE,    /* one of reeve's own: ds, run_id, … */
    EXPRESSION_PARAM,    /* params.NAME… */
    EXPRESSION_OUTPUT,   /* outputs.NAME.X… : NAME is a task, steps[0] is X */
    EXPRESSION_ARTIFACT, /* artifacts.NAME */
    EXPRESSION_DS_ADD,   /* ds_add(argument, days) */
};

enum template_filter {
    FILTER_DS,
    FILTER_DS_NODASH,
    FILTER_TS,
    FILTER_TS_NODASH,
    FILTER_TS_NODASH_WITH_TZ,
    FILTER_TOJSON,
    FILTER_COUNT
};

enum { EXPRESSION_STEPS_MAX = 16, EXPRESSION_FILTERS_MAX = 4, EXPRESSION_DEPTH_MAX = 4 };

/* How to go on inside a value: an object's key, or an array's index when `key.ptr` is NULL. */
struct expression_step {
    struct slice key;
    uint32_t index;
};

struct expression {
    enum expression_kind kind;
    struct slice name;
    struct slice path; /* as written, for messages: outputs.check.rows */
    struct expression_step steps[EXPRESSION_STEPS_MAX];
    size_t step_count;
    enum template_filter filters[EXPRESSION_FILTERS_MAX];
    size_t filter_count;
    const struct expression *argument; /* of ds_add */
    int32_t days;
};

struct template_piece {
    struct slice raw;                    /* the text of a raw piece, or "{{ … }}" */
    const struct expression *expression; /* NULL for raw text; lives in the arena */
};

/* A text on its way through template_next; `at` is 0 at the start. */
struct template_reader {
    struct slice text;
    size_t at;
    struct arena *arena;
};

/*
 * Takes the next piece: 1, or 0 at the end, or ERR_INVALID with an error for a person. After an
 * error ret_piece->raw is what was wrong, and the next call goes on behind it: so all mistakes can
 * be told.
 */
int template_next(
    struct template_reader *reader, struct template_piece *ret_piece, struct error *error);

/* The task or param or value that an expression rests on: itself, or the innermost argument of its
 * ds_adds. */
const struct expression *expression_root(const struct expression *expression);

#endif
