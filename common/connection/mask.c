#include "common/connection/mask.h"

#include "common/memory.h"

#include <stdlib.h>

/* A line of a secret that has several is one by itself from this length. */
enum { LINE_LEAST_BYTES = 8 };

/* Patterns by their first byte, so that a byte that begins none costs one look. */
struct mask {
    struct pattern {
        struct slice text; /* owned */
        uint32_t next;     /* of the same first byte, and one; 0: none */
    } * patterns;
    size_t count, capacity;
    uint32_t first[256];
    size_t longest;
};

struct mask *mask_create(void)
{
    return xcalloc(1, sizeof(struct mask));
}

void mask_destroy(struct mask *mask)
{
    if (mask == NULL)
        return;
    for (size_t i = 0; i < mask->count; i++) {
        explicit_bzero(
            (char *)(uintptr_t)mask->patterns[i].text.ptr, mask->patterns[i].text.length);
        slice_free(&mask->patterns[i].text);
    }
    free(mask->patterns);
    free(mask);
}

bool mask_is_empty(const struct mask *mask)
{
    return mask->count == 0;
}

static void add_pattern(struct mask *mask, struct slice text)
{
    if (text.length < MASK_LEAST_BYTES)
        return;
    uint32_t *first = &mask->first[(unsigned char)text.ptr[0]];
    for (uint32_t at = *first; at != 0; at = mask->patterns[at - 1].next) {
        if (slice_equal(mask->patterns[at - 1].text, text))
            return;
    }
    vector_reserve(&mask->patterns, mask->count, &mask->capacity);
    mask->patterns[mask->count++] = (struct pattern){slice_keep(text), *first};
    *first = (uint32_t)mask->count;
    if (text.length > mask->longest)
        mask->longest = text.length;
}

void mask_add_all(struct mask *mask, const struct mask *other)
{
    for (size_t i = 0; i < other->count; i++)
        add_pattern(mask, other->patterns[i].text);
}

/* ---- forms ---- */

/* Without its padding, and without what the last bytes do not decide: what follows may be joined to
 * it. */
static void add_base64(struct mask *mask, struct slice before, struct slice secret)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct buffer text = {0};
    struct buffer coded = {0};
    (void)buffer_reserve(&text, before.length + secret.length + 2);
    buffer_append_slice(&text, before);
    if (before.length > 0)
        buffer_append_text(&text, ":");
    buffer_append_slice(&text, secret);
    (void)buffer_reserve(&coded, text.length * 4 / 3 + 4);
    for (size_t bit = 0; bit + 6 <= text.length * 8; bit += 6) {
        unsigned pair = (unsigned)(unsigned char)text.data[bit / 8] << 8;
        if (bit / 8 + 1 < text.length)
            pair |= (unsigned char)text.data[bit / 8 + 1];
        buffer_append(&coded, &letters[pair >> (10 - bit % 8) & 63], 1);
    }
    add_pattern(mask, buffer_slice(&coded));
    buffer_wipe(&text);
    buffer_wipe(&coded);
}

static void add_encoded(struct mask *mask, struct slice secret)
{
    struct buffer coded = {0};
    (void)buffer_reserve(&coded, secret.length * 3 + 1);
    connection_write_encoded(secret, &coded);
    add_pattern(mask, buffer_slice(&coded));
    buffer_wipe(&coded);
}

/* Other writers' hex digits are lower case. */
static void lower_escapes(char *text, size_t length)
{
    for (size_t i = 0; i + 5 < length; i++) {
        if (text[i] == '\\' && text[i + 1] == 'u') {
            for (size_t j = i + 2; j < i + 6; j++)
                text[j] = text[j] >= 'A' && text[j] <= 'F' ? (char)(text[j] - 'A' + 'a') : text[j];
        }
        i += text[i] == '\\';
    }
}

static void add_json(struct mask *mask, struct slice secret, size_t flags)
{
    json_t *value = json_stringn(secret.ptr, secret.length);
    char *text = value != NULL ? json_dumps(value, JSON_ENCODE_ANY | flags) : NULL;
    if (text != NULL) {
        size_t length = strlen(text);
        add_pattern(mask, slice_make(text + 1, length - 2));
        lower_escapes(text, length);
        add_pattern(mask, slice_make(text + 1, length - 2));
        explicit_bzero(text, length);
    }
    free(text);
    json_decref(value);
}

static void add_lines(struct mask *mask, struct slice secret)
{
    while (secret.length > 0) {
        const char *end = memchr(secret.ptr, '\n', secret.length);
        size_t length = end != NULL ? (size_t)(end - secret.ptr) : secret.length;
        size_t bare = length > 0 && secret.ptr[length - 1] == '\r' ? length - 1 : length;
        if (bare >= LINE_LEAST_BYTES)
            add_pattern(mask, slice_make(secret.ptr, bare));
        size_t used = end != NULL ? length + 1 : length;
        secret = slice_make(secret.ptr + used, secret.length - used);
    }
}

void mask_add(struct mask *mask, struct slice secret, struct slice login)
{
    if (secret.length < MASK_LEAST_BYTES)
        return;
    add_pattern(mask, secret);
    add_encoded(mask, secret);
    add_json(mask, secret, 0);
    add_json(mask, secret, JSON_ENSURE_ASCII);
    add_base64(mask, (struct slice){0}, secret);
    if (login.length > 0)
        add_base64(mask, login, secret);
    if (memchr(secret.ptr, '\n', secret.length) != NULL)
        add_lines(mask, secret);
}

struct addition {
    struct mask *mask;
    struct slice login;
};

static void add_secret(void *context, struct slice secret)
{
    const struct addition *addition = context;
    mask_add(addition->mask, secret, addition->login);
}

void mask_add_connection(struct mask *mask, const struct connection *connection)
{
    struct addition addition = {mask, connection->login};
    connection_each_secret(connection, add_secret, &addition);
}

/* ---- streams ---- */

/* The longest pattern that stands at the beginning of `text`; 0: none. */
static size_t match_at(const struct mask *mask, struct slice text)
{
    size_t longest = 0;
    for (uint32_t at = mask->first[(unsigned char)text.ptr[0]]; at != 0;
         at = mask->patterns[at - 1].next) {
        struct slice pattern = mask->patterns[at - 1].text;
        if (pattern.length > longest && pattern.length <= text.length &&
            memcmp(pattern.ptr, text.ptr, pattern.length) == 0)
            longest = pattern.length;
    }
    return longest;
}

/* Whether all of `text` begins a longer pattern. */
static bool may_begin(const struct mask *mask, struct slice text)
{
    for (uint32_t at = mask->first[(unsigned char)text.ptr[0]]; at != 0;
         at = mask->patterns[at - 1].next) {
        struct slice pattern = mask->patterns[at - 1].text;
        if (pattern.length > text.length && memcmp(pattern.ptr, text.ptr, text.length) == 0)
            return true;
    }
    return false;
}

/* Where the suffix begins that may begin a secret. */
static size_t find_open(const struct mask *mask, struct slice text)
{
    size_t at = text.length >= mask->longest ? text.length - mask->longest + 1 : 0;
    for (; mask->longest > 0 && at < text.length; at++) {
        if (may_begin(mask, slice_make(text.ptr + at, text.length - at)))
            return at;
    }
    return text.length;
}

/*
 * Where the bytes begin that wait for what follows: a suffix that may begin a secret, with a secret
 * that ends inside of it, so that who has only what was let out has all of it or nothing. (Of a
 * secret that overlaps itself again and again one step back is enough: `covered` knows the rest.)
 */
static size_t find_held(const struct mask *mask, struct slice text)
{
    size_t held = find_open(mask, text);
    size_t at = held == text.length || held < mask->longest ? 0 : held - mask->longest + 1;
    for (; held < text.length && at < held; at++) {
        if (match_at(mask, slice_make(text.ptr + at, text.length - at)) > held - at)
            return at;
    }
    return held;
}

void mask_feed(const struct mask *mask, struct mask_stream *stream, struct slice bytes, bool end,
    struct buffer *out)
{
    struct buffer all = stream->held;
    stream->held = (struct buffer){0};
    buffer_append_slice(&all, bytes);
    struct slice text = buffer_slice(&all);
    size_t held = end ? text.length : find_held(mask, text);
    size_t covered = stream->covered;
    char *made = buffer_reserve(out, held);
    for (size_t i = 0; i < held; i++) {
        size_t length = match_at(mask, slice_make(text.ptr + i, text.length - i));
        if (i + length > covered)
            covered = i + length;
        made[i] = i < covered ? '*' : text.ptr[i];
    }
    out->length += held;
    stream->covered = covered > held ? covered - held : 0;
    buffer_append(&stream->held, text.ptr != NULL ? text.ptr + held : "", text.length - held);
    buffer_wipe(&all);
}

void mask_stream_fini(struct mask_stream *stream)
{
    buffer_wipe(&stream->held);
    *stream = (struct mask_stream){0};
}

void mask_text(const struct mask *mask, char *text, size_t length)
{
    size_t covered = 0;
    if (mask->count == 0)
        return;
    /* What was matched is overwritten behind the place where matching stands. */
    char *copy = length > 0 ? xstrndup(text, length) : NULL;
    for (size_t i = 0; i < length; i++) {
        size_t matched = match_at(mask, slice_make(copy + i, length - i));
        if (i + matched > covered)
            covered = i + matched;
        if (i < covered)
            text[i] = '*';
    }
    if (copy != NULL)
        explicit_bzero(copy, length);
    free(copy);
}
