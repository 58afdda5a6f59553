/*
 * addresses.h - where the master listens on TCP, and under which addresses others find it.
 */
#ifndef MASTER_IO_ADDRESSES_H
#define MASTER_IO_ADDRESSES_H

#include "common/arena.h"
#include "common/endpoint.h"
#include "proto/proto.h"

enum { PORT_DEFAULT = 7411, ADDRESSES_MAX = 16 };

/*
 * As endpoint_parse; without a port it is PORT_DEFAULT. It may be neither 0 nor the last, since the
 * next one is the bulk port's.
 */
int address_parse(const char *text, struct endpoint *ret_address, struct error *error);
/* *, 0.0.0.0 and [::] stand for all of a host's addresses. */
bool address_is_wildcard(const struct endpoint *address);
/* The text, in the arena; the bulk port is `offset` 1 from the control port. */
struct slice address_text(const struct endpoint *address, uint16_t offset, struct arena *arena);
/*
 * Under which addresses a master that listens there can be found, the best first: that one, or for
 * a wildcard those of the host's interfaces that are up, without loopback and link-local ones, and
 * its host name. At most ADDRESSES_MAX; in the arena.
 */
struct texts address_list(const struct endpoint *listen, struct arena *arena);

#endif
