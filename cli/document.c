#include "cli/document.h"

#include <stdio.h>

bool document_wanted(const struct arguments *arguments)
{
    const char *format = arguments_text(arguments, "output");
    return format != NULL && strcmp(format, "json") == 0;
}

int document_check(const struct arguments *arguments, struct error *error)
{
    const char *format = NULL;
    for (const struct option_row *row = arguments->rows; row->name != NULL; row++) {
        if (strcmp(row->name, "output") == 0)
            format = arguments_text(arguments, "output");
    }
    if (format == NULL || strcmp(format, "json") == 0 || strcmp(format, "table") == 0)
        return 0;
    return error_set(error, ERR_USAGE, "-o %s: write `-o json` or `-o table`", format);
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
