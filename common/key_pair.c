#include "common/key_pair.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static_assert(KEY_BYTES == crypto_box_PUBLICKEYBYTES, "CURVE's keys are those of crypto_box");
static_assert(KEY_BYTES == crypto_box_SECRETKEYBYTES, "CURVE's keys are those of crypto_box");

void key_pair_make(struct key_pair *ret_pair)
{
    /* It has no way to fail. */
    if (crypto_box_keypair(ret_pair->public_key, ret_pair->secret_key) != 0)
        abort();
}

bool key_pair_is_valid(const struct key_pair *pair)
{
    unsigned char public_key[KEY_BYTES];
    return crypto_scalarmult_base(public_key, pair->secret_key) == 0 &&
           memcmp(public_key, pair->public_key, KEY_BYTES) == 0;
}
