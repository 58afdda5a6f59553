#include "common/dag/report.h"

#include "common/memory.h"
#include "common/suggest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    EXCERPT_CHARACTERS = 200,
    EXCERPT_BEFORE = 120, /* how many characters of them stand before the place, at most */
    MESSAGE_MAX_BYTES = 2000,
    SUGGEST_WORK_MAX = 3000000,
};

/* How many bytes the line end at `at` has; 0 when there is none. The line ends are those of
 * libyaml. */
static size_t line_end(struct slice text, size_t at)
{
    const unsigned char *c = (const unsigned char *)text.ptr + at;
    size_t left = text.length - at;
    if (left >= 2 && c[0] == '\r' && c[1] == '\n')
        return 2;
    if (left >= 1 && (c[0] == '\n' || c[0] == '\r'))
        return 1;
    if (left >= 2 && c[0] == 0xc2 && c[1] == 0x85)
        return 2;
    if (left >= 3 && c[0] == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9))
        return 3;
    return 0;
}

static void find_lines(struct report *report)
{
    if (report->line_starts != NULL)
        return;
    size_t capacity = 0;
    vector_reserve(&report->line_starts, 0, &capacity);
    report->line_starts[report->line_count++] = 0;
    size_t at = 0;
    while (at < report->text.length) {
        size_t end = line_end(report->text, at);
        at += end > 0 ? end : 1;
        if (end == 0)
            continue;
        vector_reserve(&report->line_starts, report->line_count, &capacity);
        report->line_starts[report->line_count++] = at;
    }
}

/* The bytes of a line (from 1), without its end; empty for a line that is not there. */
static struct slice line_of(struct report *report, uint32_t line)
{
    find_lines(report);
    if (line == 0 || line > report->line_count)
        return (struct slice){0};
    size_t start = report->line_starts[line - 1];
    size_t end = start;
    while (end < report->text.length && line_end(report->text, end) == 0)
        end++;
    return slice_make(report->text.ptr + start, end - start);
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

struct place report_place(struct report *report, size_t offset)
{
    find_lines(report);
    size_t low = 0;
    size_t high = report->line_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (report->line_starts[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    uint32_t column = 1;
    for (size_t i = report->line_starts[low]; i < offset && i < report->text.length; i++)
        column += !is_continuation(report->text.ptr[i]);
    /* The place is where a character begins. */
    if (offset < report->text.length && is_continuation(report->text.ptr[offset]) && column > 1)
        column--;
    return (struct place){(uint32_t)low + 1, column};
}

size_t report_offset(struct report *report, struct place place)
{
    find_lines(report);
    if (place.line == 0 || place.line > report->line_count)
        return report->text.length;
    size_t at = report->line_starts[place.line - 1];
    for (uint32_t column = 1; column < place.column && at < report->text.length; column++) {
        at++;
        while (at < report->text.length && is_continuation(report->text.ptr[at]))
            at++;
    }
    return at;
}

/* The length of the UTF-8 character at c, 0 when it is none: no surrogates, nothing overlong, at
 * most U+10FFFF. */
static size_t character_length(const unsigned char *c, size_t left)
{
    static const struct {
        unsigned char first, last, second_low, second_high, length;
    } rows[] = {{0x00, 0x7f, 0, 0, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        size_t length = rows[row].length;
        if (c[0] < rows[row].first || c[0] > rows[row].last)
            continue;
        if (length == 1)
            return 1;
        if (left < length || c[1] < rows[row].second_low || c[1] > rows[row].second_high)
            return 0;
        for (size_t i = 2; i < length; i++) {
            if (!is_continuation((char)c[i]))
                return 0;
        }
        return length;
    }
    return 0;
}

size_t utf8_check(struct slice text)
{
    size_t at = 0;
    while (at < text.length) {
        size_t length = character_length((const unsigned char *)text.ptr + at, text.length - at);
        if (length == 0)
            return at;
        at += length;
    }
    return at;
}

/* What a terminal would act on instead of showing: controls, line separators, changes of direction.
 */
static bool is_unsafe(const unsigned char *c, size_t length)
{
    if (length == 1)
        return c[0] < 0x20 || c[0] == 0x7f;
    if (length == 2)
        return c[0] == 0xc2 && c[1] < 0xa0;
    if (length != 3 || c[0] != 0xe2)
        return false;
    return (c[1] == 0x80 && c[2] >= 0xa8 && c[2] <= 0xae) ||
           (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9);
}

/* A copy that is safe to show, of `characters` at most; bytes that are no UTF-8 become "?". */
static char *shown(struct slice text, size_t characters)
{
    struct buffer out = {0};
    size_t at = 0;
    for (size_t count = 0; at < text.length && count < characters; count++) {
        const unsigned char *c = (const unsigned char *)text.ptr + at;
        size_t length = character_length(c, text.length - at);
        if (length > 0 && !is_unsafe(c, length))
            buffer_append(&out, c, length);
        else
            buffer_append_text(&out, c[0] == '\t' ? " " : "?");
        at += length > 0 ? length : 1;
    }
    char *copy = xstrndup(out.data, out.length);
    buffer_fini(&out);
    return copy;
}

static void take_excerpt(struct report *report, struct place place, struct diagnostic *diagnostic)
{
    if (place.line == 0 || place.column == 0)
        return;
    struct slice line = line_of(report, place.line);
    uint32_t first = place.column > EXCERPT_BEFORE ? place.column - EXCERPT_BEFORE : 1;
    size_t start = report_offset(report, (struct place){place.line, first});
    size_t skipped = start - (size_t)(line.ptr - report->text.ptr);
    if (line.ptr == NULL || skipped > line.length)
        return;
    diagnostic->source =
        shown(slice_make(line.ptr + skipped, line.length - skipped), EXCERPT_CHARACTERS);
    diagnostic->caret = place.column - first;
}

/* libyaml sees a line behind a last one that has no end: its place is the text's end. */
static struct place inside(struct report *report, struct place place)
{
    if (place.line == 0)
        return place;
    find_lines(report);
    return place.line <= report->line_count ? place : report_place(report, report->text.length);
}

static void add(
    struct report *report, enum severity severity, struct place place, struct slice message)
{
    struct diagnostics *all = report->diagnostics;
    place = inside(report, place);
    all->errors += severity == SEVERITY_ERROR;
    if (all->count >= DIAGNOSTICS_MAX) {
        report->dropped++;
        return;
    }
    struct diagnostic diagnostic = {.severity = severity,
        .line = place.line,
        .column = place.column,
        .message = shown(message, MESSAGE_MAX_BYTES)};
    take_excerpt(report, place, &diagnostic);
    vector_reserve(&all->items, all->count, &all->capacity);
    all->items[all->count++] = diagnostic;
}

static void __attribute__((format(printf, 4, 0))) add_formatted(struct report *report,
    enum severity severity, struct place place, const char *format, va_list arguments)
{
    char message[MESSAGE_MAX_BYTES];
    int length = vsnprintf(message, sizeof message, format, arguments);
    size_t used = length < 0 ? 0 : (size_t)length;
    add(report, severity, place,
        slice_make(message, used < sizeof message ? used : sizeof message - 1));
}

void report_error(struct report *report, struct place place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_formatted(report, SEVERITY_ERROR, place, format, arguments);
    va_end(arguments);
}

void report_warning(struct report *report, struct place place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_formatted(report, SEVERITY_WARNING, place, format, arguments);
    va_end(arguments);
}

bool report_suggests(const struct report *report, size_t count)
{
    return report->suggest_work + count <= SUGGEST_WORK_MAX &&
           report->diagnostics->count < DIAGNOSTICS_MAX;
}

const char *report_suggestion(struct report *report, struct slice word,
    const char *const *candidates, size_t count, char text[SUGGESTION_MAX])
{
    text[0] = '\0';
    if (!report_suggests(report, count))
        return text;
    report->suggest_work += count;
    const char *near = suggest(word, candidates);
    if (near != NULL)
        (void)snprintf(text, SUGGESTION_MAX, "; did you mean \"%s\"?", near);
    return text;
}

static int compare_places(const void *a, const void *b)
{
    const struct diagnostic *x = a;
    const struct diagnostic *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return strcmp(x->message, y->message);
}

void report_finish(struct report *report)
{
    struct diagnostics *all = report->diagnostics;
    if (all->count > 1)
        qsort(all->items, all->count, sizeof *all->items, compare_places);
    if (report->dropped == 0)
        return;
    struct diagnostic rest = {.severity = SEVERITY_ERROR,
        .message = xasprintf("%u more mistakes are not shown", report->dropped)};
    vector_reserve(&all->items, all->count, &all->capacity);
    all->items[all->count++] = rest;
}

void report_fini(struct report *report)
{
    free(report->line_starts);
    *report = (struct report){0};
}

void diagnostics_fini(struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < diagnostics->count; i++) {
        free(diagnostics->items[i].message);
        free(diagnostics->items[i].source);
    }
    free(diagnostics->items);
    *diagnostics = (struct diagnostics){0};
}

void diagnostics_print(const struct diagnostics *diagnostics, const char *file, struct buffer *out)
{
    for (size_t i = 0; i < diagnostics->count; i++) {
        const struct diagnostic *item = &diagnostics->items[i];
        buffer_append_text(out, file);
        if (item->line > 0)
            buffer_printf(out, ":%u:%u", item->line, item->column);
        buffer_printf(
            out, ": %s%s\n", item->severity == SEVERITY_WARNING ? "warning: " : "", item->message);
        if (item->source != NULL)
            buffer_printf(out, "    %s\n    %*s^\n", item->source, (int)item->caret, "");
    }
}
