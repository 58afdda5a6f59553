/*
 * vault.h - the master's connections outside of its core: where they are found (the environment, a
 * file, the rows), and the key that seals them, connections.key in the master's folder, beside the
 * database and never in it. The loop's thread.
 */
#ifndef MASTER_IO_VAULT_H
#define MASTER_IO_VAULT_H

#include "common/seal.h"
#include "master/core/fact.h"
#include "master/io/masks.h"

struct master;

struct vault {
    char *path; /* of the key */
    struct seal_key key;
    struct masks *masks;
    struct arena arena;          /* of the rows, until they are opened */
    struct connection_row *rows; /* as loaded */
    size_t row_count, row_capacity;
    bool turning; /* the rows of a new key are on their way to the store */
};

/* From the environment of this process, before any thread: what is found is wiped there. */
void vault_take_environment(void);

void vault_init(struct vault *vault, const char *folder);
void vault_fini(struct vault *vault);
/* A row, while the store is loaded. */
void vault_keep_row(struct vault *vault, const struct connection_row *row);
/* When all are: opens them, and tells the core; then what the environment and the file have. */
int vault_open(struct master *master, struct error *error);
/* This process knows a secret from now on: logs are masked by it. */
void vault_learn(const struct vault *vault, struct slice name, struct slice document);
/* A rotation is durable: the new key takes its place. */
void vault_turned(struct master *master);
/* Fills id, key and sealed of a new row. The sealed text lies in the arena. */
void vault_seal(const struct vault *vault, struct connection_row *row, struct slice document,
    struct arena *arena);

#endif
