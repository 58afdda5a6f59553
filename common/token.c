#include "common/token.h"

#include "common/endpoint.h"
#include "common/file.h"
#include "common/hash.h"

#include <assert.h>
#include <sodium.h>

/*
 * After the prefix comes base64url without padding of
 *
 *     u8 version, u16 length of the whole; then, in version 1: u32 role, u64 id, text cluster,
 *     32 bytes server key, 32 bytes secret key of the one-time pair, u8 count, texts addresses;
 *     and, in every version: the first 8 bytes of the BLAKE2b-256 of all before.
 *
 * Numbers are little-endian, a text is its u16 length and its bytes. Version and length are the
 * first four letters, so that a token that was cut is known as such. The checksum is no
 * signature: whoever has the secret key may change the rest.
 */

static const char prefix[] = "reeve1_";

enum {
    PREFIX_LENGTH = sizeof prefix - 1,
    FORMAT_VERSION = 1,
    HEAD_BYTES = 3,
    HEAD_LETTERS = 4,
    CHECKSUM_BYTES = 8,
    BODY_MAX_BYTES = (TOKEN_TEXT_MAX_BYTES - PREFIX_LENGTH) / 4 * 3,
};

static_assert(HEAD_BYTES + 4 + 8 + 2 + TOKEN_CLUSTER_MAX + 2 * KEY_BYTES + 1 +
                      TOKEN_ADDRESSES_MAX * (2 + TOKEN_ADDRESS_MAX_BYTES) + CHECKSUM_BYTES <=
                  BODY_MAX_BYTES,
    "the largest token fits");

static void checksum(const unsigned char *bytes, size_t length, unsigned char out[CHECKSUM_BYTES])
{
    struct hash hash;
    hash_of(slice_make(bytes, length), &hash);
    memcpy(out, hash.bytes, CHECKSUM_BYTES);
}

/* How many letters so many bytes are. */
static size_t letters_of(size_t bytes)
{
    return (bytes * 4 + 2) / 3;
}

/* ---- writing ---- */

struct writer {
    unsigned char bytes[BODY_MAX_BYTES];
    size_t length;
};

static void put(struct writer *writer, const void *bytes, size_t length)
{
    memcpy(writer->bytes + writer->length, bytes, length);
    writer->length += length;
}

static void put_number(struct writer *writer, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        writer->bytes[writer->length++] = (unsigned char)(value >> 8 * i);
}

static void put_text(struct writer *writer, const char *text, size_t max)
{
    size_t length = strlen(text);
    assert(length > 0 && length <= max);
    put_number(writer, length, 2);
    put(writer, text, length);
}

static void put_fields(struct writer *writer, const struct token *token)
{
    put_number(writer, token->role, 4);
    put_number(writer, token->id, 8);
    put_text(writer, token->cluster, TOKEN_CLUSTER_MAX);
    put(writer, token->server_key, KEY_BYTES);
    put(writer, token->keys.secret_key, KEY_BYTES);
    assert(token->address_count > 0 && token->address_count <= TOKEN_ADDRESSES_MAX);
    put_number(writer, token->address_count, 1);
    for (uint32_t i = 0; i < token->address_count; i++)
        put_text(writer, token->addresses[i], TOKEN_ADDRESS_MAX_BYTES);
}

void token_encode(const struct token *token, struct buffer *out)
{
    struct writer writer = {.length = HEAD_BYTES};
    put_fields(&writer, token);
    size_t whole = writer.length + CHECKSUM_BYTES;
    writer.bytes[0] = FORMAT_VERSION;
    writer.bytes[1] = (unsigned char)whole;
    writer.bytes[2] = (unsigned char)(whole >> 8);
    checksum(writer.bytes, writer.length, writer.bytes + writer.length);
    buffer_append_text(out, prefix);
    size_t letters = letters_of(whole);
    (void)sodium_bin2base64(buffer_reserve(out, letters + 1), letters + 1, writer.bytes, whole,
        sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    out->length += letters;
    explicit_bzero(&writer, sizeof writer);
}

/* ---- reading ---- */

struct reader {
    const unsigned char *at, *end;
    bool failed;
};

static const unsigned char *take(struct reader *reader, size_t length)
{
    if (reader->failed || (size_t)(reader->end - reader->at) < length) {
        reader->failed = true;
        return NULL;
    }
    reader->at += length;
    return reader->at - length;
}

static uint64_t take_number(struct reader *reader, int bytes)
{
    uint64_t value = 0;
    const unsigned char *at = take(reader, (size_t)bytes);
    for (int i = 0; at != NULL && i < bytes; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static void take_key(struct reader *reader, unsigned char key[KEY_BYTES])
{
    const unsigned char *at = take(reader, KEY_BYTES);
    if (at != NULL)
        memcpy(key, at, KEY_BYTES);
}

/* Of letters that are seen: what people are shown must not steer their terminal. */
static void take_text(struct reader *reader, char *text, size_t max)
{
    size_t length = (size_t)take_number(reader, 2);
    const unsigned char *at = take(reader, length);
    if (at == NULL || length == 0 || length > max) {
        reader->failed = true;
        return;
    }
    for (size_t i = 0; i < length; i++)
        reader->failed |= at[i] <= ' ' || at[i] >= 0x7f;
    memcpy(text, at, length);
    text[length] = '\0';
}

static void take_fields(struct reader *reader, struct token *token)
{
    token->role = (uint32_t)take_number(reader, 4);
    token->id = take_number(reader, 8);
    take_text(reader, token->cluster, TOKEN_CLUSTER_MAX);
    take_key(reader, token->server_key);
    take_key(reader, token->keys.secret_key);
    token->address_count = (uint32_t)take_number(reader, 1);
    if (token->address_count == 0 || token->address_count > TOKEN_ADDRESSES_MAX) {
        reader->failed = true;
        return;
    }
    for (uint32_t i = 0; i < token->address_count; i++)
        take_text(reader, token->addresses[i], TOKEN_ADDRESS_MAX_BYTES);
    reader->failed |= reader->at != reader->end;
}

static int check_addresses(const struct token *token, struct error *error)
{
    struct endpoint endpoint;
    for (uint32_t i = 0; i < token->address_count; i++) {
        if (endpoint_parse(token->addresses[i], &endpoint, NULL) != 0 ||
            !endpoint_is_definite(&endpoint))
            return error_set(error, ERR_MALFORMED,
                "the token's address %s is none that can be reached", token->addresses[i]);
    }
    return 0;
}

static int decode_fields(
    const unsigned char *body, size_t length, struct token *ret_token, struct error *error)
{
    struct token token = {0};
    struct reader reader = {body + HEAD_BYTES, body + length - CHECKSUM_BYTES, false};
    take_fields(&reader, &token);
    int rc = 0;
    if (reader.failed)
        rc = error_set(error, ERR_MALFORMED, "the token holds what no master writes");
    if (rc == 0)
        rc = check_addresses(&token, error);
    if (rc == 0) {
        key_pair_of_secret(token.keys.secret_key, &token.keys);
        *ret_token = token;
    }
    token_wipe(&token);
    return rc;
}

static int decode_body(
    const unsigned char *body, size_t length, struct token *ret_token, struct error *error)
{
    unsigned char right[CHECKSUM_BYTES];
    checksum(body, length - CHECKSUM_BYTES, right);
    if (memcmp(right, body + length - CHECKSUM_BYTES, CHECKSUM_BYTES) != 0)
        return error_set(
            error, ERR_MALFORMED, "the token is mistyped or damaged: its checksum is wrong");
    if (body[0] != FORMAT_VERSION)
        return error_set(error, ERR_VERSION,
            "the token was made by a later version of reeve (format %d, this one reads %d)",
            body[0], FORMAT_VERSION);
    return decode_fields(body, length, ret_token, error);
}

/* Whether it begins as a token of any version does. */
static int check_prefix(struct slice text, struct error *error)
{
    static const char name[] = "reeve";
    enum { NAME_LENGTH = sizeof name - 1 };
    if (text.length >= PREFIX_LENGTH && memcmp(text.ptr, prefix, PREFIX_LENGTH) == 0)
        return 0;
    size_t at = NAME_LENGTH;
    if (text.length > at && memcmp(text.ptr, name, at) == 0) {
        while (at < text.length && text.ptr[at] >= '0' && text.ptr[at] <= '9')
            at++;
        if (at > NAME_LENGTH && at < text.length && text.ptr[at] == '_')
            return error_set(error, ERR_VERSION,
                "the token was made by a later version of reeve (%.*s)", (int)(at < 20 ? at : 20),
                text.ptr);
    }
    return error_set(error, ERR_MALFORMED, "this is no token: one begins with %s", prefix);
}

/* All letters, and as many as the first ones say. */
static int check_letters(struct slice letters, struct error *error)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char head[HEAD_BYTES];
    size_t length = 0;
    for (size_t i = 0; i < letters.length; i++) {
        if (memchr(alphabet, letters.ptr[i], sizeof alphabet - 1) == NULL)
            return error_set(error, ERR_MALFORMED,
                "the token has a character at place %zu that no token has; was it broken by a "
                "line's end or a quote?",
                PREFIX_LENGTH + i + 1);
    }
    if (letters.length < HEAD_LETTERS ||
        sodium_base642bin(head, sizeof head, letters.ptr, HEAD_LETTERS, NULL, &length, NULL,
            sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return error_set(
            error, ERR_MALFORMED, "the token is cut: hardly more than its beginning is here");
    size_t whole = (size_t)(head[1] | head[2] << 8);
    if (whole <= HEAD_BYTES + CHECKSUM_BYTES || whole > BODY_MAX_BYTES)
        return error_set(error, ERR_MALFORMED, "the token is mistyped or damaged at its beginning");
    if (letters.length < letters_of(whole))
        return error_set(error, ERR_MALFORMED,
            "the token is cut: %zu of its %zu characters are here", PREFIX_LENGTH + letters.length,
            PREFIX_LENGTH + letters_of(whole));
    if (letters.length > letters_of(whole))
        return error_set(error, ERR_MALFORMED, "the token goes on for %zu characters after its end",
            letters.length - letters_of(whole));
    return 0;
}

static struct slice trim(struct slice text)
{
    while (text.length > 0 && strchr(" \t\r\n", text.ptr[0]) != NULL && text.ptr[0] != '\0')
        text = slice_make(text.ptr + 1, text.length - 1);
    while (text.length > 0 && text.ptr[text.length - 1] != '\0' &&
           strchr(" \t\r\n", text.ptr[text.length - 1]) != NULL)
        text.length--;
    return text;
}

int token_decode(struct slice text, struct token *ret_token, struct error *error)
{
    text = trim(text);
    int rc = check_prefix(text, error);
    if (rc != 0)
        return rc;
    struct slice letters = slice_make(text.ptr + PREFIX_LENGTH, text.length - PREFIX_LENGTH);
    if (text.length > TOKEN_TEXT_MAX_BYTES)
        return error_set(error, ERR_MALFORMED,
            "this is no token: it has %zu characters, and a token at most %d", text.length,
            TOKEN_TEXT_MAX_BYTES);
    rc = check_letters(letters, error);
    if (rc != 0)
        return rc;
    unsigned char body[BODY_MAX_BYTES];
    size_t length = 0;
    if (sodium_base642bin(body, sizeof body, letters.ptr, letters.length, NULL, &length, NULL,
            sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        rc = error_set(error, ERR_MALFORMED, "the token is mistyped or damaged at its end");
    else
        rc = decode_body(body, length, ret_token, error);
    explicit_bzero(body, sizeof body);
    return rc;
}

/* ---- from a command line ---- */

static int read_file(const char *path, struct token *ret_token, struct error *error)
{
    struct buffer text = {0};
    int rc = file_read_private(path, TOKEN_TEXT_MAX_BYTES, &text, error);
    if (rc == 0) {
        rc = token_decode(buffer_slice(&text), ret_token, error);
        if (rc != 0)
            (void)error_prefix(error, "%s", path);
    }
    buffer_wipe(&text);
    return rc;
}

int token_read(const char *word, struct token *ret_token, struct error *error)
{
    return word[0] == '@' ? read_file(word + 1, ret_token, error)
                          : token_decode(slice_of(word), ret_token, error);
}

void token_wipe(struct token *token)
{
    explicit_bzero(token, sizeof *token);
}
