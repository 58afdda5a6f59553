#include "common/seal.h"

#include "common/file.h"
#include "common/hex.h"
#include "common/memory.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static_assert(SEAL_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "one key's size");

enum {
    NONCE_BYTES = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG_BYTES = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    FILE_MAX_BYTES = 256,
};

static const char format[] = "reeve-seal 1\n%s\n";
static const char head[] = "reeve-seal 1\n";

static void name_key(struct seal_key *key)
{
    static const char purpose[] = "reeve seal key id";
    (void)crypto_generichash((unsigned char *)&key->id, sizeof key->id,
        (const unsigned char *)purpose, sizeof purpose, key->bytes, sizeof key->bytes);
    key->id += key->id == 0;
}

void seal_key_make(struct seal_key *ret_key)
{
    crypto_aead_xchacha20poly1305_ietf_keygen(ret_key->bytes);
    name_key(ret_key);
}

void seal_key_wipe(struct seal_key *key)
{
    explicit_bzero(key, sizeof *key);
}

/* ---- files ---- */

int seal_key_load(const char *path, struct seal_key *ret_key, struct error *error)
{
    struct buffer text = {0};
    struct seal_key key;
    int rc = file_read_private(path, FILE_MAX_BYTES, &text, error);
    if (rc != 0) {
        buffer_wipe(&text);
        return rc;
    }
    const size_t digits = HEX_TEXT_SIZE(SEAL_KEY_BYTES) - 1;
    bool sound =
        text.length == sizeof head - 1 + digits + 1 &&
        memcmp(text.data, head, sizeof head - 1) == 0 &&
        hex_decode(slice_make(text.data + sizeof head - 1, digits), key.bytes, SEAL_KEY_BYTES);
    buffer_wipe(&text);
    if (!sound)
        return error_set(error, ERR_CORRUPT, "%s: this is no sealing key", path);
    name_key(&key);
    *ret_key = key;
    seal_key_wipe(&key);
    return 0;
}

int seal_key_save(const char *path, const struct seal_key *key, struct error *error)
{
    char digits[HEX_TEXT_SIZE(SEAL_KEY_BYTES)];
    char text[sizeof format + sizeof digits];
    hex_encode(key->bytes, sizeof key->bytes, digits);
    int length = snprintf(text, sizeof text, format, digits);
    int rc = file_replace(path, slice_make(text, (size_t)length), 0600, error);
    explicit_bzero(digits, sizeof digits);
    explicit_bzero(text, sizeof text);
    return rc;
}

int seal_key_save_next(const char *path, const struct seal_key *key, struct error *error)
{
    char *next = xasprintf("%s.next", path);
    int rc = seal_key_save(next, key, error);
    free(next);
    return rc;
}

int seal_key_turn(const char *path, struct error *error)
{
    char *next = xasprintf("%s.next", path);
    int rc = rename(next, path) == 0 ? 0 : error_set_errno(error, ERR_IO, errno, "%s", next);
    free(next);
    return rc == 0 ? file_sync_folder_of(path, error) : rc;
}

int seal_key_settle(const char *path, const uint64_t *used, size_t count, struct error *error)
{
    struct seal_key key = {0};
    bool sealed = false;
    char *next = xasprintf("%s.next", path);
    int rc = seal_key_load(next, &key, error);
    for (size_t i = 0; rc == 0 && i < count; i++)
        sealed = sealed || used[i] == key.id;
    if (rc == 0 && sealed)
        rc = seal_key_turn(path, error);
    else if (rc == 0 || rc == ERR_CORRUPT)
        rc = unlink(next) == 0 ? file_sync_folder_of(path, error)
                               : error_set_errno(error, ERR_IO, errno, "%s", next);
    else if (rc == ERR_NOT_FOUND)
        rc = 0;
    seal_key_wipe(&key);
    free(next);
    return rc;
}

/* ---- seals ---- */

static const unsigned char *bytes_of(struct slice text)
{
    return (const unsigned char *)(text.ptr != NULL ? text.ptr : "");
}

void seal(const struct seal_key *key, struct slice text, struct slice belongs_to,
    struct buffer *ret_sealed)
{
    unsigned char nonce[NONCE_BYTES];
    unsigned long long length = 0;
    randombytes_buf(nonce, sizeof nonce);
    buffer_append(ret_sealed, nonce, sizeof nonce);
    unsigned char *at = (unsigned char *)buffer_reserve(ret_sealed, text.length + TAG_BYTES);
    /* It has no way to fail. */
    if (crypto_aead_xchacha20poly1305_ietf_encrypt(at, &length, bytes_of(text), text.length,
            bytes_of(belongs_to), belongs_to.length, NULL, nonce, key->bytes) != 0)
        abort();
    ret_sealed->length += (size_t)length;
}

int unseal(const struct seal_key *key, struct slice sealed, struct slice belongs_to,
    struct buffer *ret_text, struct error *error)
{
    unsigned long long length = 0;
    if (sealed.length < NONCE_BYTES + TAG_BYTES)
        return error_set(error, ERR_CORRUPT, "a sealed text is too short");
    unsigned char *at = (unsigned char *)buffer_reserve(ret_text, sealed.length);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(at, &length, NULL,
            bytes_of(sealed) + NONCE_BYTES, sealed.length - NONCE_BYTES, bytes_of(belongs_to),
            belongs_to.length, bytes_of(sealed), key->bytes) != 0)
        return error_set(error, ERR_CORRUPT,
            "a sealed text does not open: it was sealed with another key, or changed");
    ret_text->length += (size_t)length;
    return 0;
}
