#include "common/log.h"

#include "common/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * A line is written by one write(2) of at most PIPE_BUF bytes, so that lines of several threads and
 * processes on one pipe never mix; a longer text is cut. No lock is needed: the settings change
 * only in log_start.
 */
enum { LINE_MAX_BYTES = 4096, TEXT_MAX_BYTES = 4096 };

static struct {
    const char *program;
    enum log_level level;
    bool journal;
} settings = {"reeve", LOG_LEVEL_INFO, false};

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const int journal_priorities[] = {3, 4, 6, 7};

/* systemd names the device and inode of the journal's socket; stderr may have been redirected
 * since. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    uintmax_t device, inode;
    return stream != NULL && sscanf(stream, "%ju:%ju", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

void log_start(const char *program, enum log_level level)
{
    settings.program = program;
    settings.level = level;
    settings.journal = stderr_is_journal();
}

static bool is_control(unsigned char c, unsigned char before)
{
    return c < 0x20 || c == 0x7f || (before == 0xc2 && c >= 0x80 && c < 0xa0);
}

/* Copies text with its control characters (C0, DEL and UTF-8's C1) as \xNN, and ends the line;
 * returns the length. */
static size_t escape(char line[LINE_MAX_BYTES], size_t used, const char *text)
{
    static const char cut[] = "...";
    unsigned char before = 0;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (used + sizeof "\\x00" + sizeof cut > LINE_MAX_BYTES) {
            memcpy(line + used, cut, sizeof cut - 1);
            used += sizeof cut - 1;
            break;
        }
        if (is_control(c, before))
            used += (size_t)snprintf(line + used, LINE_MAX_BYTES - used, "\\x%02x", c);
        else
            line[used++] = (char)c;
        before = c;
    }
    line[used++] = '\n';
    return used;
}

static void write_line(enum log_level level, const char *text)
{
    char line[LINE_MAX_BYTES];
    int head;
    if (settings.journal) {
        head = snprintf(
            line, sizeof line / 2, "<%d>%s: ", journal_priorities[level], settings.program);
    } else {
        char now[CLOCK_TEXT_MAX];
        clock_format_wall(clock_wall_ms(), now);
        head = snprintf(
            line, sizeof line / 2, "%s %s %s: ", now, level_names[level], settings.program);
    }
    size_t used = head < 0 ? 0 : (size_t)head;
    if (used >= sizeof line / 2)
        used = sizeof line / 2 - 1;
    size_t length = escape(line, used, text);
    /* A log that cannot be written has nobody to tell. */
    while (write(STDERR_FILENO, line, length) < 0 && errno == EINTR)
        continue;
}

static void log_text(enum log_level level, const char *format, va_list arguments)
{
    if (level > settings.level)
        return;
    int errno_before = errno;
    char text[TEXT_MAX_BYTES];
    if (vsnprintf(text, sizeof text, format, arguments) >= 0)
        write_line(level, text);
    errno = errno_before;
}

void log_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_text(LOG_LEVEL_ERROR, format, arguments);
    va_end(arguments);
}

void log_warn(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_text(LOG_LEVEL_WARN, format, arguments);
    va_end(arguments);
}

void log_info(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_text(LOG_LEVEL_INFO, format, arguments);
    va_end(arguments);
}

void log_debug(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_text(LOG_LEVEL_DEBUG, format, arguments);
    va_end(arguments);
}
