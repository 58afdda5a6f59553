#include "proto/walk.h"

#include "common/limits.h"

enum head_class { SCALAR, ARRAY, MAP, NEVER };

/* The first bytes 0xc0 to 0xdf: how many bytes of length or count follow, and how many of payload
 * besides. */
static const struct head_rule {
    unsigned char class;
    unsigned char width;
    unsigned char payload;
} head_rules[32] = {
    [0x00] = {SCALAR, 0, 0},
    [0x01] = {NEVER, 0, 0}, /* nil; never used */
    [0x02] = {SCALAR, 0, 0},
    [0x03] = {SCALAR, 0, 0}, /* false, true */
    [0x04] = {SCALAR, 1, 0},
    [0x05] = {SCALAR, 2, 0}, /* bin */
    [0x06] = {SCALAR, 4, 0}, /* bin */
    [0x07] = {SCALAR, 1, 1},
    [0x08] = {SCALAR, 2, 1}, /* ext: a byte of type besides */
    [0x09] = {SCALAR, 4, 1}, /* ext */
    [0x0a] = {SCALAR, 0, 4},
    [0x0b] = {SCALAR, 0, 8}, /* float, double */
    [0x0c] = {SCALAR, 0, 1},
    [0x0d] = {SCALAR, 0, 2}, /* uint */
    [0x0e] = {SCALAR, 0, 4},
    [0x0f] = {SCALAR, 0, 8}, /* uint */
    [0x10] = {SCALAR, 0, 1},
    [0x11] = {SCALAR, 0, 2}, /* int */
    [0x12] = {SCALAR, 0, 4},
    [0x13] = {SCALAR, 0, 8}, /* int */
    [0x14] = {SCALAR, 0, 2},
    [0x15] = {SCALAR, 0, 3}, /* fixext: type and data */
    [0x16] = {SCALAR, 0, 5},
    [0x17] = {SCALAR, 0, 9},  /* fixext */
    [0x18] = {SCALAR, 0, 17}, /* fixext */
    [0x19] = {SCALAR, 1, 0},
    [0x1a] = {SCALAR, 2, 0}, /* str */
    [0x1b] = {SCALAR, 4, 0}, /* str */
    [0x1c] = {ARRAY, 2, 0},
    [0x1d] = {ARRAY, 4, 0},
    [0x1e] = {MAP, 2, 0},
    [0x1f] = {MAP, 4, 0},
};

struct head {
    uint64_t bytes;    /* of the head, and of the payload of what holds no values */
    uint64_t children; /* values that follow as its own */
};

static uint64_t read_count(const unsigned char *bytes, unsigned width)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < width; i++)
        count = count << 8 | bytes[i];
    return count;
}

/* False when the head is cut off or is none. `left` is at least 1. */
static bool read_head(const unsigned char *bytes, size_t left, struct head *ret_head)
{
    unsigned first = bytes[0];
    *ret_head = (struct head){.bytes = 1};
    if (first < 0x80 || first >= 0xe0)
        return true;
    if (first < 0xa0) {
        ret_head->children = first < 0x90 ? 2 * (first & 15u) : (first & 15u);
        return true;
    }
    if (first < 0xc0) {
        ret_head->bytes += first & 31u;
        return true;
    }
    const struct head_rule *rule = &head_rules[first & 31u];
    if (rule->class == NEVER || left <= rule->width)
        return false;
    uint64_t count = read_count(bytes + 1, rule->width);
    ret_head->bytes += rule->width + rule->payload;
    if (rule->class == SCALAR)
        ret_head->bytes += count;
    else
        ret_head->children = rule->class == MAP ? 2 * count : count;
    return true;
}

int walk_value(struct slice bytes, size_t *position, struct error *error)
{
    const unsigned char *data = (const unsigned char *)bytes.ptr;
    uint64_t pending[MESSAGE_DEPTH_MAX]; /* values that each open array or map still wants */
    size_t at = *position;
    int depth = 0;
    do {
        struct head head;
        if (at >= bytes.length || !read_head(data + at, bytes.length - at, &head) ||
            head.bytes > bytes.length - at)
            return error_set(
                error, ERR_MALFORMED, "no msgpack value, or a part of one, at byte %zu", at);
        at += (size_t)head.bytes;
        if (head.children > 0) {
            if (head.children > bytes.length - at)
                return error_set(error, ERR_MALFORMED,
                    "%llu values are claimed before byte %zu, %zu bytes are left",
                    (unsigned long long)head.children, at, bytes.length - at);
            if (depth == MESSAGE_DEPTH_MAX)
                return error_set(
                    error, ERR_MALFORMED, "deeper than %d at byte %zu", MESSAGE_DEPTH_MAX, at);
            pending[depth++] = head.children;
            continue;
        }
        while (depth > 0 && --pending[depth - 1] == 0)
            depth--;
    } while (depth > 0);
    *position = at;
    return 0;
}

bool walk_first_number(struct slice bytes, size_t position, uint64_t *ret_number)
{
    const unsigned char *data = (const unsigned char *)bytes.ptr;
    struct head head;
    if (position >= bytes.length || !read_head(data + position, bytes.length - position, &head))
        return false;
    unsigned first = data[position];
    bool is_array = (first >= 0x90 && first < 0xa0) || first == 0xdc || first == 0xdd;
    size_t at = position + (size_t)head.bytes;
    if (!is_array || head.children == 0 || at >= bytes.length)
        return false;
    if (data[at] < 0x80) {
        *ret_number = data[at];
        return true;
    }
    /* Unsigned, or signed and not negative: a sender may choose either. */
    unsigned kind = data[at] & 0xfcu;
    if (kind != 0xcc && kind != 0xd0)
        return false;
    unsigned width = 1u << (data[at] & 3u);
    if (bytes.length - at <= width || (kind == 0xd0 && data[at + 1] >= 0x80))
        return false;
    *ret_number = read_count(data + at + 1, width);
    return true;
}
