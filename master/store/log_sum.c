#include "master/store/log_sum.h"

#include "common/table.h"

#include <string.h>

static void add_byte(struct log_sum *sum, char byte)
{
    sum->word |= (uint64_t)(unsigned char)byte << 8 * (sum->bytes % sizeof sum->word);
    sum->bytes++;
    if (sum->bytes % sizeof sum->word != 0)
        return;
    sum->hash = hash_mix(sum->hash ^ sum->word);
    sum->word = 0;
}

size_t log_sum_add(struct log_sum *sum, const char *bytes, size_t length)
{
    size_t room = LOG_SUM_BYTES - sum->bytes, at = 0;
    size_t taken = length < room ? length : room;
    while (at < taken && sum->bytes % sizeof sum->word != 0)
        add_byte(sum, bytes[at++]);
    for (uint64_t word; taken - at >= sizeof word; at += sizeof word) {
        memcpy(&word, bytes + at, sizeof word);
        sum->hash = hash_mix(sum->hash ^ word);
        sum->bytes += sizeof word;
    }
    while (at < taken)
        add_byte(sum, bytes[at++]);
    return taken;
}

uint64_t log_sum_value(const struct log_sum *sum)
{
    return hash_mix(hash_mix(sum->hash ^ sum->word) + sum->bytes);
}

uint64_t log_sum_of(const char *bytes, size_t length)
{
    struct log_sum sum = {0};
    (void)log_sum_add(&sum, bytes, length);
    return log_sum_value(&sum);
}
