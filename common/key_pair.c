#include "common/key_pair.h"

#include "common/file.h"
#include "common/hex.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert(KEY_BYTES == crypto_box_PUBLICKEYBYTES, "CURVE's keys are those of crypto_box");
static_assert(KEY_BYTES == crypto_box_SECRETKEYBYTES, "CURVE's keys are those of crypto_box");

/* reeve-key 1, public HEX, secret HEX: a line each. */
static const char format[] = "reeve-key 1\npublic %s\nsecret %s\n";
enum { FILE_MAX_BYTES = 4096 };

void key_pair_make(struct key_pair *ret_pair)
{
    /* It has no way to fail. */
    if (crypto_box_keypair(ret_pair->public_key, ret_pair->secret_key) != 0)
        abort();
}

void key_pair_of_secret(const unsigned char secret_key[KEY_BYTES], struct key_pair *ret_pair)
{
    memcpy(ret_pair->secret_key, secret_key, KEY_BYTES);
    if (crypto_scalarmult_base(ret_pair->public_key, secret_key) != 0)
        abort();
}

bool key_pair_is_valid(const struct key_pair *pair)
{
    unsigned char public_key[KEY_BYTES];
    return crypto_scalarmult_base(public_key, pair->secret_key) == 0 &&
           memcmp(public_key, pair->public_key, KEY_BYTES) == 0;
}

void key_pair_wipe(struct key_pair *pair)
{
    explicit_bzero(pair, sizeof *pair);
}

/* On disk when this returns 0. */
static int save(const char *path, const struct key_pair *pair, struct error *error)
{
    char public_text[HEX_TEXT_SIZE(KEY_BYTES)], secret_text[HEX_TEXT_SIZE(KEY_BYTES)];
    char text[sizeof format + sizeof public_text + sizeof secret_text];
    hex_encode(pair->public_key, KEY_BYTES, public_text);
    hex_encode(pair->secret_key, KEY_BYTES, secret_text);
    int length = snprintf(text, sizeof text, format, public_text, secret_text);
    int rc = file_replace(path, slice_make(text, (size_t)length), 0600, error);
    explicit_bzero(secret_text, sizeof secret_text);
    explicit_bzero(text, sizeof text);
    return rc;
}

/* The hex digits after this word, which begins a line. */
static bool parse_line(struct slice text, const char *word, unsigned char key[KEY_BYTES])
{
    enum { DIGITS = HEX_TEXT_SIZE(KEY_BYTES) - 1 };
    const size_t length = strlen(word);
    const char *at = text.length > 0 ? memmem(text.ptr, text.length, word, length) : NULL;
    if (at == NULL || (size_t)(text.ptr + text.length - at) <= length + DIGITS)
        return false;
    return at[length + DIGITS] == '\n' &&
           hex_decode(slice_make(at + length, DIGITS), key, KEY_BYTES);
}

static bool parse(struct slice text, struct key_pair *pair)
{
    static const char head[] = "reeve-key 1\n";
    return text.length > sizeof head && memcmp(text.ptr, head, sizeof head - 1) == 0 &&
           parse_line(text, "\npublic ", pair->public_key) &&
           parse_line(text, "\nsecret ", pair->secret_key) && key_pair_is_valid(pair);
}

int key_pair_load(const char *path, struct key_pair *ret_pair, struct error *error)
{
    struct buffer text = {0};
    struct key_pair pair = {0};
    int rc = file_read_private(path, FILE_MAX_BYTES, &text, error);
    if (rc == 0 && !parse(buffer_slice(&text), &pair))
        rc = error_set(error, ERR_CORRUPT,
            "%s: is not understood, or its keys are no pair; restore it from a backup", path);
    if (rc == 0)
        *ret_pair = pair;
    key_pair_wipe(&pair);
    buffer_wipe(&text);
    return rc;
}

int key_pair_load_or_make(const char *path, struct key_pair *ret_pair, struct error *error)
{
    int rc = key_pair_load(path, ret_pair, error);
    if (rc != ERR_NOT_FOUND)
        return rc;
    struct key_pair pair;
    key_pair_make(&pair);
    rc = save(path, &pair, error);
    if (rc == 0)
        *ret_pair = pair;
    key_pair_wipe(&pair);
    return rc;
}
