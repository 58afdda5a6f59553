/*
 * masks.h - which secrets are taken out of which attempt's log. The loop's thread tells what there
 * is and who was given what; the bulk thread asks. An attempt that nobody told of (it was given its
 * secrets before this master started) is masked by all of them: too much rather than too little.
 */
#ifndef MASTER_IO_MASKS_H
#define MASTER_IO_MASKS_H

#include "common/connection/mask.h"
#include "proto/proto.h"

struct masks;

struct masks *masks_create(void);
void masks_destroy(struct masks *masks);

/* A connection of this name, or variable, has this document; it stays known. */
void masks_learn(struct masks *masks, struct slice name, struct slice document);
/* The attempt is given these, or none. */
void masks_hand(struct masks *masks, const struct attempt_id *id, const struct texts *names);
/* What its log is masked by; it lives as long as `masks`, and never changes. NULL: by nothing. */
const struct mask *masks_of(struct masks *masks, const struct attempt_id *id);

#endif
