#include "common/boot.h"

#include "common/file.h"

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The kernel's text is a UUID: hex digits with dashes between. */
int boot_read(unsigned char ret_boot[BOOT_BYTES], struct error *error)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    struct buffer text = {0};
    unsigned char boot[BOOT_BYTES] = {0};
    size_t digits = 0;
    int rc = file_read(path, 1024, &text, error);
    for (size_t i = 0; rc == 0 && i < text.length && digits < 2 * sizeof boot; i++) {
        int digit = digit_of(text.data[i]);
        if (digit < 0)
            continue;
        boot[digits / 2] = (unsigned char)(boot[digits / 2] << 4 | digit);
        digits++;
    }
    if (rc == 0 && digits < 2 * sizeof boot)
        rc = error_set(error, ERR_CORRUPT, "%s: is no boot id", path);
    if (rc == 0)
        memcpy(ret_boot, boot, sizeof boot);
    buffer_fini(&text);
    return rc;
}
