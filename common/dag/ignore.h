/*
 * ignore.h - the patterns of .reeveignore files, which work as .gitignore's do: the last one that
 * matches decides, "!" takes back, a trailing "/" means folders only, a "/" elsewhere ties a
 * pattern to the file's own folder. What lies in an ignored folder cannot be taken back, because
 * the folder is not entered.
 */
#ifndef COMMON_DAG_IGNORE_H
#define COMMON_DAG_IGNORE_H

#include "common/slice.h"

#include <stdint.h>

/* A larger .reeveignore is refused. */
enum { IGNORE_FILE_MAX_BYTES = 256 * 1024 };

struct ignore_pattern {
    struct slice text; /* without "!" and slashes at its ends */
    uint32_t base;     /* length of the path of its file's folder, with the "/" */
    bool negated;
    bool folders_only;
    bool tied; /* matches the path below base; else the last component alone */
};

/* Zero-initialised is empty. The texts are borrowed. */
struct ignore_list {
    struct ignore_pattern *items;
    size_t count, capacity;
};

/* Appends the patterns of a file's text, which lies in the folder whose path ("" or "a/b/") is
 * `base` bytes long. */
void ignore_list_add(struct ignore_list *list, struct slice text, uint32_t base);
/* `path` is below the base of every pattern in the list. */
bool ignore_list_matches(const struct ignore_list *list, struct slice path, bool is_folder);
void ignore_list_fini(struct ignore_list *list);

/* One pattern and one path: "*" and "?" and "[a-z]" stay within a component, "**" as a component
 * spans any number. */
bool ignore_match(struct slice pattern, struct slice path);

#endif
