/*
 * sql.h - where tokens and statements begin and end in PostgreSQL's SQL, as psql's own scanner sees
 * it: dollar quotes, nested comments, E'' strings and their continuations, `;` in parentheses and
 * in BEGIN ATOMIC bodies. It finds parameters as psql writes them (:name, :'name', :"name") and
 * leaves
 * `::`, strings and comments alone.
 *
 * It borrows the text, allocates nothing, and does not know whether a statement makes sense: that
 * is the server's to say.
 */
#ifndef COMMON_SQL_H
#define COMMON_SQL_H

#include "common/error.h"
#include "common/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum sql_kind {
    SQL_END,        /* the text is over; an empty token */
    SQL_BLANK,      /* white space, or one comment */
    SQL_WORD,       /* a keyword, or an identifier without quotes */
    SQL_NUMBER,     /* begins with a digit */
    SQL_STRING,     /* '…', E'…', B'…', X'…', U&'…', $tag$…$tag$ */
    SQL_IDENTIFIER, /* "…", U&"…" */
    SQL_VALUE,      /* :name or :'name', of a known name */
    SQL_NAME,       /* :"name", of a known name */
    SQL_POSITION,   /* $1 */
    SQL_SEMICOLON,
    SQL_SYMBOL /* one other byte, or :: or := */
};

struct sql_token {
    enum sql_kind kind;
    struct slice text;
    size_t parameter; /* of SQL_VALUE and SQL_NAME: its index in the scanner's names */
};

/* Set text, names and escapes; `at` begins at 0. escapes may change between statements. */
struct sql_scan {
    struct slice text;
    const struct slice *names; /* the parameters that count; any other `:name` is not one */
    size_t name_count;
    bool escapes; /* standard_conforming_strings is off: \ escapes in plain strings too */
    size_t at;    /* the next byte to read; at an error, the first byte of what is wrong */
};

/* The next token; tokens lie one against the other. ERR_INVALID for what is not closed (its
 * beginning is at scan->at then). */
int sql_next(struct sql_scan *scan, struct sql_token *ret_token, struct error *error);

/* How parameters reach a statement. */
enum sql_way {
    SQL_BOUND,  /* as $1: SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES, WITH, CREATE TABLE AS, CALL
                 */
    SQL_LITERAL /* PostgreSQL cannot bind in it: as quoted literals */
};

struct sql_statement {
    struct slice text; /* from its first token to its last, without the semicolon */
    enum sql_way way;
    bool transaction; /* begins or ends a transaction: BEGIN, COMMIT, ROLLBACK (not TO), … */
};

/*
 * The next statement: 1, or 0 at the end of the text. Empty ones are passed over. ERR_INVALID, with
 * scan->at at the place, for what is not closed and for what people bring from elsewhere:
 * `%(day)s`, `DATE :day`, psql's backslash commands, and $1 where parameters are bound.
 */
int sql_next_statement(
    struct sql_scan *scan, struct sql_statement *ret_statement, struct error *error);

/*
 * Every statement of the text: what sql_next_statement says of it, and with `one_transaction` also
 * that none begins or ends one. Sets used[i] for each parameter that stands somewhere. At an error
 * scan->at is its place.
 */
int sql_check(struct sql_scan *scan, bool one_transaction, bool *used, struct error *error);
/* For a parameter that none of a task's SQL uses. Returns ERR_INVALID. */
int sql_report_unused(struct slice name, struct error *error);

/* Is this a name that can be a parameter: [A-Za-z_][A-Za-z0-9_]*? */
bool sql_is_name(struct slice name);

/* Does the word say this keyword, given in lower case? */
bool sql_word_is(struct slice word, const char *keyword);

struct sql_place {
    uint32_t line, column; /* from 1; columns count characters of UTF-8 */
    struct slice text;     /* the line, without its end */
};
/* Where a byte of the text is; an offset past the end is the end. */
struct sql_place sql_place_of(struct slice text, size_t offset);

#endif
