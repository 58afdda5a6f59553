/*
 * seal.h - secrets at rest: sealed with a key that lies in a file of its own (0600), never beside
 * them (libsodium's XChaCha20-Poly1305). What a sealed text belongs to is part of the seal: it
 * cannot be moved to another row. A key is known by its id, which tells nothing of it.
 *
 * Rotation: the new key is written as PATH.next, what was sealed is sealed anew in one transaction,
 * then PATH.next becomes PATH. After a crash in between, seal_key_settle looks which of the two
 * sealed what is there.
 */
#ifndef COMMON_SEAL_H
#define COMMON_SEAL_H

#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { SEAL_KEY_BYTES = 32 };

struct seal_key {
    unsigned char bytes[SEAL_KEY_BYTES];
    uint64_t id; /* never 0 */
};

void seal_key_make(struct seal_key *ret_key);
void seal_key_wipe(struct seal_key *key);

/* ERR_NOT_FOUND; ERR_DENIED when others may read it; ERR_CORRUPT. */
int seal_key_load(const char *path, struct seal_key *ret_key, struct error *error);
int seal_key_save(const char *path, const struct seal_key *key, struct error *error);

/* PATH.next, before what is there is sealed with it. */
int seal_key_save_next(const char *path, const struct seal_key *key, struct error *error);
/* It sealed all: PATH.next becomes PATH. */
int seal_key_turn(const char *path, struct error *error);
/* At the start: `used` are the ids by which rows are sealed. PATH.next becomes PATH where it is one
 * of these keys, and is removed else. */
int seal_key_settle(const char *path, const uint64_t *used, size_t count, struct error *error);

/* Appends the sealed text. */
void seal(const struct seal_key *key, struct slice text, struct slice belongs_to,
    struct buffer *ret_sealed);
/* Appends the text. ERR_CORRUPT: another key, another place, or a changed byte. */
int unseal(const struct seal_key *key, struct slice sealed, struct slice belongs_to,
    struct buffer *ret_text, struct error *error);

#endif
