#include "common/hex.h"

void hex_encode(const void *bytes, size_t length, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *at = bytes;
    for (size_t i = 0; i < length; i++) {
        ret_text[2 * i] = digits[at[i] >> 4];
        ret_text[2 * i + 1] = digits[at[i] & 15];
    }
    ret_text[2 * length] = '\0';
}

/* -1 unless c is a digit. */
static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool hex_decode(struct slice text, void *ret_bytes, size_t length)
{
    unsigned char *to = ret_bytes;
    if (text.length != 2 * length)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        if (digit_value(text.ptr[i]) < 0)
            return false;
    }
    for (size_t i = 0; i < length; i++)
        to[i] =
            (unsigned char)(digit_value(text.ptr[2 * i]) << 4 | digit_value(text.ptr[2 * i + 1]));
    return true;
}
