/*
 * log.h - the program's own log: one line a message on stderr, "2026-11-21T03:00:00.000Z level
 * program: text". Under systemd (JOURNAL_STREAM) with <n> prefixes instead of the time. Control
 * characters are escaped. Thread-safe.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* `program` is borrowed for the life of the process. */
void log_start(const char *program, enum log_level level);
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
