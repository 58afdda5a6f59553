/*
 * A token as somebody pastes it: the input itself, and the input as the fields of one whose length
 * and checksum are right, as a forger would send it. What is read, is written again as it was.
 */
#include "common/hash.h"
#include "common/token.h"

#include <sodium.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    hash_start();
    return 0;
}

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static struct slice trimmed(struct slice text)
{
    while (text.length > 0 && strchr(" \t\r\n", text.ptr[text.length - 1]) != NULL)
        text.length--;
    while (text.length > 0 && strchr(" \t\r\n", text.ptr[0]) != NULL)
        text = slice_make(text.ptr + 1, text.length - 1);
    return text;
}

static void decode(struct slice text)
{
    struct token token;
    struct error error = {0};
    int rc = token_decode(text, &token, &error);
    demand(rc == 0 || ((rc == ERR_MALFORMED || rc == ERR_VERSION) && error.text[0] != '\0'));
    if (rc != 0)
        return;
    struct buffer again = {0};
    token_encode(&token, &again);
    demand(slice_equal(buffer_slice(&again), trimmed(text)));
    buffer_fini(&again);
}

static void decode_forged(const unsigned char *data, size_t size)
{
    enum { MAX = 6000 };
    unsigned char body[3 + MAX + 8];
    char text[8 + 2 * sizeof body] = "reeve1_";
    struct hash hash;
    if (size > MAX)
        return;
    size_t whole = 3 + size + 8;
    body[0] = 1;
    body[1] = (unsigned char)whole;
    body[2] = (unsigned char)(whole >> 8);
    if (size > 0)
        memcpy(body + 3, data, size);
    hash_of(slice_make(body, 3 + size), &hash);
    memcpy(body + 3 + size, hash.bytes, 8);
    (void)sodium_bin2base64(
        text + 7, sizeof text - 7, body, whole, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    decode(slice_of(text));
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    decode(slice_make(data, size));
    decode_forged(data, size);
    return 0;
}
