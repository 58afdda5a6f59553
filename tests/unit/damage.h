/*
 * damage.h - a file as no program wrote it: cut off anywhere, each of its bits the other way,
 * emptied, zeroed, foreign.
 */
#ifndef TESTS_UNIT_DAMAGE_H
#define TESTS_UNIT_DAMAGE_H

#include "common/slice.h"

/* `what` says it for a person: "bit 3 of byte 17 flipped". */
typedef void (*damage_fn)(void *context, const char *what);

/*
 * Calls `look` with the file in every such state, and leaves it as it was. `step`: of a large file
 * only every so many bytes are cut off or changed, one bit of each.
 */
void damage_each(const char *path, size_t step, damage_fn look, void *context);
/* Of each byte of the first place where these stand in the file, and of so many before it, one bit
 * flipped. */
void damage_near(
    const char *path, struct slice bytes, size_t before, damage_fn look, void *context);

#endif
