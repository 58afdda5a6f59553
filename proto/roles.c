#include "proto/roles.h"

#include "proto/proto.h"

#include <stddef.h>

enum {
    NOBODY = 0,
#define ROLE(name, number, text, doc) MAY_##name = 1 << (number),
#include "proto/roles.def"
#undef ROLE
};

enum {
#define MAY(message, roles) RULE_##message = (roles),
#include "proto/roles.def"
#undef MAY
};

/* By the messages, not by the rules: a message without a rule is an unknown name here. */
static const struct {
    uint32_t message;
    uint32_t roles;
} rules[] = {
#define RECORD(name, doc)
#define END_RECORD(name)
#define MESSAGE(number, name, flow, doc) {number, RULE_##name},
#define END_MESSAGE(name)
#define FIELD(owner, kind, name, doc)
#define FIELD_RECORD(owner, record, name, doc)
#define FIELD_LIST(owner, record, name, max, doc)
#define FIELD_TEXTS(owner, name, max, doc)
#include "proto/messages.def"
#undef RECORD
#undef END_RECORD
#undef MESSAGE
#undef END_MESSAGE
#undef FIELD
#undef FIELD_RECORD
#undef FIELD_LIST
#undef FIELD_TEXTS
};

static const struct {
    uint32_t role;
    const char *name, *doc;
} roles[] = {
#define ROLE(name, number, text, doc) {number, text, doc},
#include "proto/roles.def"
#undef ROLE
};

const char *role_name(uint32_t role)
{
    if (role == ROLE_NONE)
        return "none";
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (roles[i].role == role)
            return roles[i].name;
    }
    return "?";
}

const char *role_doc(uint32_t role)
{
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (roles[i].role == role)
            return roles[i].doc;
    }
    return "";
}

enum role role_of(struct slice name)
{
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (slice_equal(name, slice_of(roles[i].name)))
            return (enum role)roles[i].role;
    }
    return ROLE_NONE;
}

bool role_may(uint32_t role, uint32_t message)
{
    if (role == ROLE_NONE || role > ROLE_JOINER)
        return false;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (rules[i].message == message)
            return (rules[i].roles & (1u << role)) != 0;
    }
    return false;
}
