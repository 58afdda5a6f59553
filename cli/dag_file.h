/*
 * dag_file.h - a DAG file on this host: found, compiled here as a courtesy, its mistakes printed.
 * The master compiles again and decides.
 */
#ifndef CLI_DAG_FILE_H
#define CLI_DAG_FILE_H

#include "common/dag/compile.h"
#include "common/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

/* FILE|DAG: an argument with a `/` and a file behind it, or that ends in .yaml or .yml, is a FILE.
 */
bool dag_file_is_file(const char *argument);
/* Whether the name ends as a DAG file's does. */
bool dag_file_has_suffix(const char *name);

/* Zero-initialised; dag_file_fini frees. */
struct dag_file {
    struct buffer plan;
    struct diagnostics diagnostics;
};

/* ERR_NOT_FOUND, ERR_INVALID (with the mistakes in diagnostics), or 0, perhaps with warnings. */
int dag_file_compile(const char *path, struct dag_file *file, struct error *error);
/* All mistakes and warnings, with their source lines. */
void dag_file_print(const struct dag_file *file, const char *path, FILE *stream);
void dag_file_fini(struct dag_file *file);

/*
 * What `run` and `submit` do first: its whole path into ret_path, and its mistakes on stderr.
 * ERR_INVALID has them all said. Call dag_file_fini in any case.
 */
int dag_file_check(
    const char *path, char ret_path[PATH_MAX], struct dag_file *file, struct error *error);

#endif
