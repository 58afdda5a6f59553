#include "cli/printable.h"

#include <stdbool.h>

/* What stands at the beginning of some bytes. */
enum glyph_kind { GLYPH_WHOLE, GLYPH_BROKEN, GLYPH_SHORT };
struct glyph {
    enum glyph_kind kind;
    size_t length; /* 1 when broken */
    uint32_t code;
};

static size_t lead_length(unsigned char lead)
{
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead < 0xe0)
        return 2;
    if (lead >= 0xe0 && lead < 0xf0)
        return 3;
    return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

static bool code_is_allowed(uint32_t code, size_t length)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    return code >= least[length] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
}

static struct glyph glyph_at(const char *bytes, size_t left)
{
    const struct glyph broken = {GLYPH_BROKEN, 1, 0};
    size_t length = lead_length((unsigned char)bytes[0]);
    if (length == 0)
        return broken;
    if (length == 1)
        return (struct glyph){GLYPH_WHOLE, 1, (unsigned char)bytes[0]};
    uint32_t code = (unsigned char)bytes[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (i >= left)
            return (struct glyph){GLYPH_SHORT, left, 0};
        unsigned char next = (unsigned char)bytes[i];
        if ((next & 0xc0) != 0x80)
            return broken;
        code = code << 6 | (next & 0x3f);
    }
    if (!code_is_allowed(code, length))
        return broken;
    return (struct glyph){GLYPH_WHOLE, length, code};
}

/* What could move text about or is not seen at all: C1, marks of direction, line separators, tags.
 */
static bool is_hidden(uint32_t code)
{
    return (code >= 0x80 && code < 0xa0) || code == 0xad || code == 0x61c ||
           (code >= 0x200b && code <= 0x200f && code != 0x200d) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
           code == 0xfeff || (code >= 0xe0000 && code <= 0xe007f);
}

static void append_glyph(const char *bytes, struct glyph glyph, struct buffer *out)
{
    if (glyph.kind != GLYPH_WHOLE)
        buffer_printf(out, "\\x%02x", (unsigned char)bytes[0]);
    else if (glyph.code < 0x20)
        buffer_printf(out, "^%c", (char)(glyph.code + '@'));
    else if (glyph.code == 0x7f)
        buffer_append_text(out, "^?");
    else if (is_hidden(glyph.code))
        buffer_printf(out, "<U+%04X>", glyph.code);
    else
        buffer_append(out, bytes, glyph.length);
}

/* The length of plain ASCII at the beginning: most of any log. */
static size_t plain_length(const char *bytes, size_t length)
{
    size_t i = 0;
    while (i < length && (unsigned char)bytes[i] >= 0x20 && (unsigned char)bytes[i] < 0x7f)
        i++;
    return i;
}

/* Appends all but an unfinished character at the end; returns how many bytes it took. */
static size_t append_stream(const char *bytes, size_t length, struct buffer *out)
{
    size_t at = 0;
    while (at < length) {
        size_t plain = plain_length(bytes + at, length - at);
        buffer_append(out, bytes + at, plain);
        at += plain;
        if (at == length)
            break;
        char c = bytes[at];
        if (c == '\r' && at + 1 == length)
            break;
        if (c == '\n' || c == '\t') {
            buffer_append(out, &c, 1);
            at++;
            continue;
        }
        if (c == '\r' && bytes[at + 1] == '\n') {
            at++;
            continue;
        }
        struct glyph glyph = glyph_at(bytes + at, length - at);
        if (glyph.kind == GLYPH_SHORT)
            break;
        append_glyph(bytes + at, glyph, out);
        at += glyph.length;
    }
    return at;
}

static void hold(struct printable *printable, const char *bytes, size_t length)
{
    memcpy(printable->held, bytes, length);
    printable->held_count = (uint8_t)length;
}

void printable_append(struct printable *printable, struct slice bytes, struct buffer *out)
{
    /* What is held is finished byte by byte: it needs at most three more. */
    while (printable->held_count > 0 && bytes.length > 0) {
        char joined[sizeof printable->held + 1];
        size_t length = printable->held_count;
        memcpy(joined, printable->held, length);
        joined[length++] = bytes.ptr[0];
        bytes = slice_make(bytes.ptr + 1, bytes.length - 1);
        size_t taken = append_stream(joined, length, out);
        hold(printable, joined + taken, length - taken);
    }
    if (bytes.length == 0)
        return;
    size_t taken = append_stream(bytes.ptr, bytes.length, out);
    hold(printable, bytes.ptr + taken, bytes.length - taken);
}

void printable_end(struct printable *printable, struct buffer *out)
{
    for (size_t i = 0; i < printable->held_count; i++) {
        const struct glyph broken = {GLYPH_BROKEN, 1, 0};
        const struct glyph carriage = {GLYPH_WHOLE, 1, '\r'};
        bool is_carriage = printable->held[i] == '\r';
        append_glyph(&printable->held[i], is_carriage ? carriage : broken, out);
    }
    printable->held_count = 0;
}

void printable_line(struct slice text, struct buffer *out)
{
    for (size_t at = 0; at < text.length;) {
        size_t plain = plain_length(text.ptr + at, text.length - at);
        buffer_append(out, text.ptr + at, plain);
        at += plain;
        if (at == text.length)
            return;
        struct glyph glyph = glyph_at(text.ptr + at, text.length - at);
        append_glyph(text.ptr + at, glyph, out);
        at += glyph.kind == GLYPH_WHOLE ? glyph.length : 1;
    }
}

static size_t code_width(uint32_t code)
{
    bool combining = (code >= 0x300 && code < 0x370) || (code >= 0x1ab0 && code < 0x1b00) ||
                     (code >= 0x20d0 && code < 0x2100) || (code >= 0xfe00 && code < 0xfe10) ||
                     code == 0x200d;
    if (combining)
        return 0;
    bool wide = (code >= 0x1100 && code < 0x1160) || (code >= 0x2e80 && code < 0xa4d0) ||
                (code >= 0xac00 && code < 0xd7a4) || (code >= 0xf900 && code < 0xfb00) ||
                (code >= 0xfe30 && code < 0xfe70) || (code >= 0xff00 && code < 0xff61) ||
                (code >= 0x1f300 && code < 0x1fb00) || (code >= 0x20000 && code < 0x40000);
    return wide ? 2 : 1;
}

struct slice printable_cut(struct slice line, size_t columns)
{
    size_t at = 0, used = 0;
    while (at < line.length) {
        struct glyph glyph = glyph_at(line.ptr + at, line.length - at);
        used += glyph.kind == GLYPH_WHOLE ? code_width(glyph.code) : 1;
        if (used > columns)
            break;
        at += glyph.kind == GLYPH_WHOLE ? glyph.length : 1;
    }
    return slice_make(line.ptr, at);
}

size_t printable_width(struct slice line)
{
    size_t width = 0;
    for (size_t at = 0; at < line.length;) {
        struct glyph glyph = glyph_at(line.ptr + at, line.length - at);
        width += glyph.kind == GLYPH_WHOLE ? code_width(glyph.code) : 1;
        at += glyph.kind == GLYPH_WHOLE ? glyph.length : 1;
    }
    return width;
}
