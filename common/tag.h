/*
 * tag.h - by what an attempt's work on foreign systems is found again: reeve:KEY:TASK:MAP:ATTEMPT,
 * KEY of 16 hex digits, the others decimal. Up to its last colon it is the same for all attempts of
 * a task: their prefix. docs/operators.md.
 */
#ifndef COMMON_TAG_H
#define COMMON_TAG_H

#include "common/slice.h"

#include <stdint.h>

/* With its NUL. */
enum { TAG_MAX = 56 };

struct tag {
    uint64_t run;
    uint32_t task, map, attempt;
};

void tag_format(const struct tag *tag, char ret_text[TAG_MAX]);
void tag_format_prefix(const struct tag *tag, char ret_text[TAG_MAX]);
/* The whole text must be a tag as tag_format writes it. */
bool tag_parse(struct slice text, struct tag *ret_tag);

#endif
