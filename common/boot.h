/*
 * boot.h - which boot of which machine this is: the kernel's boot id. Two processes with the same
 * one share CLOCK_BOOTTIME, in containers too.
 */
#ifndef COMMON_BOOT_H
#define COMMON_BOOT_H

#include "common/error.h"

enum { BOOT_BYTES = 16 };

int boot_read(unsigned char ret_boot[BOOT_BYTES], struct error *error);

#endif
