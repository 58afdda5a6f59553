#include "cli/arguments.h"

#include "common/duration.h"
#include "common/memory.h"
#include "common/suggest.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static const uint64_t number_max = 1000000000;

/* Where the reading stands. */
struct reader {
    struct arguments *arguments;
    char *const *argv;
    int count;
    int at; /* the next one */
    struct error *error;
};

static size_t row_count(const struct option_row *rows)
{
    size_t count = 0;
    while (rows[count].name != NULL)
        count++;
    assert(count <= OPTIONS_MAX);
    return count;
}

static const struct option_row *find_name(const struct option_row *rows, struct slice name)
{
    for (; rows->name != NULL; rows++) {
        if (slice_is(name, rows->name))
            return rows;
    }
    return NULL;
}

static const struct option_row *find_letter(const struct option_row *rows, char letter)
{
    for (; rows->name != NULL; rows++) {
        if (rows->letter == letter)
            return rows;
    }
    return NULL;
}

static int unknown_name(const struct option_row *rows, struct slice name, struct error *error)
{
    const char *names[OPTIONS_MAX + 2];
    size_t count = 0;
    for (; rows[count].name != NULL; count++)
        names[count] = rows[count].name;
    names[count++] = "help";
    names[count] = NULL;
    const char *near = suggest(name, names);
    if (near != NULL)
        return error_set(
            error, ERR_USAGE, "unknown option --%.*s; did you mean --%s?", SLICE_PRINT(name), near);
    return error_set(error, ERR_USAGE, "unknown option --%.*s", SLICE_PRINT(name));
}

static int read_number(
    const struct option_row *row, const char *text, uint64_t *ret_number, struct error *error)
{
    assert(text != NULL);
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number == 0 ||
        number > number_max)
        return error_set(error, ERR_USAGE, "--%s: \"%s\" is not a number from 1 to %llu", row->name,
            text, (unsigned long long)number_max);
    *ret_number = number;
    return 0;
}

static int read_duration(
    const struct option_row *row, const char *text, uint64_t *ret_ms, struct error *error)
{
    uint64_t ms;
    if (duration_parse(slice_of(text), &ms, error) != 0) {
        if (error != NULL)
            error->code = ERR_USAGE;
        (void)error_prefix(error, "--%s", row->name);
        return ERR_USAGE;
    }
    if (ms == 0)
        return error_set(error, ERR_USAGE, "--%s: \"%s\" is no time at all", row->name, text);
    *ret_ms = ms;
    return 0;
}

static int set_value(struct reader *reader, const struct option_row *row, const char *text)
{
    struct option_value *value = &reader->arguments->values[row - reader->arguments->rows];
    value->given = true;
    value->text = text;
    if (row->kind == OPTION_NUMBER)
        return read_number(row, text, &value->number, reader->error);
    if (row->kind == OPTION_DURATION)
        return read_duration(row, text, &value->number, reader->error);
    if (row->kind == OPTION_TEXTS) {
        vector_reserve(&value->texts, value->count, &value->capacity);
        value->texts[value->count++] = text;
    }
    return 0;
}

/* One option; `attached` is the value written in the same word, or NULL. */
static int take_option(struct reader *reader, const struct option_row *row, const char *attached)
{
    if (row->kind == OPTION_UNSUPPORTED)
        return error_set(
            reader->error, ERR_REFUSED, "--%s is not supported in this version", row->name);
    if (row->value == NULL && attached != NULL)
        return error_set(reader->error, ERR_USAGE, "--%s takes no value", row->name);
    if (row->value == NULL)
        return set_value(reader, row, NULL);
    if (attached == NULL && reader->at >= reader->count)
        return error_set(reader->error, ERR_USAGE, "--%s needs a value: --%s %s", row->name,
            row->name, row->value);
    return set_value(reader, row, attached != NULL ? attached : reader->argv[reader->at++]);
}

static int take_long(struct reader *reader, const char *word)
{
    const char *equals = strchr(word, '=');
    struct slice name = slice_make(word, equals != NULL ? (size_t)(equals - word) : strlen(word));
    if (slice_is(name, "help")) {
        reader->arguments->help = true;
        return 0;
    }
    const struct option_row *row = find_name(reader->arguments->rows, name);
    if (row == NULL)
        return unknown_name(reader->arguments->rows, name, reader->error);
    return take_option(reader, row, equals != NULL ? equals + 1 : NULL);
}

static int take_letters(struct reader *reader, const char *letters)
{
    for (; *letters != '\0'; letters++) {
        if (*letters == 'h') {
            reader->arguments->help = true;
            return 0;
        }
        const struct option_row *row = find_letter(reader->arguments->rows, *letters);
        if (row == NULL)
            return error_set(reader->error, ERR_USAGE, "unknown option -%c", *letters);
        if (row->value != NULL)
            return take_option(reader, row, letters[1] != '\0' ? letters + 1 : NULL);
        int rc = take_option(reader, row, NULL);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static void take_item(struct arguments *arguments, const char *item)
{
    vector_reserve(&arguments->items, arguments->count, &arguments->capacity);
    arguments->items[arguments->count++] = item;
}

int arguments_parse(struct arguments *arguments, const struct option_row *rows, int count,
    char *const *argv, struct error *error)
{
    *arguments = (struct arguments){.rows = rows};
    (void)row_count(rows);
    struct reader reader = {arguments, argv, count, 0, error};
    bool options_ended = false;
    while (reader.at < count) {
        const char *word = argv[reader.at++];
        int rc = 0;
        /* A "-" alone is an argument: standard input or output. */
        if (options_ended || word[0] != '-' || word[1] == '\0')
            take_item(arguments, word);
        else if (strcmp(word, "--") == 0)
            options_ended = true;
        else if (word[1] == '-')
            rc = take_long(&reader, word + 2);
        else
            rc = take_letters(&reader, word + 1);
        if (rc != 0 || arguments->help)
            return rc;
    }
    return 0;
}

void arguments_fini(struct arguments *arguments)
{
    for (size_t i = 0; i < OPTIONS_MAX; i++)
        free(arguments->values[i].texts);
    free(arguments->items);
    *arguments = (struct arguments){0};
}

const struct option_value *arguments_option(const struct arguments *arguments, const char *name)
{
    const struct option_row *row = find_name(arguments->rows, slice_of(name));
    assert(row != NULL);
    return &arguments->values[row - arguments->rows];
}

const char *arguments_text(const struct arguments *arguments, const char *name)
{
    return arguments_option(arguments, name)->text;
}

bool arguments_flag(const struct arguments *arguments, const char *name)
{
    return arguments_option(arguments, name)->given;
}

const char *arguments_item(const struct arguments *arguments, size_t index)
{
    return index < arguments->count ? arguments->items[index] : NULL;
}
