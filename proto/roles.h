/*
 * roles.h - the roles of roles.def, and which request each may make. Pure.
 */
#ifndef PROTO_ROLES_H
#define PROTO_ROLES_H

#include "common/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum role {
    ROLE_NONE = 0, /* not known: may nothing */
#define ROLE(name, number, text, doc) ROLE_##name = number,
#include "proto/roles.def"
#undef ROLE
};

/* "worker", …; "none" for ROLE_NONE, "?" for a number that is not known. */
const char *role_name(uint32_t role);
/* One sentence for people; empty when it is not known. */
const char *role_doc(uint32_t role);
/* The number of a name, or ROLE_NONE. */
enum role role_of(struct slice name);
/* Whether a peer of this role may send this message to a master; false for what is not known. */
bool role_may(uint32_t role, uint32_t message);

#endif
