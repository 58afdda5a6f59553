/*
 * beside.h - the programs of one installation find each other by where they lie, not by $PATH: so
 * that two versions on one host never start each other's.
 */
#ifndef COMMON_BESIDE_H
#define COMMON_BESIDE_H

#include "common/error.h"

#include <limits.h>

/* The path of `name` in the folder of this program's own file, there or not. ERR_IO. */
int path_beside(const char *name, char ret_path[PATH_MAX], struct error *error);

#endif
