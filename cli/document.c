#include "cli/document.h"

#include <stdio.h>

bool document_is(const struct arguments *arguments, const char *format)
{
    const char *wanted = arguments_text(arguments, "output");
    return wanted != NULL && strcmp(wanted, format) == 0;
}

bool document_wanted(const struct arguments *arguments)
{
    return document_is(arguments, "json");
}

/* Whether `format` is one of "table|json". */
static bool is_among(const char *format, const char *formats)
{
    size_t length = strlen(format);
    while (length > 0) {
        size_t next = strcspn(formats, "|");
        if (next == length && memcmp(formats, format, length) == 0)
            return true;
        if (formats[next] == '\0')
            break;
        formats += next + 1;
    }
    return false;
}

int document_check(const struct arguments *arguments, struct error *error)
{
    for (const struct option_row *row = arguments->rows; row->name != NULL; row++) {
        if (strcmp(row->name, "output") != 0)
            continue;
        const char *format = arguments_text(arguments, "output");
        if (format != NULL && !is_among(format, row->value))
            return error_set(error, ERR_USAGE, "-o %s: write -o %s", format, row->value);
    }
    return 0;
}

static int write_text(const char *text, size_t length, void *context)
{
    return fwrite(text, 1, length, context) == length ? 0 : -1;
}

/* A failed write leaves its mark on stdout, which main looks at. */
void document_write(const json_t *value)
{
    (void)json_dump_callback(value, write_text, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
}

void document_print(json_t *document)
{
    document_write(document);
    (void)fputc('\n', stdout);
    json_decref(document);
}

void document_print_message(enum message_id number, const void *body)
{
    document_print(record_json(&message_shape(number)->record, body));
}

void document_print_list(enum message_id number, const void *body)
{
    const struct field_shape *field = message_shape(number)->record.fields;
    while (field->kind != FIELD_KIND_LIST)
        field++;
    struct record_list list = record_list_read((const char *)body + field->offset);
    (void)fputc('[', stdout);
    for (uint32_t i = 0; i < list.count; i++) {
        const char *record = (const char *)list.items + (size_t)i * field->record->size;
        json_t *item = record_json(field->record, record);
        (void)fputs(i > 0 ? ",\n " : "", stdout);
        document_write(item);
        json_decref(item);
    }
    (void)fputs("]\n", stdout);
}
