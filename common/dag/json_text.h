/*
 * json_text.h - a JSON value as text for people and programs: compact, numbers as short as they can
 * be read back (0.1, not 0.10000000000000001).
 */
#ifndef COMMON_DAG_JSON_TEXT_H
#define COMMON_DAG_JSON_TEXT_H

#include "common/buffer.h"

#include <jansson.h>

/* Appends the value as compact JSON, keys in the value's own order. */
void json_append_compact(const json_t *value, struct buffer *out);
/* A string as it is, null as nothing, all else as json_append_compact. */
void json_append_plain(const json_t *value, struct buffer *out);

#endif
