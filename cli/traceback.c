#include "cli/traceback.h"

#include "cli/terminal.h"

static const char head[] = "Traceback (most recent call last):";

enum { HEAD_LENGTH = sizeof head - 1 };

static void colour(struct traceback *traceback, struct buffer *out)
{
    buffer_append_text(out, terminal_state_colour(slice_of("failed")));
    traceback->coloured = true;
}

static void flush(struct traceback *traceback, struct buffer *out)
{
    buffer_append(out, head, traceback->matched);
    traceback->matched = 0;
}

static void end_line(struct traceback *traceback, struct buffer *out)
{
    flush(traceback, out);
    if (traceback->coloured)
        buffer_append_text(out, TERMINAL_PLAIN);
    if (traceback->last)
        traceback->inside = false;
    traceback->coloured = traceback->last = traceback->foreign = traceback->in_line = false;
}

/* True when the byte is held, or was written with what was held. */
static bool match(struct traceback *traceback, char byte, struct buffer *out)
{
    if (traceback->inside || traceback->foreign)
        return false;
    if (byte != head[traceback->matched]) {
        traceback->foreign = true;
        flush(traceback, out);
        return false;
    }
    if (++traceback->matched < HEAD_LENGTH)
        return true;
    traceback->inside = true;
    colour(traceback, out);
    flush(traceback, out);
    return true;
}

static void take_byte(struct traceback *traceback, char byte, struct buffer *out)
{
    if (byte == '\n') {
        /* Inside, an empty line is the source's own. */
        end_line(traceback, out);
        buffer_append(out, &byte, 1);
        return;
    }
    bool starts = !traceback->in_line;
    traceback->in_line = true;
    if (starts && traceback->inside) {
        colour(traceback, out);
        /* Frames are indented, the exception's own line is not. */
        traceback->last = byte != ' ' && byte != '\t';
    }
    if (!match(traceback, byte, out))
        buffer_append(out, &byte, 1);
}

void traceback_append(struct traceback *traceback, struct slice bytes, struct buffer *out)
{
    for (size_t i = 0; i < bytes.length; i++)
        take_byte(traceback, bytes.ptr[i], out);
}

void traceback_end(struct traceback *traceback, struct buffer *out)
{
    end_line(traceback, out);
    traceback->inside = false;
}
