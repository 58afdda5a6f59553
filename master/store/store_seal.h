/*
 * store_seal.h - store.db-seal: which file it is whose pages this program wrote. Another program
 * that writes to the store leaves pages without a true checksum (store_pages.h). Where that is no
 * damage, they get new ones before sqlite opens the file, once its structure was found sound:
 *
 *   - a file that is not the one of the seal: a restored backup, a copied folder
 *   - no log beside a store that did not end in order: sqlite's shell, used to look into the store
 * of a killed master, copies the log into it as it ends
 *   - no seal: a person who changed the file on purpose has removed it
 */
#ifndef MASTER_STORE_STORE_SEAL_H
#define MASTER_STORE_STORE_SEAL_H

#include "common/error.h"

/* Before sqlite opens the file. ERR_CORRUPT, ERR_IO. */
int store_seal_check(const char *path, struct error *error);
/* Before the first write. */
int store_seal_begin(const char *path, struct error *error);
/* After an orderly end; when this is lost, the next start gives new checksums. */
void store_seal_end(const char *path);

#endif
