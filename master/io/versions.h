/*
 * versions.h - who spoke another protocol version, so that the log says it once and not at each
 * try. Belongs to one thread.
 */
#ifndef MASTER_IO_VERSIONS_H
#define MASTER_IO_VERSIONS_H

#include "common/table.h"
#include "master/io/admission.h"

/* Zero-initialised is empty. */
struct versions {
    struct table told; /* by key, or by connection on this host */
};

/* `bytes` is a frame of this peer. Its refusal is its reader's. */
void versions_note(
    struct versions *versions, transport_peer peer, const struct actor *actor, struct slice bytes);
void versions_fini(struct versions *versions);

#endif
