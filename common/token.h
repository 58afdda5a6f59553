/*
 * token.h - the text of a token: all that somebody needs to join a cluster, once. It carries a
 * secret; whoever has it may join in its role until it is used up, expires or is revoked.
 *
 * reeve1_ and base64url of: version, role, id, cluster, server key, the one-time client key pair,
 * addresses, and a checksum that finds a cut or mistyped one. Expiry is the master's to know.
 */
#ifndef COMMON_TOKEN_H
#define COMMON_TOKEN_H

#include "common/buffer.h"
#include "common/error.h"
#include "common/key_pair.h"

#include <stdint.h>

enum {
    TOKEN_CLUSTER_MAX = 64,
    TOKEN_ADDRESSES_MAX = 16,
    TOKEN_ADDRESS_MAX_BYTES = 256,
    TOKEN_TEXT_MAX_BYTES = 8192
};

struct token {
    uint64_t id;
    uint32_t role; /* enum role of proto/roles.h */
    char cluster[TOKEN_CLUSTER_MAX + 1];
    unsigned char server_key[KEY_BYTES];
    struct key_pair keys;
    char addresses[TOKEN_ADDRESSES_MAX][TOKEN_ADDRESS_MAX_BYTES + 1]; /* tcp://HOST:PORT */
    uint32_t address_count;
};

/* Appends the text, one line without its end. */
void token_encode(const struct token *token, struct buffer *out);
/* ERR_MALFORMED says what is wrong (cut, mistyped, no token at all), and never repeats the token;
 * ERR_VERSION for a later format. Space around the text is fine. */
int token_decode(struct slice text, struct token *ret_token, struct error *error);
/*
 * What was given on a command line: @FILE or the text itself; a file that others may read is
 * refused by name (ERR_DENIED). The text is wiped from memory after its use.
 */
int token_read(const char *word, struct token *ret_token, struct error *error);
void token_wipe(struct token *token);

#endif
