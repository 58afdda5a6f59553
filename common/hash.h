/*
 * hash.h - content addresses: BLAKE2b-256, and their hex text.
 */
#ifndef COMMON_HASH_H
#define COMMON_HASH_H

#include "common/slice.h"

#include <stdbool.h>

enum { HASH_BYTES = 32, HASH_HEX_MAX = 65 };

struct hash {
    unsigned char bytes[HASH_BYTES];
};

/* Call once at the start of a program that hashes; aborts when libsodium cannot start. */
void hash_start(void);
void hash_of(struct slice bytes, struct hash *ret_hash);
void hash_hex(const struct hash *hash, char text[HASH_HEX_MAX]);
/* False unless text is 64 lower-case hex digits. */
bool hash_parse(struct slice text, struct hash *ret_hash);

#endif
