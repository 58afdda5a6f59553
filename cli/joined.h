/*
 * joined.h - the masters on other hosts that this user has joined: a file each,
 * ~/.config/reeve/masters/NAME (0600, its folder 0700), JSON, with the key pair that is this user
 * there. One that others may read is refused, as ssh does.
 */
#ifndef CLI_JOINED_H
#define CLI_JOINED_H

#include "common/endpoint.h"
#include "common/limits.h"
#include "common/token.h"

#include <limits.h>

enum { JOINED_NAME_MAX = 64 };

struct joined {
    char name[JOINED_NAME_MAX + 1]; /* what it is called here */
    char cluster[TOKEN_CLUSTER_MAX + 1];
    unsigned char server_key[KEY_BYTES];
    struct key_pair keys;
    char addresses[TOKEN_ADDRESSES_MAX][TOKEN_ADDRESS_MAX_BYTES + 1];
    uint32_t address_count;
    uint64_t token;               /* by which it was joined */
    uint32_t role;                /* enum role; 0: the join was not answered yet */
    char who[NAME_MAX_BYTES + 1]; /* as whom the master knows this user */
};

/* Letters, digits, `.`, `_`, `-`, not a dot first. */
int joined_check_name(const char *name, struct error *error);
/* The file of this name, whether or not it is there. ERR_USAGE without $HOME. */
int joined_path(const char *name, char path[PATH_MAX], struct error *error);

/* ERR_NOT_FOUND names those that there are. */
int joined_read(const char *name, struct joined *ret_joined, struct error *error);
int joined_write(const struct joined *joined, struct error *error);
int joined_remove(const char *name, struct error *error);

/* The names of all, in byte order, those of unanswered joins not among them; joined_names_fini
 * frees. None is no error. */
struct joined_names {
    char **items;
    size_t count, capacity;
};
int joined_list(struct joined_names *names, struct error *error);
void joined_names_fini(struct joined_names *names);
/* "lab, prod" */
void joined_names_print(const struct joined_names *names, struct buffer *out);

/* Where to connect: the address itself for control, with `offset` 1 the next port, for bulk.
 * ERR_USAGE when it is none that a client can go to. */
int joined_endpoint(
    const char *address, uint32_t offset, char text[ENDPOINT_TEXT_MAX], struct error *error);

#endif
