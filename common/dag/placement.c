/*
 * placement.c - the values of keys that say where a task may run, as whom and with what: labels,
 * run_as and connections.
 */
#include "common/connection/connection.h"
#include "common/dag/reader.h"
#include "common/dag/scalar.h"
#include "common/dag/template.h"
#include "common/label.h"

#include <stdlib.h>

static bool check_label(struct reader *reader, struct place place, struct slice label)
{
    struct error error;
    int code = template_is_dynamic(label)
                   ? error_set(&error, ERR_INVALID, "templates are not rendered in labels")
                   : label_check(label, &error);
    if (code != 0)
        report_error(reader->report, place, "%s", error.text);
    return code == 0;
}

/* `zone: eu` is the label zone=eu, `gpu:` the label gpu. */
static bool label_of_pair(struct reader *reader, const struct node *name, struct slice *ret_label)
{
    const struct node *value = name->next;
    if (value->kind != NODE_SCALAR) {
        report_type(reader, name, "text, or nothing");
        return false;
    }
    *ret_label = node_is_null(value) ? name->text
                                     : arena_printf(reader->arena, "%.*s=%.*s",
                                           SLICE_PRINT(name->text), SLICE_PRINT(value->text));
    return check_label(reader, name->place, *ret_label);
}

static bool label_of_item(
    struct reader *reader, const struct key *key, const struct node *item, struct slice *ret_label)
{
    if (item->kind != NODE_SCALAR || node_is_null(item)) {
        if (item->kind != NODE_BROKEN)
            report_error(reader->report, item->place, "\"%s\" holds texts, not %s", key->word,
                node_description(item));
        return false;
    }
    *ret_label = item->text;
    return check_label(reader, item->place, item->text);
}

static int by_text(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* In byte order, each once: the same set is the same list. */
static uint32_t sort_labels(struct slice *labels, uint32_t count)
{
    uint32_t kept = 0;
    if (count > 0)
        qsort(labels, count, sizeof *labels, by_text);
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || !slice_equal(labels[kept - 1], labels[i]))
            labels[kept++] = labels[i];
    }
    return kept;
}

/* The labels under a key, in the file's order; false when something was reported. */
static bool collect_labels(struct reader *reader, const struct key *key, const struct node *name,
    struct slice *labels, uint32_t *ret_count)
{
    uint32_t listed = 0;
    bool sound = true;
    if (name->next->kind == NODE_MAPPING) {
        node_each_pair(name->next, pair) sound =
            label_of_pair(reader, pair, &labels[(*ret_count)++]) && sound;
        return sound;
    }
    const struct node **items = field_items(reader, name, "a label or a list of them", &listed);
    for (uint32_t i = 0; items != NULL && i < listed; i++)
        sound = label_of_item(reader, key, items[i], &labels[(*ret_count)++]) && sound;
    return items != NULL && sound;
}

void read_field_labels(
    struct reader *reader, const struct key *key, const struct node *name, void *field)
{
    const struct node *value = name->next;
    if (value->kind != NODE_SCALAR && value->count > LABELS_MAX) {
        report_error(
            reader->report, value->place, "\"%s\" has more than %d items", key->word, LABELS_MAX);
        return;
    }
    uint32_t count = 0;
    struct slice *labels = arena_alloc(reader->arena, LABELS_MAX * sizeof *labels);
    if (collect_labels(reader, key, name, labels, &count))
        *(struct texts *)field = (struct texts){labels, sort_labels(labels, count)};
}

void read_field_user(
    struct reader *reader, const struct key *key, const struct node *name, void *field)
{
    (void)key;
    struct slice user;
    struct error error;
    if (!read_text(reader, name, &user))
        return;
    int code = template_is_dynamic(user)
                   ? error_set(&error, ERR_INVALID, "templates are not rendered in run_as")
                   : user_name_check(user, &error);
    if (code == 0)
        *(struct slice *)field = user;
    else
        report_error(reader->report, name->next->place, "%s", error.text);
}

static bool check_connection(struct reader *reader, const struct key *key, const struct node *item)
{
    struct error error;
    int code = 0;
    if (item->kind == NODE_BROKEN)
        return false;
    if (item->kind != NODE_SCALAR || node_is_null(item))
        code = error_set(&error, ERR_INVALID, "\"%s\" holds names of connections, not %s",
            key->word, node_description(item));
    else if (template_is_dynamic(item->text))
        code = error_set(&error, ERR_INVALID, "templates are not rendered in \"%s\"", key->word);
    else
        code = connection_check_name(item->text, &error);
    if (code != 0)
        report_error(reader->report, item->place, "%s", error.text);
    return code == 0;
}

void read_field_connections(
    struct reader *reader, const struct key *key, const struct node *name, void *field)
{
    uint32_t listed = 0, count = 0;
    const struct node **items =
        field_items(reader, name, "a connection's name or a list of them", &listed);
    if (items == NULL)
        return;
    if (listed > CONNECTIONS_MAX) {
        report_error(reader->report, name->next->place, "a task has at most %d connections",
            CONNECTIONS_MAX);
        return;
    }
    struct slice *names = arena_alloc(reader->arena, ((size_t)listed + 1) * sizeof *names);
    for (uint32_t i = 0; i < listed; i++) {
        bool known = false;
        if (!check_connection(reader, key, items[i]))
            return;
        for (uint32_t j = 0; j < count && !known; j++)
            known = slice_equal(names[j], items[i]->text);
        if (!known)
            names[count++] = items[i]->text;
    }
    *(struct texts *)field = (struct texts){names, count};
}
