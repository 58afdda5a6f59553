/*
 * access_stage.h - tokens, joins and removals in a core_world, and what is seen of them. Whatever
 * does not come about fails the test.
 */
#ifndef TESTS_UNIT_ACCESS_STAGE_H
#define TESTS_UNIT_ACCESS_STAGE_H

#include "proto/roles.h"
#include "tests/unit/core_world.h"

enum { HOUR_MS = 3600000 };

/* Keys of tokens and of who joins, by a number. */
struct key {
    unsigned char bytes[WORKER_KEY_BYTES];
};
struct key key_of(uint32_t number);

/* A token with the key of this number, which is its id too; valid for an hour. */
void create_token(struct core_world *world, uint32_t number, uint32_t role, uint32_t uses);
void revoke(struct core_world *world, uint64_t token);
void remove_worker(struct core_world *world, const char *name);
void join_key(struct core_world *world, uint32_t token, const unsigned char *key, const char *name);
void join(struct core_world *world, uint32_t token, uint32_t key, const char *name);
/* A fake that joined by token 7, speaks by its key and is up. */
struct fake *joined_worker(struct core_world *world, uint32_t slots);

/* The last answer. */
void assert_joined(const struct core_world *world, uint32_t role, const char *name);
/* A refusal of this kind that says this; the audit log has it, and the ports were told nothing. */
void assert_refused(const struct core_world *world, int code, const char *text);
void assert_done(const struct core_world *world);

uint32_t token_uses(const struct core_world *world, uint64_t token);
/* NULL: none. */
const struct peer_row *peer_named(const struct core_world *world, const char *name);
/* What the ports were told last of this key, in the last batch; UINT32_MAX: nothing. */
uint32_t access_of(const struct core_world *world, const unsigned char *key);
bool is_listed(const struct core_world *world, const char *name);

#endif
