/*
 * log_lines.h - a log's bytes as they are printed: raw, or line by line under a name and a time, or
 * as NDJSON. Pure. Memory is bounded: raw bytes pass through; of a line that is looked at as a line
 * at most LOG_LINE_MAX_BYTES are held, a longer one comes as several (in JSON all but the last with
 * "partial": true).
 */
#ifndef CLI_LOG_LINES_H
#define CLI_LOG_LINES_H

#include "cli/printable.h"
#include "cli/traceback.h"
#include "proto/proto.h"

enum { LOG_LINE_MAX_BYTES = 64 * 1024 };

struct log_style {
    bool safe;   /* for a terminal: nothing in it is a command to it */
    bool colour; /* and tracebacks are coloured */
    bool times;  /* each line's time before it */
    bool json;   /* {"run","task","attempt","time","line"} */
    bool names;  /* each line's task before it */
};

struct log_name {
    const char *run, *task, *label; /* label: what stands before lines */
    uint32_t attempt;
};

struct log_lines {
    struct log_style style;
    struct log_name name;
    struct printable printable; /* raw mode */
    struct traceback traceback;
    struct buffer held; /* line mode: the unfinished line */
    int64_t time;       /* of the byte that is looked at; 0: not known */
    int64_t line_time;  /* of the line's first byte */
    bool begun;         /* the last byte was no newline */
};

/* The name's texts are borrowed. */
void log_lines_init(
    struct log_lines *lines, const struct log_style *style, const struct log_name *name);
/* Appends what `data` makes; its first byte has this offset, marks are in their order. */
void log_lines_take(struct log_lines *lines, const struct msg_log_data *data, struct buffer *out);
/* The log is over, or left: what is held comes too; an unfinished line is ended where that adds no
 * foreign byte. */
void log_lines_end(struct log_lines *lines, struct buffer *out);
void log_lines_fini(struct log_lines *lines);

#endif
