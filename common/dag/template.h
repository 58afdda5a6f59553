/*
 * template.h - `{{ }}` in the texts of a DAG file: parsed and checked when the file is read,
 * rendered by the master just before an attempt is assigned. INTERFACE's rules: names, ds_add,
 * filters; `{{ '{{' }}` prints braces; a value that is one `{{ }}` keeps its type, else it is text.
 * Pure: no clock, no zone data; all dates arrive as text in the scope.
 */
#ifndef COMMON_DAG_TEMPLATE_H
#define COMMON_DAG_TEMPLATE_H

#include "common/buffer.h"
#include "common/error.h"

#include <jansson.h>
#include <stdbool.h>

/*
 * What a template may see. `values` is an object: ds, ds_nodash, ts, ts_nodash, logical_date,
 * data_interval_start, data_interval_end, run_id, dag, task (strings) and attempt (integer).
 * `params` an object. All borrowed.
 */
struct template_scope {
    const json_t *values;
    const json_t *params;
    /* The outputs of a task that is upstream: a borrowed object, or NULL when it has none (yet). */
    const json_t *(*outputs)(void *context, struct slice task);
    /* Where the artifacts of a task lie for this attempt (`{{ artifacts.TASK }}`); the text is
     * appended. */
    void (*artifacts)(void *context, struct slice task, struct buffer *text);
    void *context;
};

/*
 * Renders text. A value that is absent is ERR_NOT_FOUND and named ("outputs.check.rows").
 * *ret_value is a new reference: a string, or for a single `{{ }}` the value's own type.
 */
int template_render(
    struct slice text, const struct template_scope *scope, json_t **ret_value, struct error *error);

/* As template_render, then as text: strings as they are, null as "", all else compact JSON;
 * appended to `out`. */
int template_render_text(
    struct slice text, const struct template_scope *scope, struct buffer *out, struct error *error);

/* False when text holds no "{{": it renders to itself. */
bool template_is_dynamic(struct slice text);

#endif
