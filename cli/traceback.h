/*
 * traceback.h - a Python traceback in a log, coloured for a terminal: from its first line to the
 * exception's, as the bytes come. They stay as they are; only colours stand between them. Pure.
 */
#ifndef CLI_TRACEBACK_H
#define CLI_TRACEBACK_H

#include "common/buffer.h"

/* Zero-initialised: at the start of a line. */
struct traceback {
    size_t matched; /* bytes of its first line that were seen, and are not written yet */
    bool inside;
    bool in_line;  /* the last byte was no newline */
    bool foreign;  /* this line does not begin one */
    bool coloured; /* the colour is on */
    bool last;     /* this line is the exception's */
};

/* Bytes that a terminal may see. A line that may become a traceback's first is held until that is
 * known. */
void traceback_append(struct traceback *traceback, struct slice bytes, struct buffer *out);
/* Nothing more comes: what is held comes, and the colour goes. */
void traceback_end(struct traceback *traceback, struct buffer *out);

#endif
