/*
 * json.h - any record or message as JSON, for the command line and the browser: keys in snake_case
 * as in messages.def and in its order, times RFC 3339 in UTC, states and reasons by name, what is
 * empty or absent as proto.h's comments on the kinds say. `request` is left out: it is between a
 * client and the master. Bytes are hex, or null when empty; so are the run's random keys, which no
 * JSON number holds. Texts that hold a JSON object (`params`, `outputs`) are embedded as that
 * object. Bytes of a text that are not UTF-8 become U+FFFD.
 */
#ifndef PROTO_JSON_H
#define PROTO_JSON_H

#include "proto/proto.h"

#include <jansson.h>

/* A new reference, the caller's. */
json_t *record_json(const struct record_shape *shape, const void *body)
    __attribute__((returns_nonnull));
/* The text as a JSON string, repaired as above. */
json_t *text_json(struct slice text) __attribute__((returns_nonnull));

#endif
