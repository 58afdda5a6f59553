/*
 * endpoint.h - where a TCP socket is or goes: tcp://HOST:PORT. Pure: names are not looked up.
 */
#ifndef COMMON_ENDPOINT_H
#define COMMON_ENDPOINT_H

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    ENDPOINT_HOST_MAX = 253, /* of a DNS name */
    ENDPOINT_TEXT_MAX = ENDPOINT_HOST_MAX + 16
};

struct endpoint {
    char host[ENDPOINT_HOST_MAX + 1]; /* [IPv6] without its brackets; * is every interface */
    uint16_t port;                    /* 0: a free one is to be taken */
};

/* ERR_USAGE says what is wrong with the text and shows a right one. */
int endpoint_parse(const char *text, struct endpoint *ret_endpoint, struct error *error);
/* The text again, with the brackets that an IPv6 address needs. */
void endpoint_text(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_MAX]);
/* Whether a client can go there: neither * nor port 0. */
bool endpoint_is_definite(const struct endpoint *endpoint);

#endif
