/*
 * yaml.h - a YAML text -> a tree of nodes with places, in bounded time and memory. Internal to
 * common/dag.
 *
 * Built from libyaml's events, never from its document loader. Refused: anchors, aliases, tags,
 * merge keys, more than one document, duplicate keys, NUL. Scalars stay text; scalar.h says what a
 * plain one means.
 */
#ifndef COMMON_DAG_YAML_H
#define COMMON_DAG_YAML_H

#include "common/arena.h"
#include "common/dag/report.h"

#include <stdbool.h>

enum { YAML_DEPTH_MAX = 64, YAML_NODES_MAX = 20000000 };

enum node_kind {
    NODE_SCALAR,
    NODE_SEQUENCE,
    NODE_MAPPING,
    NODE_BROKEN /* something refused stood here, and was reported */
};

struct node {
    enum node_kind kind;
    bool plain; /* a scalar without quotes that is no block */
    struct place place, end;
    struct slice text;  /* of a scalar; NUL-terminated */
    struct node *first; /* a sequence's items, or a mapping's key, value, key, value, … */
    struct node *next;
    uint32_t count; /* items, or pairs */
};

/* Walks a mapping's pairs; those whose key is broken are left out. */
#define node_each_pair(mapping, key)                                                               \
    for (const struct node *key = node_first_key(mapping); key != NULL; key = node_next_key(key))
const struct node *node_first_key(const struct node *mapping);
const struct node *node_next_key(const struct node *key);
#define node_each_item(sequence, item)                                                             \
    for (const struct node *item = (sequence)->first; item != NULL; item = item->next)

/*
 * Where a part of a scalar's text stands in the file. The text is not the file's (quotes, escapes,
 * folded lines), but a template nearly always stands there as it is: the n-th same one in the text
 * is the n-th in the file. Else, and when the report takes no more, the scalar's own place.
 */
struct place node_place_of(const struct node *node, struct slice piece, struct report *report);

/*
 * Reads the one document of report->text (UTF-8). 0 and the root, perhaps with mistakes reported;
 * or ERR_INVALID, with one reported, when there is no tree.
 */
int yaml_read(struct report *report, struct arena *arena, struct node **ret_root);

/* Whether the text is a mapping with that key at its top; text that is no YAML has it when a line
 * begins with it. */
bool yaml_has_top_key(struct slice text, const char *key);

#endif
