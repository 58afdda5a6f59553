/*
 * late.h - what is shown of an attempt that was given up, when more was heard of its end
 * afterwards: what that was, and whether the attempt ran beside a later one of its task. Times of
 * two hosts are compared, each as the master's clock had it: what is nearer than such clocks can be
 * trusted is a doubt, and said so. Pure.
 */
#ifndef MASTER_IO_LATE_H
#define MASTER_IO_LATE_H

#include "master/core/core.h"

/* `shown` is the attempt, `later` those of its task behind it, as they are shown. Texts lie in the
 * arena. */
void late_show(const struct late_row *late, struct arena *arena, struct attempt_info *shown,
    const struct attempt_info *later, uint32_t later_count);

#endif
