#include "common/tag.h"

#include <inttypes.h>
#include <stdio.h>

_Static_assert(sizeof "reeve:0123456789abcdef:4294967295:4294967295:4294967295" == TAG_MAX,
    "the longest tag fits");

void tag_format(const struct tag *tag, char ret_text[TAG_MAX])
{
    (void)snprintf(ret_text, TAG_MAX, "reeve:%016" PRIx64 ":%" PRIu32 ":%" PRIu32 ":%" PRIu32,
        tag->run, tag->task, tag->map, tag->attempt);
}

void tag_format_prefix(const struct tag *tag, char ret_text[TAG_MAX])
{
    (void)snprintf(ret_text, TAG_MAX, "reeve:%016" PRIx64 ":%" PRIu32 ":%" PRIu32 ":", tag->run,
        tag->task, tag->map);
}

/* Written again it must be the same: that refuses signs, spaces and leading zeros. */
bool tag_parse(struct slice text, struct tag *ret_tag)
{
    char copy[TAG_MAX], again[TAG_MAX];
    struct tag tag = {0};
    int end = 0;
    if (text.length >= sizeof copy || text.length == 0)
        return false;
    memcpy(copy, text.ptr, text.length);
    copy[text.length] = '\0';
    /* NOLINTNEXTLINE(cert-err34-c): a number that does not fit is not written the same again. */
    int read = sscanf(copy, "reeve:%16" SCNx64 ":%" SCNu32 ":%" SCNu32 ":%" SCNu32 "%n", &tag.run,
        &tag.task, &tag.map, &tag.attempt, &end);
    if (read != 4 || (size_t)end != text.length)
        return false;
    tag_format(&tag, again);
    if (strcmp(copy, again) != 0)
        return false;
    *ret_tag = tag;
    return true;
}
