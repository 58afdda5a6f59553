/*
 * http.h - one short request, without a proxy: Spark's pages and its REST servers.
 */
#ifndef OPERATORS_SPARK_HTTP_H
#define OPERATORS_SPARK_HTTP_H

#include "common/error.h"

#include <jansson.h>
#include <stdbool.h>

/*
 * GET, or an empty POST; blocks for some seconds at most. *ret_document is what came as JSON, to be
 * freed. ERR_UNREACHABLE: nobody answers there; ERR_MALFORMED: what answers is no JSON;
 * ERR_NOT_FOUND, ERR_REFUSED: by its status, 404 or another.
 */
int http_json(const char *url, bool post, json_t **ret_document, struct error *error);
/* An object's text of that key, borrowed; NULL when there is none. */
const char *json_text(const json_t *object, const char *key);

#endif
