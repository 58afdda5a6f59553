/*
 * log_sum.h - checksums of a log's bytes, one for each LOG_SUM_BYTES of its file, made as the bytes
 * arrive: they tell what a disk has changed since. Not against who writes the file on purpose.
 * Pure.
 */
#ifndef MASTER_STORE_LOG_SUM_H
#define MASTER_STORE_LOG_SUM_H

#include <stddef.h>
#include <stdint.h>

enum { LOG_SUM_BYTES = 16384 };

/* Of the bytes of a block so far; zeros: none. */
struct log_sum {
    uint64_t hash;
    uint64_t word;  /* the bytes that fill no word yet */
    uint32_t bytes; /* at most LOG_SUM_BYTES */
};

/* Adds bytes up to the block's end; returns how many of them. */
size_t log_sum_add(struct log_sum *sum, const char *bytes, size_t length);
uint64_t log_sum_value(const struct log_sum *sum);
/* Of at most LOG_SUM_BYTES. */
uint64_t log_sum_of(const char *bytes, size_t length);

#endif
