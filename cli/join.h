/*
 * join.h - makes a key of this user belong to a cluster, by a token.
 */
#ifndef CLI_JOIN_H
#define CLI_JOIN_H

#include "cli/joined.h"

/*
 * Joins over the token's addresses, and writes the file of joined.h under joined->name, which is
 * set, as is joined->who; all else is filled in. The file is there before the master is asked:
 * asked again with the same token after a lost answer, the same key joins, and it counts once.
 * Call transport_start before. ERR_REFUSED when a master of this name was joined already; ERR_USAGE
 * for a worker's token.
 */
int join_master(const struct token *token, struct joined *joined, struct error *error);

#endif
