/*
 * random.h - random bits from the kernel, for ids and keys.
 */
#ifndef COMMON_RANDOM_H
#define COMMON_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Never 0, so that 0 can mean "none". Aborts when the kernel gives none. */
uint64_t random_id(void);
void random_bytes(void *bytes, size_t length);

#endif
