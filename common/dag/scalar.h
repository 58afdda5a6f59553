/*
 * scalar.h - what a YAML scalar means: the core schema of YAML 1.2, in which NO and 3.10 are what
 * they look like. Internal to common/dag. A scalar in quotes is always text.
 */
#ifndef COMMON_DAG_SCALAR_H
#define COMMON_DAG_SCALAR_H

#include "common/dag/yaml.h"

#include <jansson.h>

enum scalar_type { SCALAR_NULL, SCALAR_BOOLEAN, SCALAR_INTEGER, SCALAR_REAL, SCALAR_TEXT };

enum scalar_type scalar_type(const struct node *scalar);
/* True for a plain null, ~ or nothing. */
bool node_is_null(const struct node *node);
/* "a list", "a number", "text", …: what stands there, for messages. */
const char *node_description(const struct node *node);

/* The value of a SCALAR_INTEGER: false when it does not fit. */
bool scalar_integer(const struct node *scalar, int64_t *ret_number);
/* The value of a SCALAR_BOOLEAN. */
bool scalar_is_true(const struct node *scalar);

/*
 * A node as JSON: scalars by the core schema, or by `type` (one of schema.h's, or NULL) where text
 * is wanted. NULL, with an error, for what JSON has not: .inf, .nan, a number that is too large, a
 * duplicate or non-text key.
 */
json_t *node_to_json(const struct node *node, const char *type, struct error *error);

#endif
