#include "common/dag/template_parse.h"

#include "common/suggest.h"

#include <stddef.h>
#include <stdio.h>

enum { DAYS_MAX = 3660000 };

enum token_kind { TOKEN_END, TOKEN_NAME, TOKEN_INTEGER, TOKEN_STRING, TOKEN_SIGN, TOKEN_BAD };

struct token {
    enum token_kind kind;
    struct slice text; /* a string's text is without its quotes */
    char sign;
};

/* One expression on its way through the parser. */
struct parser {
    struct slice text; /* between "{{" and "}}" */
    size_t at;
    struct token token; /* the one to look at */
    size_t token_start; /* where it begins */
    size_t last_end;    /* where the token before it ended */
    struct arena *arena;
    struct error *error;
};

struct word {
    const char *word;
    const char *message;
};

static const char *const value_names[] = {"ds", "ds_nodash", "ts", "ts_nodash", "logical_date",
    "data_interval_start", "data_interval_end", "run_id", "dag", "task", "attempt", NULL};

static const char *const known_names[] = {"ds", "ds_nodash", "ts", "ts_nodash", "logical_date",
    "data_interval_start", "data_interval_end", "run_id", "dag", "task", "attempt", "params",
    "outputs", "artifacts", "ds_add", NULL};

static const char *const filter_names[] = {[FILTER_DS] = "ds",
    [FILTER_DS_NODASH] = "ds_nodash",
    [FILTER_TS] = "ts",
    [FILTER_TS_NODASH] = "ts_nodash",
    [FILTER_TS_NODASH_WITH_TZ] = "ts_nodash_with_tz",
    [FILTER_TOJSON] = "tojson",
    [FILTER_COUNT] = NULL};

/* What other tools call these things, and what belongs to later versions. */
static const struct word foreign_names[] = {
    {"item", "\"item\" is not supported in this version"},
    {"ds_format", "\"ds_format\" is not supported in this version"},
    {"execution_date", "\"execution_date\" is called logical_date here"},
    {"next_ds", "write ds_add(ds, 1) instead of \"next_ds\""},
    {"tomorrow_ds", "write ds_add(ds, 1) instead of \"tomorrow_ds\""},
    {"prev_ds", "write ds_add(ds, -1) instead of \"prev_ds\""},
    {"yesterday_ds", "write ds_add(ds, -1) instead of \"yesterday_ds\""},
    {"next_execution_date", "\"next_execution_date\" is called data_interval_end here"},
    {"prev_execution_date", "\"prev_execution_date\" is called data_interval_start here"},
    {"macros", "write ds_add(…) without \"macros.\""},
    {"ti", "write attempt for the try's number, outputs.TASK.X for what a task handed on"},
    {"task_instance",
        "write attempt for the try's number, outputs.TASK.X for what a task handed on"},
    {"dag_run", "write run_id, or params.X for what was given with -p"},
    {"conf", "write params.X for what was given with -p"},
    {"var", "there are no variables: write params.X, or put the value under env"},
    {"env", "templates cannot read the environment: use $NAME in bash"},
    {"conn", "\"conn\" is not supported in this version"},
    {"xcom_pull", "write outputs.TASK.X instead of xcom_pull"},
    {"prev_data_interval_start_success",
        "\"prev_data_interval_start_success\" is not supported in this version"},
    {"prev_data_interval_end_success",
        "\"prev_data_interval_end_success\" is not supported in this version"},
    {"prev_start_date_success", "\"prev_start_date_success\" is not supported in this version"},
    {NULL, NULL},
};

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *word_message(struct slice word, const struct word *words)
{
    for (size_t i = 0; words[i].word != NULL; i++) {
        if (slice_is(word, words[i].word))
            return words[i].message;
    }
    return NULL;
}

static bool is_one_of(struct slice word, const char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (slice_is(word, words[i]))
            return true;
    }
    return false;
}

static size_t name_end(struct slice text, size_t at)
{
    while (at < text.length && (is_name_start(text.ptr[at]) || is_digit(text.ptr[at])))
        at++;
    return at;
}

static size_t string_end(struct slice text, size_t at)
{
    const char *end = memchr(text.ptr + at + 1, text.ptr[at], text.length - at - 1);
    return end != NULL ? (size_t)(end - text.ptr) : text.length;
}

static void advance(struct parser *parser)
{
    struct slice text = parser->text;
    size_t at = parser->at;
    parser->last_end = at;
    while (at < text.length && is_space(text.ptr[at]))
        at++;
    parser->token_start = at;
    struct token token = {.kind = TOKEN_END};
    size_t end = at;
    if (at < text.length) {
        char c = text.ptr[at];
        token.kind = TOKEN_SIGN;
        token.sign = c;
        end = at + 1;
        if (is_name_start(c)) {
            token.kind = TOKEN_NAME;
            end = name_end(text, at);
        } else if (is_digit(c)) {
            token.kind = TOKEN_INTEGER;
            /* 05 is no number, as in Jinja. */
            while (c != '0' && end < text.length && is_digit(text.ptr[end]))
                end++;
        } else if (c == '"' || c == '\'') {
            end = string_end(text, at);
            token.kind = end < text.length ? TOKEN_STRING : TOKEN_BAD;
            end += end < text.length;
        }
    }
    token.text = slice_make(text.ptr + at, end - at);
    if (token.kind == TOKEN_STRING)
        token.text = slice_make(text.ptr + at + 1, end - at - 2);
    parser->token = token;
    parser->at = end;
}

static bool at_sign(const struct parser *parser, char sign)
{
    return parser->token.kind == TOKEN_SIGN && parser->token.sign == sign;
}

static bool take_sign(struct parser *parser, char sign)
{
    if (!at_sign(parser, sign))
        return false;
    advance(parser);
    return true;
}

static int unexpected(const struct parser *parser, const char *wanted)
{
    if (parser->token.kind == TOKEN_END)
        return error_set(parser->error, ERR_INVALID, "%s is missing before \"}}\"", wanted);
    return error_set(parser->error, ERR_INVALID, "%s is wanted in place of \"%.*s\"", wanted,
        SLICE_PRINT(parser->token.text));
}

static bool read_number(struct slice digits, uint32_t most, uint32_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < digits.length; i++) {
        number = number * 10 + (uint64_t)(digits.ptr[i] - '0');
        if (number > most)
            return false;
    }
    *ret_number = (uint32_t)number;
    return true;
}

static int parse_subscript(struct parser *parser, struct expression_step *step)
{
    if (parser->token.kind == TOKEN_STRING) {
        step->key = parser->token.text;
    } else if (parser->token.kind == TOKEN_INTEGER) {
        if (!read_number(parser->token.text, 1000000, &step->index))
            return error_set(parser->error, ERR_INVALID, "the index %.*s is too large",
                SLICE_PRINT(parser->token.text));
    } else {
        return unexpected(parser, "a name in quotes, or a number,");
    }
    advance(parser);
    return take_sign(parser, ']') ? 0 : unexpected(parser, "\"]\"");
}

/* One step, if there is one: 1, 0, or an error. */
static int parse_step(struct parser *parser, struct expression_step *step)
{
    *step = (struct expression_step){0};
    if (take_sign(parser, '[')) {
        int result = parse_subscript(parser, step);
        return result == 0 ? 1 : result;
    }
    if (!take_sign(parser, '.'))
        return 0;
    if (parser->token.kind != TOKEN_NAME)
        return unexpected(parser, "a name");
    step->key = parser->token.text;
    advance(parser);
    return 1;
}

/* params, outputs and artifacts: the name, then the steps into it. */
static int parse_path(struct parser *parser, struct expression *expression)
{
    const char *of = expression->kind == EXPRESSION_PARAM ? "params" : "outputs";
    if (expression->kind == EXPRESSION_ARTIFACT)
        of = "artifacts";
    struct expression_step step;
    int more = parse_step(parser, &step);
    if (more < 0)
        return more;
    if (more == 0 || step.key.ptr == NULL)
        return error_set(parser->error, ERR_INVALID, "\"%s\" needs a name after it: %s.%s", of, of,
            expression->kind == EXPRESSION_OUTPUT ? "TASK.NAME" : "NAME");
    expression->name = step.key;
    while (expression->kind != EXPRESSION_ARTIFACT && (more = parse_step(parser, &step)) > 0) {
        if (expression->step_count == EXPRESSION_STEPS_MAX)
            return error_set(parser->error, ERR_INVALID, "the path is too long");
        expression->steps[expression->step_count++] = step;
    }
    if (more < 0)
        return more;
    if (at_sign(parser, '-') && expression->kind != EXPRESSION_PARAM)
        return error_set(parser->error, ERR_INVALID,
            "a task's name with \"-\" is written in quotes: %s[\"%.*s-…\"]", of,
            SLICE_PRINT(expression->name));
    if (expression->kind == EXPRESSION_OUTPUT && expression->step_count == 0)
        return error_set(parser->error, ERR_INVALID,
            "\"outputs.%.*s\" needs the output's name after it: outputs.%.*s.NAME",
            SLICE_PRINT(expression->name), SLICE_PRINT(expression->name));
    return 0;
}

static int unknown_name(struct parser *parser, struct slice name)
{
    const char *message = word_message(name, foreign_names);
    if (message != NULL)
        return error_set(parser->error, ERR_INVALID, "%s", message);
    const char *near = suggest(name, known_names);
    if (near != NULL)
        return error_set(parser->error, ERR_INVALID,
            "unknown name \"%.*s\" in a template; did you mean \"%s\"?", SLICE_PRINT(name), near);
    return error_set(parser->error, ERR_INVALID,
        "unknown name \"%.*s\" in a template; to print braces write {{ '{{' }}", SLICE_PRINT(name));
}

static int parse_expression(struct parser *parser, int depth, struct expression *expression);

static int parse_days(struct parser *parser, int32_t *ret_days)
{
    int32_t sign = 1;
    if (take_sign(parser, '-'))
        sign = -1;
    else
        (void)take_sign(parser, '+');
    uint32_t days = 0;
    if (parser->token.kind != TOKEN_INTEGER)
        return unexpected(parser, "a number of days, as in ds_add(ds, -1),");
    if (!read_number(parser->token.text, DAYS_MAX, &days))
        return error_set(parser->error, ERR_INVALID, "ds_add: %.*s days are too many",
            SLICE_PRINT(parser->token.text));
    *ret_days = sign * (int32_t)days;
    advance(parser);
    return 0;
}

static int parse_ds_add(struct parser *parser, int depth, struct expression *expression)
{
    if (depth >= EXPRESSION_DEPTH_MAX)
        return error_set(parser->error, ERR_INVALID, "ds_add stands too deep in itself");
    if (!take_sign(parser, '('))
        return unexpected(parser, "\"(\", as in ds_add(ds, -1),");
    struct expression *argument = arena_alloc(parser->arena, sizeof *argument);
    int result = parse_expression(parser, depth + 1, argument);
    if (result != 0)
        return result;
    expression->argument = argument;
    if (!take_sign(parser, ','))
        return unexpected(parser, "\",\", as in ds_add(ds, -1),");
    result = parse_days(parser, &expression->days);
    if (result != 0)
        return result;
    return take_sign(parser, ')') ? 0 : unexpected(parser, "\")\"");
}

static int parse_name(struct parser *parser, int depth, struct expression *expression)
{
    struct slice name = parser->token.text;
    advance(parser);
    expression->name = name;
    if (is_one_of(name, value_names)) {
        expression->kind = EXPRESSION_VALUE;
        return 0;
    }
    if (slice_is(name, "ds_add")) {
        expression->kind = EXPRESSION_DS_ADD;
        return parse_ds_add(parser, depth, expression);
    }
    if (slice_is(name, "params"))
        expression->kind = EXPRESSION_PARAM;
    else if (slice_is(name, "outputs"))
        expression->kind = EXPRESSION_OUTPUT;
    else if (slice_is(name, "artifacts"))
        expression->kind = EXPRESSION_ARTIFACT;
    else
        return unknown_name(parser, name);
    return parse_path(parser, expression);
}

static int parse_primary(struct parser *parser, int depth, struct expression *expression)
{
    size_t start = parser->token_start;
    int result = 0;
    switch (parser->token.kind) {
    case TOKEN_NAME:
        result = parse_name(parser, depth, expression);
        break;
    case TOKEN_STRING:
        if (memchr(parser->token.text.ptr, '\\', parser->token.text.length) != NULL)
            return error_set(parser->error, ERR_INVALID, "a text in a template cannot hold \"\\\"");
        expression->kind = EXPRESSION_TEXT;
        expression->name = parser->token.text;
        advance(parser);
        break;
    case TOKEN_END:
        return error_set(parser->error, ERR_INVALID, "there is nothing between \"{{\" and \"}}\"");
    case TOKEN_SIGN:
        if (parser->token.sign == '-')
            return error_set(parser->error, ERR_INVALID,
                "\"{{-\" is not supported: spaces around a template stay");
        /* fall through */
    default:
        return error_set(parser->error, ERR_INVALID,
            "a name is wanted in place of \"%.*s\"; to print braces write {{ '{{' }}",
            SLICE_PRINT(parser->token.text));
    }
    expression->path = slice_make(parser->text.ptr + start, parser->last_end - start);
    return result;
}

static int parse_filter(struct parser *parser, struct expression *expression)
{
    struct slice name = parser->token.text;
    if (parser->token.kind != TOKEN_NAME)
        return unexpected(parser, "a filter's name");
    size_t filter = 0;
    while (filter < FILTER_COUNT && !slice_is(name, filter_names[filter]))
        filter++;
    if (filter == FILTER_COUNT) {
        const char *near = suggest(name, filter_names);
        return near != NULL
                   ? error_set(parser->error, ERR_INVALID,
                         "unknown filter \"%.*s\"; did you mean \"%s\"?", SLICE_PRINT(name), near)
                   : error_set(parser->error, ERR_INVALID,
                         "unknown filter \"%.*s\"; there are ds, ds_nodash, ts, ts_nodash, "
                         "ts_nodash_with_tz and tojson",
                         SLICE_PRINT(name));
    }
    if (expression->filter_count == EXPRESSION_FILTERS_MAX)
        return error_set(parser->error, ERR_INVALID, "there are too many filters");
    expression->filters[expression->filter_count++] = (enum template_filter)filter;
    advance(parser);
    return 0;
}

static int parse_expression(struct parser *parser, int depth, struct expression *expression)
{
    int result = parse_primary(parser, depth, expression);
    while (result == 0 && take_sign(parser, '|'))
        result = parse_filter(parser, expression);
    return result;
}

/* Where the expression that begins at `at` ends: its "}}", quotes heeded; or the text's length. */
static size_t expression_end(struct slice text, size_t at)
{
    while (at < text.length) {
        char c = text.ptr[at];
        if (c == '"' || c == '\'') {
            size_t end = string_end(text, at);
            if (end < text.length)
                at = end;
        } else if (c == '}' && at + 1 < text.length && text.ptr[at + 1] == '}') {
            return at;
        }
        at++;
    }
    return text.length;
}

static int next_expression(
    struct template_reader *reader, struct template_piece *piece, struct error *error)
{
    struct slice text = reader->text;
    size_t start = reader->at;
    size_t end = expression_end(text, start + 2);
    if (end == text.length) {
        piece->raw = slice_make(text.ptr + start, 2);
        reader->at = text.length;
        return error_set(error, ERR_INVALID,
            "\"{{\" is never closed by \"}}\"; to print braces write {{ '{{' }}");
    }
    piece->raw = slice_make(text.ptr + start, end + 2 - start);
    reader->at = end + 2;
    struct parser parser = {.text = slice_make(text.ptr + start + 2, end - start - 2),
        .arena = reader->arena,
        .error = error};
    advance(&parser);
    struct expression *expression = arena_alloc(reader->arena, sizeof *expression);
    int result = parse_expression(&parser, 0, expression);
    if (result == 0 && parser.token.kind != TOKEN_END)
        result = unexpected(&parser, "\"|\" or \"}}\"");
    piece->expression = expression;
    return result == 0 ? 1 : result;
}

int template_next(
    struct template_reader *reader, struct template_piece *ret_piece, struct error *error)
{
    *ret_piece = (struct template_piece){0};
    struct slice text = reader->text;
    if (reader->at >= text.length)
        return 0;
    const char *from = text.ptr + reader->at;
    size_t left = text.length - reader->at;
    const char *braces = memmem(from, left, "{{", 2);
    if (braces == from)
        return next_expression(reader, ret_piece, error);
    size_t length = braces != NULL ? (size_t)(braces - from) : left;
    ret_piece->raw = slice_make(from, length);
    reader->at += length;
    return 1;
}

const struct expression *expression_root(const struct expression *expression)
{
    while (expression->kind == EXPRESSION_DS_ADD)
        expression = expression->argument;
    return expression;
}
