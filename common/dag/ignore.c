#include "common/dag/ignore.h"

#include "common/memory.h"

#include <stdlib.h>

/* ---- one pattern ---- */

/* A match in progress: positions in pattern and path, and where to go on when it fails further on.
 */
struct match {
    struct slice pattern, path;
    size_t p, t;
    size_t star_p,
        star_t; /* after the last "*" of this component, and the text it ends before; 0: none */
    size_t deep_p, deep_t; /* the same for the last "**" */
    bool has_star, has_deep;
};

/* Reads a class "[…]" at the pattern's position; *ret_length is its length, 0 when it is none ("["
 * alone). */
static bool match_class(struct slice pattern, char c, size_t *ret_length)
{
    size_t i = 1;
    bool negated = i < pattern.length && (pattern.ptr[i] == '!' || pattern.ptr[i] == '^');
    bool found = false;
    i += negated;
    for (size_t first = i; i < pattern.length && (pattern.ptr[i] != ']' || i == first); i++) {
        if (pattern.ptr[i] == '\\' && i + 1 < pattern.length)
            i++;
        unsigned char low = (unsigned char)pattern.ptr[i], high = low;
        if (i + 2 < pattern.length && pattern.ptr[i + 1] == '-' && pattern.ptr[i + 2] != ']') {
            i += 2;
            high = (unsigned char)pattern.ptr[i];
        }
        found = found || ((unsigned char)c >= low && (unsigned char)c <= high);
    }
    if (i >= pattern.length) {
        *ret_length = 0;
        return false;
    }
    *ret_length = i + 1;
    return c != '/' && found != negated;
}

/* Takes one element of the pattern and one byte of the path. False when they differ. */
static bool match_byte(struct match *match)
{
    struct slice rest = slice_make(match->pattern.ptr + match->p, match->pattern.length - match->p);
    char c = match->path.ptr[match->t];
    size_t length = 1;
    bool same;
    if (rest.ptr[0] == '[') {
        same = match_class(rest, c, &length);
        if (length == 0) {
            length = 1;
            same = c == '[';
        }
    } else if (rest.ptr[0] == '\\' && rest.length > 1) {
        length = 2;
        same = c == rest.ptr[1];
    } else {
        same = rest.ptr[0] == '?' ? c != '/' : c == rest.ptr[0];
    }
    match->p += same ? length : 0;
    match->t += same;
    return same;
}

/* True at a "**" that is a component of its own. */
static bool at_deep(const struct match *match)
{
    const char *pattern = match->pattern.ptr;
    size_t p = match->p, length = match->pattern.length;
    return p + 1 < length && pattern[p] == '*' && pattern[p + 1] == '*' &&
           (p == 0 || pattern[p - 1] == '/') && (p + 2 == length || pattern[p + 2] == '/');
}

/* Lets the last "*" take one more byte, or the last "**" one more component. False when neither
 * can. */
static bool go_back(struct match *match)
{
    if (match->has_star && match->star_t < match->path.length &&
        match->path.ptr[match->star_t] != '/') {
        match->p = match->star_p;
        match->t = ++match->star_t;
        return true;
    }
    match->has_star = false;
    if (!match->has_deep)
        return false;
    const char *slash =
        match->deep_t < match->path.length
            ? memchr(match->path.ptr + match->deep_t, '/', match->path.length - match->deep_t)
            : NULL;
    if (slash == NULL)
        return false;
    match->deep_t = (size_t)(slash - match->path.ptr) + 1;
    match->p = match->deep_p;
    match->t = match->deep_t;
    return true;
}

bool ignore_match(struct slice pattern, struct slice path)
{
    struct match match = {.pattern = pattern, .path = path};
    for (;;) {
        if (at_deep(&match)) {
            if (match.p + 2 == pattern.length)
                return match.t < path.length;
            match.p += 3;
            match.deep_p = match.p;
            match.deep_t = match.t;
            match.has_deep = true;
            match.has_star = false;
        } else if (match.p < pattern.length && pattern.ptr[match.p] == '*') {
            match.star_p = ++match.p;
            match.star_t = match.t;
            match.has_star = true;
        } else if (match.p == pattern.length && match.t == path.length) {
            return true;
        } else if (match.p == pattern.length || match.t == path.length || !match_byte(&match)) {
            if (!go_back(&match))
                return false;
        }
    }
}

/* ---- files of them ---- */

/* Trailing blanks do not count, unless a backslash is before the last one. */
static struct slice trim(struct slice line)
{
    if (line.length > 0 && line.ptr[line.length - 1] == '\r')
        line.length--;
    while (line.length > 0 &&
           (line.ptr[line.length - 1] == ' ' || line.ptr[line.length - 1] == '\t') &&
           !(line.length > 1 && line.ptr[line.length - 2] == '\\'))
        line.length--;
    return line;
}

static void drop_first(struct slice *text)
{
    text->ptr++;
    text->length--;
}

static void add_line(struct ignore_list *list, struct slice line, uint32_t base)
{
    line = trim(line);
    if (line.length == 0 || line.ptr[0] == '#')
        return;
    struct ignore_pattern pattern = {.base = base, .negated = line.ptr[0] == '!'};
    if (pattern.negated)
        drop_first(&line);
    pattern.folders_only = line.length > 0 && line.ptr[line.length - 1] == '/';
    line.length -= pattern.folders_only;
    pattern.tied = line.length > 0 && memchr(line.ptr, '/', line.length) != NULL;
    if (line.length > 0 && line.ptr[0] == '/')
        drop_first(&line);
    if (line.length == 0)
        return;
    pattern.text = line;
    vector_reserve(&list->items, list->count, &list->capacity);
    list->items[list->count++] = pattern;
}

void ignore_list_add(struct ignore_list *list, struct slice text, uint32_t base)
{
    while (text.length > 0) {
        const char *end = memchr(text.ptr, '\n', text.length);
        size_t length = end != NULL ? (size_t)(end - text.ptr) : text.length;
        add_line(list, slice_make(text.ptr, length), base);
        length += end != NULL;
        text = slice_make(text.ptr + length, text.length - length);
    }
}

bool ignore_list_matches(const struct ignore_list *list, struct slice path, bool is_folder)
{
    size_t name = path.length;
    while (name > 0 && path.ptr[name - 1] != '/')
        name--;
    for (size_t i = list->count; i > 0; i--) {
        const struct ignore_pattern *pattern = &list->items[i - 1];
        size_t from = pattern->tied ? pattern->base : name;
        if (pattern->folders_only && !is_folder)
            continue;
        if (ignore_match(pattern->text, slice_make(path.ptr + from, path.length - from)))
            return !pattern->negated;
    }
    return false;
}

void ignore_list_fini(struct ignore_list *list)
{
    free(list->items);
}
