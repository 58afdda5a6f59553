/*
 * store_file.h - DIR/store.db as a file: made whole or not at all, looked at before sqlite may
 * touch it, brought to the present version.
 */
#ifndef MASTER_STORE_STORE_FILE_H
#define MASTER_STORE_STORE_FILE_H

#include "common/error.h"

#include <sqlite3.h>
#include <stdbool.h>

/* Sets the error of the connection's last call: "path: what: sqlite's text". Returns its code. */
int store_fail(const char *path, sqlite3 *db, const char *what, struct error *error);
/* Runs SQL that needs no values. */
int store_exec(const char *path, sqlite3 *db, const char *sql, struct error *error);

/*
 * Reads the file's header, without sqlite and without writing: is it there, of ours, of a version
 * that we know, and as long as it says? ERR_REFUSED (another program's), ERR_VERSION, ERR_CORRUPT.
 */
int store_check_file(const char *path, bool *ret_exists, struct error *error);

/* Makes an empty store of the newest version, with a cluster id of its own. It has its name only
 * when it is whole. */
int store_create_file(const char *folder, const char *path, struct error *error);

/* Checks the version again as sqlite sees it, and takes the steps that are missing, each in a
 * transaction. */
int store_migrate(const char *path, sqlite3 *db, struct error *error);

#endif
