/*
 * key_pair.h - a CURVE key pair as ZeroMQ takes it: Curve25519, 32 bytes each.
 */
#ifndef COMMON_KEY_PAIR_H
#define COMMON_KEY_PAIR_H

#include <stdbool.h>

enum { KEY_BYTES = 32 };

struct key_pair {
    unsigned char public_key[KEY_BYTES];
    unsigned char secret_key[KEY_BYTES];
};

/* hash_start (hash.h) comes before. */
void key_pair_make(struct key_pair *ret_pair);
/* Whether the public key is that of the secret one. */
bool key_pair_is_valid(const struct key_pair *pair);

#endif
