/*
 * params.h - a run's parameters: the plan's declarations (plan_header.params) met with what a
 * person gave.
 */
#ifndef COMMON_DAG_PARAMS_H
#define COMMON_DAG_PARAMS_H

#include "common/error.h"

#include <jansson.h>
#include <stdbool.h>

/*
 * `declarations` is the object name -> schema of a plan; `given` an object name -> value, where a
 * value is a JSON string as typed at `-p k=v` (read by the declared type) unless `typed`. Fills
 * *ret_params (new reference: every declared name with its value or default). ERR_USAGE lists every
 * mistake at once, a line each: an undeclared name (with did-you-mean), a value that does not fit,
 * a required one that is missing.
 */
int params_resolve(const json_t *declarations, const json_t *given, bool typed, json_t **ret_params,
    struct error *error);

/* What REEVE_PARAM_<name> holds: a string as it is, anything else compact JSON; NULL for null
 * (unset). Caller frees. */
char *params_environment_text(const json_t *value);

#endif
