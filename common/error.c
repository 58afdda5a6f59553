#include "common/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct error_row {
    int code;
    int exit_status;
    const char *name;
    const char *text;
};

static const struct error_row rows[] = {
#define ERROR(name, number, exit, text) {-(number), exit, #name, text},
#include "common/errors.def"
#undef ERROR
};

enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

static const struct error_row *row_of(int code)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (rows[i].code == code)
            return &rows[i];
    }
    return NULL;
}

int error_set(struct error *error, int code, const char *format, ...)
{
    if (error == NULL)
        return code;
    va_list arguments;
    va_start(arguments, format);
    error->code = code;
    (void)vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return code;
}

int error_set_errno(struct error *error, int code, int errno_value, const char *format, ...)
{
    if (error == NULL)
        return code;
    va_list arguments;
    va_start(arguments, format);
    error->code = code;
    (void)vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    size_t used = strlen(error->text);
    (void)snprintf(error->text + used, sizeof error->text - used, ": %s", strerror(errno_value));
    return code;
}

int error_prefix(struct error *error, const char *format, ...)
{
    if (error == NULL)
        return 0;
    char old[sizeof error->text];
    memcpy(old, error->text, sizeof old);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    size_t used = strlen(error->text);
    (void)snprintf(
        error->text + used, sizeof error->text - used, ": %.*s", (int)(sizeof old - 1), old);
    return error->code;
}

int error_write_code(int errno_value)
{
    return errno_value == ENOSPC || errno_value == EDQUOT ? ERR_NO_SPACE : ERR_IO;
}

int error_file_code(int errno_value)
{
    switch (errno_value) {
    case ENOENT:
    case ENOTDIR:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    default:
        return error_write_code(errno_value);
    }
}

const char *error_name(int code)
{
    /* Per thread: each may be the first to ask. */
    static _Thread_local char names[ROW_COUNT][24];
    const struct error_row *row = row_of(code);
    if (row == NULL)
        return code == 0 ? "ok" : "unknown";
    char *name = names[row - rows];
    for (size_t i = 0; row->name[i] != '\0' && i < sizeof names[0] - 1; i++) {
        char c = row->name[i];
        name[i] = (c >= 'A' && c <= 'Z') ? (char)(c - 'A' + 'a') : c;
    }
    return name;
}

const char *error_text(int code)
{
    const struct error_row *row = row_of(code);
    return row == NULL ? "unknown error" : row->text;
}

int error_exit_status(int code)
{
    const struct error_row *row = row_of(code);
    if (row == NULL)
        return code == 0 ? 0 : 1;
    return row->exit_status;
}
