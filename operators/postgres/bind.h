/*
 * bind.h - a statement as it goes to the server: values as $1, $2, … beside it, or as literals
 * where PostgreSQL cannot bind; :"name" as a quoted identifier. No value ever becomes program text.
 */
#ifndef OPERATORS_POSTGRES_BIND_H
#define OPERATORS_POSTGRES_BIND_H

#include "operators/postgres/options.h"

#include "common/sql.h"

struct bind_step;

/* Zero-initialised is empty; bind_statement makes one, sent_fini frees it. */
struct sent {
    struct buffer text;
    int value_count;
    size_t *parameters; /* of each $n, the index of its parameter */
    bool has_list;      /* one of them is a list: how it is written depends on the type wanted */
    struct bind_step *steps;
    size_t step_count, step_capacity;
};

/* `source` is the text that the statement lies in; `escapes` as in sql_scan. ERR_INVALID for a
 * value that cannot be put there (an identifier that is no text). */
int bind_statement(PGconn *conn, struct slice source, const struct sql_statement *statement,
    const struct parameters *parameters, struct sent *ret_sent, struct error *error);
void sent_fini(struct sent *sent);

/* The byte of the source for a byte of what is sent; for place_of. */
size_t sent_source(const void *sent, size_t at);

/*
 * A parameter as the text that PostgreSQL reads, NULL for null. Text as it is, numbers and booleans
 * as JSON writes them, objects as JSON; a list as an array's literal ({1,"b"}) with as_array, else
 * JSON.
 */
char *bind_text(const json_t *value, bool as_array);
/* Is a list wanted as JSON by a parameter of this type (json, text, unknown), not as an array? */
bool bind_wants_json(Oid type);

/* table: "Stage".orders -> its parts as PostgreSQL reads them, each quoted. ERR_INVALID. */
int bind_table(PGconn *conn, const char *table, struct buffer *out, struct error *error);

#endif
