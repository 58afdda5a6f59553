#include "common/hash.h"

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
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < HASH_BYTES; i++) {
        text[2 * i] = digits[hash->bytes[i] >> 4];
        text[2 * i + 1] = digits[hash->bytes[i] & 15];
    }
    text[2 * HASH_BYTES] = '\0';
}

/* -1 unless c is a lower-case hex digit: a hash has one writing, so that two names never mean one
 * blob. */
static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool hash_parse(struct slice text, struct hash *ret_hash)
{
    struct hash hash;
    if (text.length != 2 * (size_t)HASH_BYTES)
        return false;
    for (size_t i = 0; i < HASH_BYTES; i++) {
        int high = digit_value(text.ptr[2 * i]);
        int low = digit_value(text.ptr[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        hash.bytes[i] = (unsigned char)(high << 4 | low);
    }
    *ret_hash = hash;
    return true;
}
