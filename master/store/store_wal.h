/*
 * store_wal.h - the write-ahead log beside store.db, looked at before sqlite takes it up. sqlite
 * reads it up to the first frame whose checksum is wrong, and forgets the rest: right for a tail
 * that a power cut tore, a silent loss of acknowledged batches for a flipped bit. Every batch is
 * synced before the next one is written, so a broken frame with a later batch behind it was not
 * torn.
 */
#ifndef MASTER_STORE_STORE_WAL_H
#define MASTER_STORE_STORE_WAL_H

#include "common/error.h"

/* `path` is store.db's. ERR_CORRUPT names the log, the byte, and what to do; no log is fine. */
int store_check_wal(const char *path, struct error *error);

#endif
