/*
 * hex.h - bytes as hex digits, lower case: one writing for each value, so that two names never mean
 * one thing.
 */
#ifndef COMMON_HEX_H
#define COMMON_HEX_H

#include "common/slice.h"

#include <stdbool.h>

/* The size of a text of so many bytes, with its NUL. */
#define HEX_TEXT_SIZE(bytes) (2 * (size_t)(bytes) + 1)

/* Writes 2 x length digits and a NUL. */
void hex_encode(const void *bytes, size_t length, char *ret_text);
/* False, and nothing written, unless text is 2 x length lower-case digits. */
bool hex_decode(struct slice text, void *ret_bytes, size_t length);

#endif
