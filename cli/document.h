/*
 * document.h - JSON on stdout, for `-o json`.
 */
#ifndef CLI_DOCUMENT_H
#define CLI_DOCUMENT_H

#include "cli/arguments.h"
#include "proto/json.h"

/* The option of every command that reads. */
#define DOCUMENT_OPTIONS                                                                           \
    {                                                                                              \
        "output", 'o', OPTION_TEXT, "table|json", "how to print it"                                \
    }

/* The same where there is more to show than fits a usual screen. */
#define DOCUMENT_WIDE_OPTIONS                                                                      \
    {                                                                                              \
        "output", 'o', OPTION_TEXT, "table|wide|json", "how to print it"                           \
    }

/* Whether `-o json` was given, or `-o` and this format. */
bool document_wanted(const struct arguments *arguments);
bool document_is(const struct arguments *arguments, const char *format);
/* ERR_USAGE for another word than those of the option's row. */
int document_check(const struct arguments *arguments, struct error *error);

/* The value alone, and on a line of its own; the latter takes the reference. */
void document_write(const json_t *value);
void document_print(json_t *document);
/* A message's own fields as one object, and its list as one array. */
void document_print_message(enum message_id number, const void *body);
void document_print_list(enum message_id number, const void *body);

#endif
