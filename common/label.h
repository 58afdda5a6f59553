/*
 * label.h - what a worker says that its host has, and what a task asks for: labels, and the names
 * of users. One rule for DAG files and command lines.
 */
#ifndef COMMON_LABEL_H
#define COMMON_LABEL_H

#include "common/error.h"
#include "common/slice.h"

enum {
    LABELS_MAX = 64, /* of one worker, or of one task; more is an error where they are written */
    LABEL_MAX_BYTES = 128,
    USER_NAME_MAX_BYTES = 32
};

/* NAME or NAME=VALUE, each of letters, digits and "_-./:", beginning with a letter, a digit or "_".
 * A label that is asked for is had by whoever has the same text. */
int label_check(struct slice label, struct error *error);
/* As useradd has it: [a-z_][a-z0-9_-]*, and "$" at the end. */
int user_name_check(struct slice name, struct error *error);

#endif
