#include "operators/postgres/failure.h"

#include "common/sql.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

enum { LINE_SHOWN = 100 };

void failure_fini(struct failure *failure)
{
    buffer_fini(&failure->report);
    *failure = (struct failure){0};
}

static int set(struct failure *failure, int code, const char *format, va_list arguments)
{
    char text[sizeof failure->error.text];
    (void)vsnprintf(text, sizeof text, format, arguments);
    failure->sqlstate[0] = '\0';
    return error_set(&failure->error, code, "%s", text);
}

int failure_set(struct failure *failure, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)set(failure, code, format, arguments);
    va_end(arguments);
    failure->retry = false;
    return code;
}

int failure_passing(struct failure *failure, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)set(failure, code, format, arguments);
    va_end(arguments);
    failure->retry = true;
    return code;
}

bool failure_may_pass(const char *sqlstate)
{
    /* Whole classes: connection, rollback (serialization, deadlock), resources, the operator's
     * intervention (shutdown, cancel, timeouts), the system. */
    static const char *const classes[] = {"08", "40", "53", "57", "58", NULL};
    /* Single ones: object in use, lock not available, a standby where a primary was meant, and
     * PostgreSQL's own timeouts of idle sessions. */
    static const char *const codes[] = {"55006", "55P03", "25006", "25P03", NULL};
    /* Of those classes: a database that was dropped does not come back. */
    if (strcmp(sqlstate, "57P04") == 0)
        return false;
    if (sqlstate[0] == '\0')
        return true;
    for (size_t i = 0; classes[i] != NULL; i++) {
        if (strncmp(sqlstate, classes[i], 2) == 0)
            return true;
    }
    for (size_t i = 0; codes[i] != NULL; i++) {
        if (strcmp(sqlstate, codes[i]) == 0)
            return true;
    }
    return false;
}

/* The byte of a line at which its character `column` (from 1) begins. */
static size_t byte_of_column(struct slice line, uint32_t column)
{
    size_t at = 0;
    while (at < line.length && column > 1) {
        at++;
        while (at < line.length && ((unsigned char)line.ptr[at] & 0xC0) == 0x80)
            at++;
        column--;
    }
    return at;
}

static size_t letter_begin(struct slice line, size_t at)
{
    while (at > 0 && at < line.length && ((unsigned char)line.ptr[at] & 0xC0) == 0x80)
        at--;
    return at;
}

void failure_point(struct buffer *out, struct slice line, uint32_t column)
{
    size_t caret = byte_of_column(line, column);
    size_t begin = 0;
    if (line.length > LINE_SHOWN && caret > LINE_SHOWN / 2)
        begin = letter_begin(line, caret - LINE_SHOWN / 2);
    size_t end = line.length - begin > LINE_SHOWN ? begin + LINE_SHOWN : line.length;
    end = letter_begin(line, end);
    const char *before = begin > 0 ? "…" : "";
    buffer_printf(out, "    %s%.*s%s\n    %s", before, (int)(end - begin), line.ptr + begin,
        end < line.length ? "…" : "", begin > 0 ? " " : "");
    for (size_t at = begin; at < caret; at++) {
        if (((unsigned char)line.ptr[at] & 0xC0) != 0x80)
            buffer_append(out, line.ptr[at] == '\t' ? "\t" : " ", 1);
    }
    buffer_append_text(out, "^\n");
}

/* PostgreSQL counts characters, from 1. */
static size_t byte_of_position(struct slice text, const char *position)
{
    size_t characters = 0;
    for (; isdigit((unsigned char)*position) && characters < text.length; position++)
        characters = characters * 10 + (size_t)(*position - '0');
    return byte_of_column(text, characters > 0 ? (uint32_t)characters : 1);
}

/* Names in the source what stands before the error; shows the line in the report. */
static void point_at(struct failure *failure, const PGresult *result, const struct place_of *place)
{
    const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
    if (place == NULL)
        return;
    size_t sent = position != NULL ? byte_of_position(place->sent, position) : 0;
    struct sql_place where = sql_place_of(place->text, place->source(place->context, sent));
    if (position == NULL) {
        (void)error_prefix(&failure->error, "%s:%u", place->name, where.line);
        return;
    }
    (void)error_prefix(&failure->error, "%s:%u:%u", place->name, where.line, where.column);
    buffer_printf(&failure->report, "%s, line %u:\n", place->name, where.line);
    failure_point(&failure->report, where.text, where.column);
}

static const char *field(const PGresult *result, int code, const char *otherwise)
{
    const char *text = PQresultErrorField(result, code);
    return text != NULL ? text : otherwise;
}

static void append_field(struct buffer *out, const char *name, const char *text)
{
    if (text[0] != '\0')
        buffer_printf(out, "%s: %s\n", name, text);
}

/* The first line of where in a COPY the server was; other contexts are long and stay in the log. */
static struct slice copy_context(const char *context)
{
    if (strncmp(context, "COPY ", 5) != 0)
        return (struct slice){0};
    return slice_make(context, strcspn(context, "\n"));
}

/* A result without a SQLSTATE is libpq's own: the connection is lost. */
static int lost(struct failure *failure, const PGresult *result)
{
    const char *message = PQresultErrorMessage(result);
    int length = (int)strcspn(message, "\n");
    return failure_passing(
        failure, ERR_UNREACHABLE, "the connection to the server was lost: %.*s", length, message);
}

int failure_of_result(struct failure *failure, const PGresult *result, const struct place_of *place)
{
    const char *sqlstate = field(result, PG_DIAG_SQLSTATE, "");
    const char *message = field(result, PG_DIAG_MESSAGE_PRIMARY, "");
    if (strlen(sqlstate) != SQLSTATE_LENGTH)
        return lost(failure, result);
    const char *context = field(result, PG_DIAG_CONTEXT, "");
    struct slice copy = copy_context(context);
    (void)failure_set(failure, ERR_REFUSED, "%s (SQLSTATE %s%s%.*s)", message, sqlstate,
        copy.length > 0 ? "; " : "", SLICE_PRINT(copy));
    memcpy(failure->sqlstate, sqlstate, sizeof failure->sqlstate);
    failure->retry = failure_may_pass(sqlstate);
    buffer_clear(&failure->report);
    buffer_printf(&failure->report, "%s %s: %s\n", field(result, PG_DIAG_SEVERITY, "ERROR"),
        sqlstate, message);
    point_at(failure, result, place);
    append_field(&failure->report, "detail", field(result, PG_DIAG_MESSAGE_DETAIL, ""));
    append_field(&failure->report, "hint", field(result, PG_DIAG_MESSAGE_HINT, ""));
    append_field(&failure->report, "query", field(result, PG_DIAG_INTERNAL_QUERY, ""));
    append_field(&failure->report, "context", context);
    return failure->error.code;
}

static bool is_sqlstate(const char *text)
{
    for (size_t i = 0; i < SQLSTATE_LENGTH; i++) {
        if (!isdigit((unsigned char)text[i]) && !isupper((unsigned char)text[i]))
            return false;
    }
    return text[SQLSTATE_LENGTH] == ':';
}

/* "FATAL:  28P01: …" in whatever language FATAL is written: two spaces, the code, a colon. */
static const char *find_sqlstate(const char *message)
{
    for (const char *at = message; (at = strstr(at, ":  ")) != NULL; at++) {
        if (is_sqlstate(at + 3))
            return at + 3;
    }
    return NULL;
}

int failure_of_connection(struct failure *failure, const char *where, const char *message)
{
    const char *code = find_sqlstate(message);
    if (code == NULL) {
        /* libpq begins with the address that it tried: keep what comes behind. */
        const char *why = strstr(message, " failed: ");
        why = why != NULL ? why + strlen(" failed: ") : message;
        return failure_passing(failure, ERR_UNREACHABLE, "%s cannot be reached: %.*s", where,
            (int)strcspn(why, "\n"), why);
    }
    const char *text = code + SQLSTATE_LENGTH + 2;
    char sqlstate[SQLSTATE_LENGTH + 1] = {0};
    memcpy(sqlstate, code, SQLSTATE_LENGTH);
    bool login = strncmp(sqlstate, "28", 2) == 0;
    (void)failure_set(failure, login ? ERR_DENIED : ERR_UNREACHABLE, "%s: %.*s (SQLSTATE %s)",
        where, (int)strcspn(text, "\n"), text, sqlstate);
    memcpy(failure->sqlstate, sqlstate, sizeof sqlstate);
    failure->retry = failure_may_pass(sqlstate);
    return failure->error.code;
}
