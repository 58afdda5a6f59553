#include "common/sql.h"

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 128;
}

static bool is_word_part(char c)
{
    return is_word_start(c) || is_digit(c) || c == '$';
}

/* NUL past the end: no rule below matches it. */
static char byte_at(const struct sql_scan *scan, size_t at)
{
    return at < scan->text.length ? scan->text.ptr[at] : '\0';
}

static bool pair_at(const struct sql_scan *scan, size_t at, const char pair[2])
{
    return byte_at(scan, at) == pair[0] && byte_at(scan, at + 1) == pair[1];
}

bool sql_is_name(struct slice name)
{
    for (size_t i = 0; i < name.length; i++) {
        char c = name.ptr[i];
        if ((unsigned char)c >= 128 || !(is_word_start(c) || (i > 0 && is_digit(c))))
            return false;
    }
    return name.length > 0;
}

bool sql_word_is(struct slice word, const char *keyword)
{
    for (size_t i = 0; i < word.length; i++) {
        char c = word.ptr[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c + 'a' - 'A');
        if (keyword[i] == '\0' || c != keyword[i])
            return false;
    }
    return keyword[word.length] == '\0';
}

static size_t line_comment_end(const struct sql_scan *scan, size_t at)
{
    while (at < scan->text.length && byte_at(scan, at) != '\n' && byte_at(scan, at) != '\r')
        at++;
    return at;
}

/* Of a comment that nests; 0 when it is not closed. */
static size_t comment_end(const struct sql_scan *scan, size_t at)
{
    size_t depth = 0;
    while (at < scan->text.length) {
        if (pair_at(scan, at, "/*")) {
            depth++;
            at += 2;
        } else if (pair_at(scan, at, "*/")) {
            depth--;
            at += 2;
            if (depth == 0)
                return at;
        } else {
            at++;
        }
    }
    return 0;
}

/*
 * After a string's closing quote: when only white space with a newline in it, and -- comments,
 * stand before another quote, the string goes on behind that, under the same rule for backslashes.
 * Returns where it goes on, or 0.
 */
static size_t continuation(const struct sql_scan *scan, size_t at)
{
    bool newline = false;
    for (;;) {
        char c = byte_at(scan, at);
        if (is_blank(c)) {
            newline = newline || c == '\n' || c == '\r';
            at++;
        } else if (pair_at(scan, at, "--")) {
            at = line_comment_end(scan, at);
        } else {
            return newline && c == '\'' ? at + 1 : 0;
        }
    }
}

/* The end of a quoted thing whose first quote is at `at`; 0 when it is not closed. */
static size_t quoted_end(const struct sql_scan *scan, size_t at, bool escapes)
{
    char quote = byte_at(scan, at);
    at++;
    while (at < scan->text.length) {
        char c = byte_at(scan, at);
        if (c == '\\' && escapes) {
            at += 2;
        } else if (c != quote) {
            at++;
        } else if (byte_at(scan, at + 1) == quote) {
            at += 2;
        } else {
            size_t next = quote == '\'' ? continuation(scan, at + 1) : 0;
            if (next == 0)
                return at + 1;
            at = next;
        }
    }
    return 0;
}

/* Of the `$tag$` at `at`; 0 when none begins there. */
static size_t tag_length(const struct sql_scan *scan, size_t at)
{
    size_t end = at + 1;
    if (is_digit(byte_at(scan, end)))
        return 0;
    while (is_word_part(byte_at(scan, end)) && byte_at(scan, end) != '$')
        end++;
    return byte_at(scan, end) == '$' ? end + 1 - at : 0;
}

/* The end of `$tag$ … $tag$` at `at`; 0 when it is not closed. */
static size_t dollar_end(const struct sql_scan *scan, size_t at, size_t tag)
{
    size_t begin = at + tag;
    if (begin >= scan->text.length)
        return 0;
    const char *close =
        memmem(scan->text.ptr + begin, scan->text.length - begin, scan->text.ptr + at, tag);
    return close != NULL ? (size_t)(close - scan->text.ptr) + tag : 0;
}

static bool find_name(const struct sql_scan *scan, struct slice name, size_t *ret_index)
{
    for (size_t i = 0; i < scan->name_count; i++) {
        if (slice_equal(scan->names[i], name)) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

/* A parameter at the colon at `at`; the end of its token, or 0 when none of a known name is there.
 */
static size_t parameter_end(const struct sql_scan *scan, size_t at, struct sql_token *token)
{
    char quote = byte_at(scan, at + 1);
    bool quoted = quote == '\'' || quote == '"';
    size_t begin = at + 1 + quoted;
    size_t end = begin;
    while (is_word_part(byte_at(scan, end)) && byte_at(scan, end) != '$')
        end++;
    if (end == begin || (quoted && byte_at(scan, end) != quote))
        return 0;
    if (!find_name(scan, slice_make(scan->text.ptr + begin, end - begin), &token->parameter))
        return 0;
    token->kind = quote == '"' ? SQL_NAME : SQL_VALUE;
    return end + quoted;
}

/* A word, or the string or identifier that it is the prefix of. */
static size_t word_end(const struct sql_scan *scan, size_t at, struct sql_token *token)
{
    size_t end = at;
    while (is_word_part(byte_at(scan, end)))
        end++;
    char first = (char)(byte_at(scan, at) | 0x20);
    char next = byte_at(scan, end);
    token->kind = SQL_WORD;
    if (end != at + 1)
        return end;
    if (next == '\'' && (first == 'e' || first == 'b' || first == 'x')) {
        token->kind = SQL_STRING;
        return quoted_end(scan, end, first == 'e');
    }
    char after = byte_at(scan, end + 1);
    if (first == 'u' && next == '&' && (after == '\'' || after == '"')) {
        token->kind = after == '"' ? SQL_IDENTIFIER : SQL_STRING;
        return quoted_end(scan, end + 1, false);
    }
    return end;
}

static size_t number_end(const struct sql_scan *scan, size_t at)
{
    while ((is_word_part(byte_at(scan, at)) && byte_at(scan, at) != '$') ||
           (byte_at(scan, at) == '.' && is_digit(byte_at(scan, at + 1))))
        at++;
    return at;
}

static size_t blank_end(const struct sql_scan *scan, size_t at)
{
    while (is_blank(byte_at(scan, at)))
        at++;
    return at;
}

static size_t dollar_token_end(const struct sql_scan *scan, size_t at, struct sql_token *token)
{
    size_t end = at + 1;
    while (is_digit(byte_at(scan, end)))
        end++;
    if (end > at + 1) {
        token->kind = SQL_POSITION;
        return end;
    }
    size_t tag = tag_length(scan, at);
    if (tag == 0)
        return at + 1;
    token->kind = SQL_STRING;
    return dollar_end(scan, at, tag);
}

static size_t colon_end(const struct sql_scan *scan, size_t at, struct sql_token *token)
{
    char next = byte_at(scan, at + 1);
    if (next == ':' || next == '=')
        return at + 2;
    size_t end = parameter_end(scan, at, token);
    return end != 0 ? end : at + 1;
}

/* Sets the token's kind and returns its end, 0 when it is not closed. */
static size_t token_end(const struct sql_scan *scan, size_t at, struct sql_token *token)
{
    char c = byte_at(scan, at);
    token->kind = SQL_BLANK;
    if (is_blank(c))
        return blank_end(scan, at);
    if (pair_at(scan, at, "--"))
        return line_comment_end(scan, at);
    if (pair_at(scan, at, "/*"))
        return comment_end(scan, at);
    token->kind = SQL_SYMBOL;
    if (is_word_start(c))
        return word_end(scan, at, token);
    if (is_digit(c)) {
        token->kind = SQL_NUMBER;
        return number_end(scan, at);
    }
    if (c == '\'' || c == '"') {
        token->kind = c == '"' ? SQL_IDENTIFIER : SQL_STRING;
        return quoted_end(scan, at, c == '\'' && scan->escapes);
    }
    if (c == '$')
        return dollar_token_end(scan, at, token);
    if (c == ':')
        return colon_end(scan, at, token);
    if (c == ';')
        token->kind = SQL_SEMICOLON;
    return at + 1;
}

static const char *opener_name(const struct sql_token *token)
{
    if (token->kind == SQL_BLANK)
        return "comment";
    if (token->kind == SQL_IDENTIFIER)
        return "quoted identifier";
    return token->text.ptr[0] == '$' ? "dollar quote" : "string";
}

int sql_next(struct sql_scan *scan, struct sql_token *ret_token, struct error *error)
{
    struct sql_token token = {.kind = SQL_END};
    if (scan->at >= scan->text.length) {
        *ret_token = token;
        return 0;
    }
    token.text = slice_make(scan->text.ptr + scan->at, 1);
    size_t end = token_end(scan, scan->at, &token);
    if (end == 0 || end > scan->text.length)
        return error_set(
            error, ERR_INVALID, "the %s that begins here is never closed", opener_name(&token));
    token.text.length = end - scan->at;
    scan->at = end;
    *ret_token = token;
    return 0;
}

struct sql_place sql_place_of(struct slice text, size_t offset)
{
    struct sql_place place = {.line = 1, .column = 1};
    size_t begin = 0;
    if (offset > text.length)
        offset = text.length;
    for (size_t i = 0; i < offset; i++) {
        if (text.ptr[i] == '\n') {
            place.line++;
            begin = i + 1;
        }
    }
    for (size_t i = begin; i < offset; i++)
        place.column += ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
    size_t end = begin;
    while (end < text.length && text.ptr[end] != '\n')
        end++;
    if (end > begin && text.ptr[end - 1] == '\r')
        end--;
    place.text = slice_make(text.length > 0 ? text.ptr + begin : NULL, end - begin);
    return place;
}
