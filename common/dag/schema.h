/*
 * schema.h - the part of JSON Schema that a parameter's declaration may use. Internal to
 * common/dag.
 *
 * A schema is an object: `type` always, and of default, enum, minimum, maximum, exclusiveMinimum,
 * exclusiveMaximum, minLength, maxLength, pattern (POSIX extended, found anywhere in the text),
 * items (a schema), minItems, maxItems, title, description those that fit the type.
 */
#ifndef COMMON_DAG_SCHEMA_H
#define COMMON_DAG_SCHEMA_H

#include "common/error.h"

#include <jansson.h>
#include <stdbool.h>

/* The types, ending with NULL: "string", "integer", "number", "boolean", "array", "object". */
extern const char *const schema_types[];

/* The declared type; "string" for a schema without one. */
const char *schema_type(const json_t *schema);
/* Whether the value is of that type. An integer is a number too. */
bool schema_type_fits(const char *type, const json_t *value);

/* ERR_INVALID, with a text that follows on "NAME: ", when the value does not fit. null fits a
 * schema whose default is null. */
int schema_check(const json_t *schema, const json_t *value, struct error *error);

/* ERR_INVALID unless the pattern can be compiled, in bounded time and memory. */
int schema_check_pattern(const char *pattern, struct error *error);

#endif
