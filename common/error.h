/*
 * error.h - error codes, and the one line of text that goes to a person.
 *
 * A function that can fail returns 0 or a negative ERR_ code; the text travels in a caller-owned
 * `struct error`, of fixed size, so that reporting an error never allocates. Every `struct error *`
 * parameter may be NULL. Nothing here logs: a library returns, a program's main or its io adapters
 * log.
 */
#ifndef COMMON_ERROR_H
#define COMMON_ERROR_H

#include <stddef.h>

enum error_code {
    ERR_OK = 0,
#define ERROR(name, number, exit, text) ERR_##name = -(number),
#include "common/errors.def"
#undef ERROR
};

struct error {
    int code;        /* 0 or a negative ERR_ code */
    char text[1000]; /* one line, no newline at its end */
};

/* Sets code and text (printf style, cut at the end when too long) and returns code. */
int error_set(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set, and appends ": " and strerror(errno_value). */
int error_set_errno(struct error *error, int code, int errno_value, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* What a failed write is: ERR_NO_SPACE when the disk or a quota is full, else ERR_IO. */
int error_write_code(int errno_value);
/* What any failed file operation is: ERR_NOT_FOUND and ERR_DENIED are told apart too. */
int error_file_code(int errno_value);

/* Puts "prefix: " before the text that is there. Returns error->code, or 0 when error is NULL. */
int error_prefix(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A code's name in snake_case ("not_found"), its text, and its exit status; "unknown" and 1 for a
 * foreign number. */
const char *error_name(int code);
const char *error_text(int code);
int error_exit_status(int code);

#endif
