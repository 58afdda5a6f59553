/*
 * key_pair.h - a CURVE key pair as ZeroMQ takes it: Curve25519, 32 bytes each. In a file it is
 * text, hex, that only its owner may read.
 */
#ifndef COMMON_KEY_PAIR_H
#define COMMON_KEY_PAIR_H

#include "common/error.h"

#include <stdbool.h>

enum { KEY_BYTES = 32 };

struct key_pair {
    unsigned char public_key[KEY_BYTES];
    unsigned char secret_key[KEY_BYTES];
};

/* hash_start (hash.h) comes before. */
void key_pair_make(struct key_pair *ret_pair);
/* The pair of a secret key. */
void key_pair_of_secret(const unsigned char secret_key[KEY_BYTES], struct key_pair *ret_pair);
/* Whether the public key is that of the secret one. */
bool key_pair_is_valid(const struct key_pair *pair);
void key_pair_wipe(struct key_pair *pair);

/* ERR_NOT_FOUND: there is none. ERR_DENIED: others than its owner may read it. ERR_CORRUPT: it is
 * no key's file. All name it. */
int key_pair_load(const char *path, struct key_pair *ret_pair, struct error *error);
/* The pair of the file, or a new one, saved there (0600), when there is none. */
int key_pair_load_or_make(const char *path, struct key_pair *ret_pair, struct error *error);

#endif
