#include "common/boot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

/* The same 16 bytes as a person reads from the kernel. */
static void boot_read_is_the_kernels_id(void **state)
{
    (void)state;
    unsigned char boot[BOOT_BYTES];
    char expected[64], text[64] = "";
    assert_int_equal(boot_read(boot, NULL), 0);
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
    assert_non_null(file);
    assert_non_null(fgets(expected, sizeof expected, file));
    (void)fclose(file);
    size_t used = 0;
    for (size_t i = 0; i < BOOT_BYTES; i++) {
        const char *dash = i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "";
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%02x", dash, boot[i]);
    }
    assert_memory_equal(text, expected, 36);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(boot_read_is_the_kernels_id)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
