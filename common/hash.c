#include "common/hash.h"

#include "common/hex.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static_assert(HASH_BYTES == crypto_generichash_BYTES, "BLAKE2b-256");

void hash_start(void)
{
    if (sodium_init() < 0) {
        (void)fprintf(stderr, "libsodium cannot start\n");
        abort();
    }
}

void hash_of(struct slice bytes, struct hash *ret_hash)
{
    (void)crypto_generichash(
        ret_hash->bytes, HASH_BYTES, (const unsigned char *)bytes.ptr, bytes.length, NULL, 0);
}

void hash_hex(const struct hash *hash, char text[HASH_HEX_MAX])
{
    hex_encode(hash->bytes, HASH_BYTES, text);
}

bool hash_parse(struct slice text, struct hash *ret_hash)
{
    return hex_decode(text, ret_hash->bytes, HASH_BYTES);
}
