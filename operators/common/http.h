/*
 * http.h - one short request, without a proxy: Spark's pages and its REST servers, and what a
 * connection names.
 */
#ifndef OPERATORS_COMMON_HTTP_H
#define OPERATORS_COMMON_HTTP_H

#include "common/buffer.h"
#include "common/error.h"

#include <jansson.h>
#include <stdbool.h>

/*
 * GET, or an empty POST; blocks for five seconds at most. *ret_document is what came as JSON, to be
 * freed. ERR_UNREACHABLE: nobody listens there; ERR_TIMEOUT: who does has not answered in time;
 * ERR_MALFORMED: what answers is no JSON; ERR_NOT_FOUND, ERR_REFUSED: by its status, 404 or
 * another.
 */
int http_json(const char *url, bool post, json_t **ret_document, struct error *error);

struct http_answer {
    long status;
    char server[80]; /* what it calls itself, "" when it does not */
    struct buffer body;
};
/*
 * GET, with a login where that is not empty; any status is an answer. ERR_UNREACHABLE: nobody
 * listens there, or answers by HTTP, or its certificate is not good; ERR_TIMEOUT: as above.
 * http_answer_fini in any case.
 */
int http_get(const char *url, const char *login, const char *password,
    struct http_answer *ret_answer, struct error *error);
void http_answer_fini(struct http_answer *answer);

/* An object's text of that key, borrowed; NULL when there is none. */
const char *json_text(const json_t *object, const char *key);

#endif
