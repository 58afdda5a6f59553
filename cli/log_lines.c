#include "cli/log_lines.h"

#include "cli/times.h"
#include "common/clock.h"
#include "proto/json.h"

#include <stdlib.h>

void log_lines_init(
    struct log_lines *lines, const struct log_style *style, const struct log_name *name)
{
    *lines = (struct log_lines){.style = *style, .name = *name};
}

void log_lines_fini(struct log_lines *lines)
{
    buffer_fini(&lines->held);
}

static bool is_raw(const struct log_lines *lines)
{
    return !lines->style.times && !lines->style.json && !lines->style.names;
}

static void append_json(struct log_lines *lines, bool partial, struct buffer *out)
{
    char time[CLOCK_TEXT_MAX];
    json_t *object = json_object();
    clock_format_wall(lines->line_time, time);
    (void)json_object_set_new(object, "run", text_json(slice_of(lines->name.run)));
    (void)json_object_set_new(object, "task", text_json(slice_of(lines->name.task)));
    (void)json_object_set_new(object, "attempt", json_integer(lines->name.attempt));
    (void)json_object_set_new(
        object, "time", lines->line_time != 0 ? json_string(time) : json_null());
    (void)json_object_set_new(object, "line", text_json(buffer_slice(&lines->held)));
    if (partial)
        (void)json_object_set_new(object, "partial", json_true());
    char *text = json_dumps(object, JSON_COMPACT);
    buffer_append_text(out, text);
    free(text);
    json_decref(object);
}

/* Printable bytes, as they go to the terminal. */
static void append_shown(struct log_lines *lines, struct slice bytes, struct buffer *out)
{
    if (lines->style.colour)
        traceback_append(&lines->traceback, bytes, out);
    else
        buffer_append_slice(out, bytes);
}

/* What is held as a line, made printable. */
static void append_held(struct log_lines *lines, bool partial, struct buffer *out)
{
    struct printable printable = {0};
    struct buffer shown = {0}, end = {0};
    struct slice line = buffer_slice(&lines->held);
    if (!partial && line.length > 0 && line.ptr[line.length - 1] == '\r')
        line.length--;
    printable_append(&printable, line, &shown);
    printable_end(&printable, &shown);
    append_shown(lines, buffer_slice(&shown), out);
    /* Colours end with the line: what stands before the next is not the log's. */
    if (lines->style.colour)
        traceback_append(&lines->traceback, slice_of("\n"), &end);
    if (end.length > 0)
        buffer_append(out, end.data, end.length - 1);
    buffer_fini(&shown);
    buffer_fini(&end);
}

/* What is held as a line; `partial`: more of the same line follows. */
static void append_line(struct log_lines *lines, bool partial, struct buffer *out)
{
    if (lines->style.json) {
        append_json(lines, partial, out);
    } else {
        if (lines->style.names)
            buffer_printf(out, "%s | ", lines->name.label);
        if (lines->style.times) {
            times_append_moment(lines->line_time, out);
            buffer_append_text(out, " ");
        }
        if (lines->style.safe)
            append_held(lines, partial, out);
        else
            buffer_append_slice(out, buffer_slice(&lines->held));
    }
    buffer_append_text(out, "\n");
    buffer_clear(&lines->held);
}

/* Bytes of one moment, in line mode. */
static void take_lines(struct log_lines *lines, struct slice bytes, struct buffer *out)
{
    while (bytes.length > 0) {
        const char *newline = memchr(bytes.ptr, '\n', bytes.length);
        size_t length = newline != NULL ? (size_t)(newline - bytes.ptr) : bytes.length;
        size_t room = LOG_LINE_MAX_BYTES - lines->held.length;
        if (!lines->begun)
            lines->line_time = lines->time;
        lines->begun = true;
        bool too_long = length > room;
        if (too_long)
            length = room;
        buffer_append(&lines->held, bytes.ptr, length);
        bytes = slice_make(bytes.ptr + length, bytes.length - length);
        if (too_long) {
            append_line(lines, true, out);
        } else if (newline != NULL) {
            append_line(lines, false, out);
            lines->begun = false;
            bytes = slice_make(bytes.ptr + 1, bytes.length - 1);
        }
    }
}

static void take_raw(struct log_lines *lines, struct slice bytes, struct buffer *out)
{
    if (bytes.length == 0)
        return;
    lines->begun = bytes.ptr[bytes.length - 1] != '\n';
    if (!lines->style.safe) {
        buffer_append_slice(out, bytes);
        return;
    }
    struct buffer shown = {0};
    printable_append(&lines->printable, bytes, &shown);
    append_shown(lines, buffer_slice(&shown), out);
    buffer_fini(&shown);
}

void log_lines_take(struct log_lines *lines, const struct msg_log_data *data, struct buffer *out)
{
    if (is_raw(lines)) {
        take_raw(lines, data->data, out);
        return;
    }
    size_t at = 0;
    for (uint32_t i = 0; i < data->marks.count; i++) {
        uint64_t offset = data->marks.items[i].offset;
        size_t until = offset > data->offset ? (size_t)(offset - data->offset) : 0;
        if (until >= data->data.length)
            break;
        if (until > at) {
            take_lines(lines, slice_make(data->data.ptr + at, until - at), out);
            at = until;
        }
        lines->time = data->marks.items[i].at;
    }
    take_lines(lines, slice_make(data->data.ptr + at, data->data.length - at), out);
}

void log_lines_end(struct log_lines *lines, struct buffer *out)
{
    if (is_raw(lines)) {
        printable_end(&lines->printable, out);
        if (lines->style.colour)
            traceback_end(&lines->traceback, out);
        /* Elsewhere the bytes stay as they are. */
        if (lines->style.safe && lines->begun)
            buffer_append_text(out, "\n");
    } else if (lines->held.length > 0 || lines->begun) {
        append_line(lines, false, out);
    }
    lines->begun = false;
}
