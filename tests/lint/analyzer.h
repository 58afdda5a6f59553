/*
 * analyzer.h - included first by tests/lint/tidy.sh. The analyzer does not look into other files'
 * functions, and must know that these return `code`, which is never 0; else it follows a failure as
 * if it were a success.
 */
#ifndef TESTS_LINT_ANALYZER_H
#define TESTS_LINT_ANALYZER_H

#include "common/error.h"

#define error_set(error, code, ...) ((void)(error_set)(error, code, __VA_ARGS__), (code))
#define error_set_errno(error, code, ...)                                                          \
    ((void)(error_set_errno)(error, code, __VA_ARGS__), (code))

#endif
