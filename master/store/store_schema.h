/*
 * store_schema.h - the numbered .sql files of schema/, embedded at build. A step is never changed
 * once it was released: the next one is added.
 */
#ifndef MASTER_STORE_STORE_SCHEMA_H
#define MASTER_STORE_STORE_SCHEMA_H

#include <stddef.h>

struct schema_step {
    int version; /* PRAGMA user_version when it was taken; ascending */
    const char *sql;
};

extern const struct schema_step store_schema[];
extern const size_t store_schema_count;

#endif
