/*
 * sql_statement.c - where a statement ends, how its parameters reach it, and the mistakes that can
 * be told before a server sees it.
 */
#include "common/sql.h"

enum { WORDS_KEPT = 8 };

/* What is known of a statement while its tokens come. */
struct progress {
    struct slice words[WORDS_KEPT]; /* its first words */
    size_t word_count;
    size_t parentheses;
    size_t bodies;      /* BEGIN and CASE not yet ended, in a function's body */
    bool as_query;      /* AS, outside parentheses, before a query */
    size_t position_at; /* of the first $1, and whether there is one */
    bool has_position;
    size_t typed_at; /* of the first `DATE :day`, and whether there is one */
    bool has_typed, has_value;
    struct sql_token last; /* of those that are not blank */
};

static bool word_at(const struct progress *progress, size_t index, const char *keyword)
{
    return index < progress->word_count && index < WORDS_KEPT &&
           sql_word_is(progress->words[index], keyword);
}

static bool token_is(const struct sql_token *token, const char *keyword)
{
    return token->kind == SQL_WORD && sql_word_is(token->text, keyword);
}

static bool is_one_of(struct slice word, const char *const *keywords)
{
    for (size_t i = 0; keywords[i] != NULL; i++) {
        if (sql_word_is(word, keywords[i]))
            return true;
    }
    return false;
}

static bool creates_routine(const struct progress *progress)
{
    if (!word_at(progress, 0, "create"))
        return false;
    size_t at = word_at(progress, 1, "or") && word_at(progress, 2, "replace") ? 3 : 1;
    return word_at(progress, at, "function") || word_at(progress, at, "procedure");
}

/* CREATE … TABLE … AS: its words up to TABLE can only be these. */
static bool creates_table(const struct progress *progress)
{
    static const char *const kinds[] = {"global", "local", "temporary", "temp", "unlogged", NULL};
    size_t at = 1;
    while (at < progress->word_count && at < WORDS_KEPT && is_one_of(progress->words[at], kinds))
        at++;
    return word_at(progress, 0, "create") && word_at(progress, at, "table");
}

static enum sql_way way_of(const struct progress *progress)
{
    static const char *const bound[] = {
        "select", "insert", "update", "delete", "merge", "values", "with", "call", NULL};
    if (progress->word_count > 0 && is_one_of(progress->words[0], bound))
        return SQL_BOUND;
    return creates_table(progress) && progress->as_query ? SQL_BOUND : SQL_LITERAL;
}

static bool is_transaction(const struct progress *progress)
{
    static const char *const always[] = {"begin", "commit", "end", "abort", NULL};
    if (progress->word_count == 0)
        return false;
    if (word_at(progress, 0, "rollback"))
        return !(word_at(progress, 1, "to") || word_at(progress, 2, "to"));
    if (word_at(progress, 0, "start") || word_at(progress, 0, "prepare"))
        return word_at(progress, 1, "transaction");
    return is_one_of(progress->words[0], always);
}

static void count_word(struct progress *progress, const struct sql_token *token)
{
    if (progress->word_count < WORDS_KEPT)
        progress->words[progress->word_count] = token->text;
    progress->word_count++;
    static const char *const queries[] = {"select", "with", "values", NULL};
    if (progress->parentheses == 0 && token_is(&progress->last, "as") &&
        is_one_of(token->text, queries))
        progress->as_query = true;
    if (progress->parentheses > 0 || !creates_routine(progress))
        return;
    if (sql_word_is(token->text, "begin"))
        progress->bodies++;
    else if (sql_word_is(token->text, "case") && progress->bodies > 0)
        progress->bodies++;
    else if (sql_word_is(token->text, "end") && progress->bodies > 0)
        progress->bodies--;
}

/* `DATE :day`: a type's name before a constant is a way of writing constants alone. */
static bool names_type(const struct progress *progress)
{
    static const char *const types[] = {"date", "time", "timetz", "timestamp", "timestamptz",
        "interval", "numeric", "integer", "bigint", "json", "jsonb", "uuid", "inet", "bytea", NULL};
    return progress->last.kind == SQL_WORD && is_one_of(progress->last.text, types);
}

static void count_value(struct progress *progress, const struct sql_scan *scan)
{
    progress->has_value = true;
    if (!progress->has_typed && names_type(progress)) {
        progress->has_typed = true;
        progress->typed_at = (size_t)(progress->last.text.ptr - scan->text.ptr);
    }
}

static void count_symbol(struct progress *progress, char symbol)
{
    if (symbol == '(') {
        if (progress->parentheses == 0 && token_is(&progress->last, "as"))
            progress->as_query = true;
        progress->parentheses++;
    } else if (symbol == ')' && progress->parentheses > 0) {
        progress->parentheses--;
    }
}

static void count_token(
    struct progress *progress, const struct sql_scan *scan, const struct sql_token *token)
{
    if (token->kind == SQL_WORD)
        count_word(progress, token);
    else if (token->kind == SQL_VALUE)
        count_value(progress, scan);
    else if (token->kind == SQL_SYMBOL)
        count_symbol(progress, token->text.ptr[0]);
    if (token->kind == SQL_POSITION && !progress->has_position) {
        progress->has_position = true;
        progress->position_at = (size_t)(token->text.ptr - scan->text.ptr);
    }
    progress->last = *token;
}

/* The word that begins at `at`. */
static struct slice word_from(struct slice text, size_t at)
{
    size_t end = at;
    while (end < text.length && sql_is_name(slice_make(text.ptr + at, end + 1 - at)))
        end++;
    return slice_make(text.ptr + at, end - at);
}

/* What people bring from psycopg and psql, where the token at `at` begins it. */
static int check_foreign(struct slice text, size_t at, struct error *error)
{
    struct slice word;
    if (text.ptr[at] == '\\') {
        word = word_from(text, at + 1);
        return error_set(error, ERR_INVALID, "\\%.*s is a command of psql, not SQL%s",
            SLICE_PRINT(word),
            slice_is(word, "copy") ? "; copy_from and copy_to stream a file" : "");
    }
    if (text.ptr[at] != '%' || at + 1 >= text.length || text.ptr[at + 1] != '(')
        return 0;
    word = word_from(text, at + 2);
    size_t end = at + 2 + word.length;
    if (word.length == 0 || text.length - end < 2 || memcmp(text.ptr + end, ")s", 2) != 0 ||
        word_from(text, end + 1).length != 1)
        return 0;
    return error_set(error, ERR_INVALID, "%%(%.*s)s is not a parameter here: write :%.*s",
        SLICE_PRINT(word), SLICE_PRINT(word));
}

/* What is wrong with a whole statement, for the way that its parameters go. */
static int check_whole(struct sql_scan *scan, const struct progress *progress, struct error *error)
{
    if (way_of(progress) != SQL_BOUND)
        return 0;
    if (progress->has_typed) {
        scan->at = progress->typed_at;
        struct slice type = word_from(scan->text, scan->at);
        struct sql_scan rest = *scan;
        struct sql_token token = {.kind = SQL_END};
        while (sql_next(&rest, &token, NULL) == 0 && token.kind != SQL_VALUE)
            ;
        struct slice name = scan->names[token.parameter];
        return error_set(error, ERR_INVALID,
            "%.*s before a parameter is not SQL: write CAST(:%.*s AS %.*s)", SLICE_PRINT(type),
            SLICE_PRINT(name), SLICE_PRINT(type));
    }
    if (progress->has_position && progress->has_value) {
        scan->at = progress->position_at;
        return error_set(error, ERR_INVALID,
            "$1 and named parameters do not go together: give it a name and write :name");
    }
    return 0;
}

/* Where the token is, for a statement that begins with it or goes on to its end. */
static void stretch(struct sql_statement *statement, const struct sql_token *token)
{
    if (statement->text.length == 0)
        statement->text.ptr = token->text.ptr;
    statement->text.length = (size_t)(token->text.ptr - statement->text.ptr) + token->text.length;
}

int sql_next_statement(
    struct sql_scan *scan, struct sql_statement *ret_statement, struct error *error)
{
    struct sql_statement statement = {0};
    struct progress progress = {0};
    struct sql_token token;
    for (;;) {
        size_t begin = scan->at;
        int result = sql_next(scan, &token, error);
        if (result != 0)
            return result;
        if (token.kind == SQL_BLANK)
            continue;
        bool closed = progress.parentheses == 0 && progress.bodies == 0;
        bool ends = token.kind == SQL_END || (token.kind == SQL_SEMICOLON && closed);
        if (ends && (token.kind == SQL_END || statement.text.length > 0))
            break;
        if (ends)
            continue;
        result = token.kind == SQL_SYMBOL ? check_foreign(scan->text, begin, error) : 0;
        if (result != 0) {
            scan->at = begin;
            return result;
        }
        count_token(&progress, scan, &token);
        stretch(&statement, &token);
    }
    if (statement.text.length == 0)
        return 0;
    int result = check_whole(scan, &progress, error);
    if (result != 0)
        return result;
    statement.way = way_of(&progress);
    statement.transaction = is_transaction(&progress);
    *ret_statement = statement;
    return 1;
}
