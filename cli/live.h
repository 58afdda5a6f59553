/*
 * live.h - a block of lines at the end of a terminal that is drawn again in place. Resizes are
 * taken into account: what was drawn may have been wrapped by the terminal since.
 */
#ifndef CLI_LIVE_H
#define CLI_LIVE_H

#include "common/buffer.h"

#include <stdio.h>

/* Zero-initialised: nothing is drawn. */
struct live {
    struct buffer drawn; /* the block as it was written, without colours' effect on its width */
};

/* Appends to `out` what replaces the old block by the new one (whole lines; an empty one only
 * erases). */
void live_draw(struct live *live, struct slice block, size_t columns, struct buffer *out);
void live_fini(struct live *live);

#endif
