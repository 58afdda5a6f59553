/*
 * store_pages.h - a checksum in the last bytes of every page of store.db, which sqlite leaves to
 * whoever asks for them: a flipped bit is met as damage, never read as another value. Written as a
 * page goes into the database (its log has checksums of its own), checked as it comes out.
 */
#ifndef MASTER_STORE_STORE_PAGES_H
#define MASTER_STORE_STORE_PAGES_H

#include <sqlite3.h>
#include <stdbool.h>

/* For sqlite3_open_v2. Safe to call from any thread. */
const char *store_pages_vfs(void);
/* Asks for the room, of a database that is still empty. */
int store_pages_reserve(sqlite3 *db);
/* Whether it was this that sqlite stumbled over. */
bool store_pages_damaged(sqlite3 *db);

/* Gives every page of the file its checksum, where it has room for them, and syncs. -1 with errno.
 */
int store_pages_seal(int fd);

#endif
