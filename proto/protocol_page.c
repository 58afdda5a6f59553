/* Prints docs/protocol.md from messages.def. */
#include "common/limits.h"
#include "proto/proto.h"
#include "proto/roles.h"

#include <inttypes.h>
#include <stdio.h>

/* What a kind is called on the page, and what it is on the wire. */
static const struct kind_text {
    const char *name;
    const char *wire;
} kind_texts[] = {
    [FIELD_KIND_U32] = {"u32", "positive integer below 2^32"},
    [FIELD_KIND_U64] = {"u64", "positive integer"},
    [FIELD_KIND_I64] = {"i64", "integer below 2^63"},
    [FIELD_KIND_BOOL] = {"bool", "true or false"},
    [FIELD_KIND_TEXT] = {"text", "str; UTF-8 by custom, not checked"},
    [FIELD_KIND_OPTIONAL_TEXT] = {"text?", "str; empty stands for none"},
    [FIELD_KIND_BYTES] = {"bytes", "bin"},
    [FIELD_KIND_SECRET] = {"secret", "bin; never printed"},
    [FIELD_KIND_WALL] = {"time", "integer: milliseconds since 1970 UTC, 0 for none"},
    [FIELD_KIND_CODE] = {"code", "integer, -1 for none"},
    [FIELD_KIND_RUN_STATE] = {"run state", "u32, see *States*"},
    [FIELD_KIND_TASK_STATE] = {"task state", "u32, see *States*"},
    [FIELD_KIND_ATTEMPT_STATE] = {"attempt state", "u32, see *States*"},
    [FIELD_KIND_WORKER_STATE] = {"worker state", "u32, see *States*"},
    [FIELD_KIND_REASON] = {"reason", "u32, see *States*"},
    [FIELD_KIND_HOLDING] = {"holding", "u32, see *States*"},
    [FIELD_KIND_RECORD] = {"record", "array of its fields, in order"},
    [FIELD_KIND_LIST] = {"list", "array of records"},
    [FIELD_KIND_TEXTS] = {"texts", "array of str"},
};
enum { KINDS = sizeof kind_texts / sizeof *kind_texts };

static void print_type(const struct field_shape *field)
{
    if (field->kind == FIELD_KIND_RECORD)
        (void)printf("[%s](#%s)", field->record->name, field->record->name);
    else if (field->kind == FIELD_KIND_LIST)
        (void)printf("list of [%s](#%s), at most %" PRIu32, field->record->name,
            field->record->name, field->max);
    else if (field->kind == FIELD_KIND_TEXTS)
        (void)printf("texts, at most %" PRIu32, field->max);
    else
        (void)printf("%s", kind_texts[field->kind].name);
}

static void print_record(const struct record_shape *shape)
{
    if (shape->doc[0] != '\0')
        (void)printf("%s\n", shape->doc);
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct field_shape *field = &shape->fields[i];
        (void)printf("- **%s**: ", field->name);
        print_type(field);
        (void)printf("%s%s\n", field->doc[0] != '\0' ? "; " : "", field->doc);
    }
    (void)printf("\n");
}

enum { RECORDS_MAX = 64 };

struct records {
    const struct record_shape *shapes[RECORDS_MAX];
    size_t count;
};

/* Adds the records inside `shape`, each once, those that others need first. */
static void records_collect(struct records *records, const struct record_shape *shape)
{
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct record_shape *inner = shape->fields[i].record;
        if (inner == NULL)
            continue;
        records_collect(records, inner);
        bool known = false;
        for (size_t j = 0; j < records->count; j++)
            known = known || records->shapes[j] == inner;
        if (!known && records->count < RECORDS_MAX)
            records->shapes[records->count++] = inner;
    }
}

static void print_states(enum field_kind kind)
{
    (void)printf("- **%s**:", kind_texts[kind].name);
    const char *separator = " ";
    for (uint32_t value = 0; value < 256; value++) {
        const char *name = field_enum_name(kind, value);
        if (name[0] == '?')
            continue;
        (void)printf("%s%" PRIu32 " %s", separator, value, name[0] != '\0' ? name : "none");
        separator = ", ";
    }
    (void)printf("\n");
}

static void print_head(void)
{
    (void)printf(
        "# The protocol\n\n"
        "*Made from `proto/messages.def` by `protocol_page`; change that file, not this page.*\n\n"
        "Version %d. A frame is a sequence of msgpack arrays: first the [header](#frame_header),"
        " then messages. A message is `[number, field, field, …]`.\n\n"
        "- Fields are only ever added, at the end. A receiver takes zero or empty for fields that"
        " are missing and skips those that it does not know.\n"
        "- Numbers are never reused. A message that a receiver does not know is skipped in a frame"
        " whose `number` is 0; in a frame of numbered messages it is refused.\n"
        "- A header of another `version` is refused, with both versions named.\n"
        "- A frame has at most %d bytes and nests at most %d deep; each count is checked against"
        " the bytes that are left before anything is allocated.\n"
        "- *Numbered* messages belong to a worker's session: they count from 1, are taken once and"
        " in order, and are repeated until they are acknowledged. *Plain* ones may be lost, doubled"
        " or overtaken.\n"
        "- BOOT is milliseconds of the sender's CLOCK_BOOTTIME, WALL milliseconds since 1970 UTC by"
        " the master's clock.\n\n",
        PROTOCOL_VERSION, FRAME_MAX_BYTES, MESSAGE_DEPTH_MAX);
}

static void print_types(void)
{
    (void)printf("## Types\n\n| type | msgpack |\n|---|---|\n");
    for (size_t i = 0; i < KINDS; i++)
        (void)printf("| %s | %s |\n", kind_texts[i].name, kind_texts[i].wire);
    (void)printf("\n## States\n\n");
    for (int kind = FIELD_KIND_RUN_STATE; kind <= FIELD_KIND_HOLDING; kind++)
        print_states((enum field_kind)kind);
    (void)printf("\n");
}

static void print_roles(const struct message_shape *shapes, size_t count)
{
    (void)printf("## Who may say what\n\nFrom `proto/roles.def`. What is not marked is denied, and "
                 "audited.\n\n");
    for (uint32_t role = ROLE_WORKER; role <= ROLE_JOINER; role++)
        (void)printf("- **%s**: %s\n", role_name(role), role_doc(role));
    (void)printf("\n| message |");
    for (uint32_t role = ROLE_WORKER; role <= ROLE_JOINER; role++)
        (void)printf(" %s |", role_name(role));
    (void)printf("\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        bool any = false;
        for (uint32_t role = ROLE_WORKER; role <= ROLE_JOINER; role++)
            any = any || role_may(role, shapes[i].number);
        if (!any)
            continue;
        (void)printf("| %s |", shapes[i].record.name);
        for (uint32_t role = ROLE_WORKER; role <= ROLE_JOINER; role++)
            (void)printf(" %s |", role_may(role, shapes[i].number) ? "yes" : "");
        (void)printf("\n");
    }
    (void)printf("\n");
}

int main(void)
{
    size_t count;
    const struct message_shape *shapes = message_shapes(&count);
    struct records records = {.shapes = {frame_header_shape()}, .count = 1};
    for (size_t i = 0; i < count; i++)
        records_collect(&records, &shapes[i].record);

    print_head();
    print_types();
    print_roles(shapes, count);
    (void)printf("## Records\n\n");
    for (size_t i = 0; i < records.count; i++) {
        (void)printf("### %s\n", records.shapes[i]->name);
        print_record(records.shapes[i]);
    }
    (void)printf("## Messages\n\n");
    for (size_t i = 0; i < count; i++) {
        (void)printf("### %" PRIu32 " %s (%s)\n", shapes[i].number, shapes[i].record.name,
            shapes[i].numbered ? "numbered" : "plain");
        print_record(&shapes[i].record);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
