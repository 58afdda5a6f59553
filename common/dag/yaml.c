#include "common/dag/yaml.h"

#include "common/memory.h"
#include "common/table.h"

#include <stdlib.h>
#include <yaml.h>

/* From so many keys on a mapping looks for duplicates by hash. */
enum { FEW_KEYS = 16 };

/* A collection that is being read. */
struct frame {
    struct node *node;
    struct node **tail;
    struct node *key;  /* of a mapping: the key that waits for its value */
    struct names keys; /* empty while there are few */
    bool is_tasks;     /* the mapping under the top's `tasks` */
};

struct builder {
    yaml_parser_t parser;
    struct report *report;
    struct arena *arena;
    struct frame frames[YAML_DEPTH_MAX];
    size_t depth;
    size_t nodes;
    struct node *root;
};

static struct place place_of(yaml_mark_t mark)
{
    return (struct place){(uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

/* libyaml's words for what people do most often -> words for people. */
static const char *plain_problem(const char *problem)
{
    static const char *const rows[][2] = {
        {"did not find expected key", "a key is wanted here; is the indentation right?"},
        {"did not find expected '-' indicator",
            "a list item (\"- \") is wanted here; is the indentation right?"},
        {"mapping values are not allowed in this context",
            "a \":\" cannot stand here; put text that holds \": \" in quotes, and check the "
            "indentation"},
        {"could not find expected ':'", "a \":\" is missing after the key"},
        {"did not find expected ',' or ']'", "a \",\" or \"]\" is missing in the list"},
        {"did not find expected ',' or '}'", "a \",\" or \"}\" is missing in the mapping"},
        {"found unexpected end of stream", "the file ends inside quotes"},
        {"found unknown escape character",
            "an unknown escape in double quotes; single quotes take \"\\\" as it is"},
        {"did not find expected hexdecimal number",
            "an unknown escape in double quotes; single quotes take \"\\\" as it is"},
        {"found undefined tag handle", "tags (!) are not supported"},
        {"block sequence entries are not allowed in this context",
            "a list cannot begin here; put it on a line of its own"},
        {"control characters are not allowed", "control characters are not allowed"},
        {"found a tab character", "a tab; YAML is indented with spaces"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strncmp(problem, rows[i][0], strlen(rows[i][0])) == 0)
            return rows[i][1];
    }
    return NULL;
}

static int report_syntax(struct builder *builder)
{
    struct report *report = builder->report;
    const yaml_parser_t *parser = &builder->parser;
    const char *problem = parser->problem != NULL ? parser->problem : "it cannot be read";
    const char *plain = plain_problem(problem);
    struct place place = place_of(parser->problem_mark);
    if (parser->error == YAML_READER_ERROR)
        place = report_place(report, parser->problem_offset);
    size_t offset = report_offset(report, place);
    char c = offset < report->text.length ? report->text.ptr[offset] : ' ';
    if (strcmp(problem, "found character that cannot start any token") == 0) {
        if (c == '\t')
            report_error(report, place, "a tab; YAML is indented with spaces");
        else
            report_error(report, place, "\"%c\" cannot begin a value; put the text in quotes", c);
    } else if (plain != NULL) {
        report_error(report, place, "%s", plain);
    } else {
        report_error(report, place, "not valid YAML: %s", problem);
    }
    return ERR_INVALID;
}

static struct frame *top_frame(struct builder *builder)
{
    return builder->depth > 0 ? &builder->frames[builder->depth - 1] : NULL;
}

/* The first key of the mapping with the same text; the mapping's keys are looked through or hashed.
 */
static const struct node *same_key(struct frame *frame, const struct node *key)
{
    uint64_t found;
    if (frame->node->count < FEW_KEYS) {
        node_each_pair(frame->node, other)
        {
            if (other != key && slice_equal(other->text, key->text))
                return other;
        }
        return NULL;
    }
    if (frame->keys.count == 0) {
        node_each_pair(frame->node, other)
        {
            if (other != key)
                names_set(&frame->keys, other->text, (uintptr_t)other);
        }
    }
    if (names_get(&frame->keys, key->text, &found))
        return (const struct node *)(uintptr_t)found;
    names_set(&frame->keys, key->text, (uintptr_t)key);
    return NULL;
}

static void check_key(struct builder *builder, struct frame *frame, struct node *key)
{
    struct report *report = builder->report;
    if (key->kind == NODE_BROKEN)
        return;
    if (key->kind != NODE_SCALAR) {
        report_error(report, key->place, "a key must be text");
        return;
    }
    if (key->plain && slice_is(key->text, "<<")) {
        report_error(report, key->place,
            "merge keys (<<) are not supported; put what repeats in default_args");
        key->kind = NODE_BROKEN;
        return;
    }
    const struct node *first = same_key(frame, key);
    if (first != NULL) {
        report_error(report, key->place, "duplicate %s \"%.*s\"; the first is in line %u",
            frame->is_tasks ? "task" : "key", SLICE_PRINT(key->text), first->place.line);
        key->kind = NODE_BROKEN;
    }
}

static int add_node(struct builder *builder, struct node *node)
{
    struct frame *frame = top_frame(builder);
    if (++builder->nodes > YAML_NODES_MAX) {
        report_error(builder->report, node->place,
            "the file is too big: it has more than %d values", YAML_NODES_MAX);
        return ERR_INVALID;
    }
    if (frame == NULL) {
        builder->root = node;
        return 0;
    }
    *frame->tail = node;
    frame->tail = &node->next;
    if (frame->node->kind == NODE_SEQUENCE) {
        frame->node->count++;
    } else if (frame->key == NULL) {
        frame->key = node;
    } else {
        frame->key = NULL;
        frame->node->count++;
    }
    return 0;
}

static struct node *new_node(
    struct builder *builder, const yaml_event_t *event, enum node_kind kind)
{
    struct node *node = arena_alloc(builder->arena, sizeof *node);
    node->kind = kind;
    node->place = place_of(event->start_mark);
    node->end = place_of(event->end_mark);
    return node;
}

/* Anchors and tags are refused wherever they stand. */
static void check_properties(
    struct builder *builder, struct place place, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor != NULL)
        report_error(builder->report, place,
            "anchors (&%s) are not supported; put what repeats in default_args", anchor);
    if (tag != NULL && strcmp((const char *)tag, "!") != 0)
        report_error(builder->report, place, "tags (%s) are not supported", tag);
}

static bool is_key(const struct builder *builder)
{
    const struct frame *frame = builder->depth > 0 ? &builder->frames[builder->depth - 1] : NULL;
    return frame != NULL && frame->node->kind == NODE_MAPPING && frame->key == NULL;
}

static int add_scalar(struct builder *builder, const yaml_event_t *event)
{
    struct node *node = new_node(builder, event, NODE_SCALAR);
    struct slice text = slice_make(event->data.scalar.value, event->data.scalar.length);
    check_properties(builder, node->place, event->data.scalar.anchor, event->data.scalar.tag);
    node->text = arena_copy(builder->arena, text);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (memchr(text.ptr, '\0', text.length) != NULL) {
        report_error(builder->report, node->place, "a text cannot hold a NUL (\\0)");
        node->kind = NODE_BROKEN;
    }
    bool key = is_key(builder);
    int result = add_node(builder, node);
    if (result == 0 && key)
        check_key(builder, top_frame(builder), node);
    return result;
}

static int add_alias(struct builder *builder, const yaml_event_t *event)
{
    struct node *node = new_node(builder, event, NODE_BROKEN);
    report_error(builder->report, node->place,
        "aliases (*%s) are not supported; put what repeats in default_args",
        event->data.alias.anchor);
    return add_node(builder, node);
}

static int open_collection(struct builder *builder, const yaml_event_t *event, enum node_kind kind)
{
    struct node *node = new_node(builder, event, kind);
    if (kind == NODE_MAPPING)
        check_properties(
            builder, node->place, event->data.mapping_start.anchor, event->data.mapping_start.tag);
    else
        check_properties(builder, node->place, event->data.sequence_start.anchor,
            event->data.sequence_start.tag);
    if (builder->depth == YAML_DEPTH_MAX) {
        report_error(builder->report, node->place, "the file is nested deeper than %d levels",
            YAML_DEPTH_MAX);
        return ERR_INVALID;
    }
    const struct frame *parent = top_frame(builder);
    bool is_tasks =
        builder->depth == 1 && parent->key != NULL && slice_is(parent->key->text, "tasks");
    bool key = is_key(builder);
    int result = add_node(builder, node);
    if (result != 0)
        return result;
    if (key)
        check_key(builder, top_frame(builder), node);
    builder->frames[builder->depth++] =
        (struct frame){.node = node, .tail = &node->first, .is_tasks = is_tasks};
    return 0;
}

static void close_collection(struct builder *builder, const yaml_event_t *event)
{
    struct frame *frame = top_frame(builder);
    frame->node->end = place_of(event->end_mark);
    names_fini(&frame->keys);
    builder->depth--;
}

/* 1 to go on, 0 at the end of the stream, or an error. */
static int take_event(struct builder *builder, const yaml_event_t *event)
{
    int result = 0;
    switch (event->type) {
    case YAML_STREAM_END_EVENT:
        return 0;
    case YAML_DOCUMENT_START_EVENT:
        if (builder->root != NULL) {
            report_error(builder->report, place_of(event->start_mark),
                "a second document (---) begins here: one file is one DAG");
            result = ERR_INVALID;
        }
        break;
    case YAML_SCALAR_EVENT:
        result = add_scalar(builder, event);
        break;
    case YAML_ALIAS_EVENT:
        result = add_alias(builder, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        result = open_collection(builder, event, NODE_SEQUENCE);
        break;
    case YAML_MAPPING_START_EVENT:
        result = open_collection(builder, event, NODE_MAPPING);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        close_collection(builder, event);
        break;
    default:
        break;
    }
    return result == 0 ? 1 : result;
}

static void parser_open(yaml_parser_t *parser, struct slice text)
{
    if (yaml_parser_initialize(parser) == 0)
        memory_exhausted("a YAML parser");
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(
        parser, (const unsigned char *)(text.ptr != NULL ? text.ptr : ""), text.length);
}

/* False at what is no YAML, and after the last event. */
static bool next_event(yaml_parser_t *parser, yaml_event_t *event)
{
    bool read = yaml_parser_parse(parser, event) != 0;
    if (!read && parser->error == YAML_MEMORY_ERROR)
        memory_exhausted("a YAML parser");
    return read;
}

int yaml_read(struct report *report, struct arena *arena, struct node **ret_root)
{
    struct builder *builder = arena_alloc(arena, sizeof *builder);
    builder->report = report;
    builder->arena = arena;
    parser_open(&builder->parser, report->text);
    int more = 1;
    while (more > 0) {
        yaml_event_t event;
        if (!next_event(&builder->parser, &event)) {
            more = report_syntax(builder);
            break;
        }
        more = take_event(builder, &event);
        yaml_event_delete(&event);
    }
    while (builder->depth > 0)
        names_fini(&builder->frames[--builder->depth].keys);
    yaml_parser_delete(&builder->parser);
    if (more == 0 && builder->root == NULL) {
        report_error(report, (struct place){0}, "the file is empty");
        more = ERR_INVALID;
    }
    if (more == 0)
        *ret_root = builder->root;
    return more;
}

const struct node *node_first_key(const struct node *mapping)
{
    const struct node *key = mapping->first;
    /* While a mapping is being read its last key may still lack its value. */
    while (key != NULL && key->kind != NODE_SCALAR)
        key = key->next != NULL ? key->next->next : NULL;
    return key;
}

const struct node *node_next_key(const struct node *key)
{
    do
        key = key->next != NULL ? key->next->next : NULL;
    while (key != NULL && key->kind != NODE_SCALAR);
    return key;
}

struct place node_place_of(const struct node *node, struct slice piece, struct report *report)
{
    struct slice text = node->text;
    size_t end = report_offset(report, node->end);
    size_t at = report_offset(report, node->place);
    const char *seen = text.ptr;
    while (at < end && report_suggests(report, 0)) {
        const char *found = memmem(report->text.ptr + at, end - at, piece.ptr, piece.length);
        if (found == NULL)
            break;
        seen = memmem(seen, (size_t)(text.ptr + text.length - seen), piece.ptr, piece.length);
        if (seen == piece.ptr)
            return report_place(report, (size_t)(found - report->text.ptr));
        seen += piece.length;
        at = (size_t)(found - report->text.ptr) + piece.length;
    }
    return node->place;
}

static bool line_begins_with(struct slice text, const char *key)
{
    size_t length = strlen(key);
    const char *line = text.ptr;
    const char *end = text.ptr + text.length;
    while (line != NULL && (size_t)(end - line) > length) {
        if (memcmp(line, key, length) == 0 && line[length] == ':')
            return true;
        line = memchr(line, '\n', (size_t)(end - line));
        line = line != NULL ? line + 1 : NULL;
    }
    return false;
}

/* How far the search for a top key has come. */
struct top_search {
    const char *key;
    size_t depth;
    size_t nodes; /* at the top mapping's level so far: the next one is a key when even */
    bool is_mapping, found, over;
};

static void search_event(struct top_search *search, const yaml_event_t *event)
{
    bool is_scalar = event->type == YAML_SCALAR_EVENT;
    bool opens =
        event->type == YAML_MAPPING_START_EVENT || event->type == YAML_SEQUENCE_START_EVENT;
    if (opens && search->depth == 0)
        search->is_mapping = event->type == YAML_MAPPING_START_EVENT;
    search->depth -=
        event->type == YAML_MAPPING_END_EVENT || event->type == YAML_SEQUENCE_END_EVENT;
    if (search->depth == 1 && (is_scalar || opens || event->type == YAML_ALIAS_EVENT)) {
        search->found = search->is_mapping && search->nodes % 2 == 0 && is_scalar &&
                        strcmp((const char *)event->data.scalar.value, search->key) == 0;
        search->nodes++;
    }
    search->depth += opens;
    search->over = event->type == YAML_STREAM_END_EVENT || event->type == YAML_DOCUMENT_END_EVENT ||
                   search->depth > YAML_DEPTH_MAX;
}

bool yaml_has_top_key(struct slice text, const char *key)
{
    yaml_parser_t parser;
    struct top_search search = {.key = key};
    parser_open(&parser, text);
    while (!search.found && !search.over) {
        yaml_event_t event;
        if (!next_event(&parser, &event)) {
            search.found = text.length > 0 && line_begins_with(text, key);
            break;
        }
        search_event(&search, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return search.found;
}
