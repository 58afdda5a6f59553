#include "cli/prefix.h"

#include "cli/printable.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 16 * 1024, READ_BYTES = 4096 };

void prefix_open(struct prefix *prefix, int fd, const char *name)
{
    /* Never to be waited for: a writer may live on. */
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    *prefix = (struct prefix){.fd = fd, .name = name};
}

static void write_line(struct prefix *prefix, size_t length)
{
    struct buffer line = {0};
    buffer_printf(&line, "%-6s | ", prefix->name);
    printable_line(slice_make(prefix->held.data, length), &line);
    buffer_append_text(&line, "\n");
    (void)!write(STDERR_FILENO, line.data, line.length);
    buffer_fini(&line);
}

static void write_lines(struct prefix *prefix)
{
    const char *newline;
    while ((newline = memchr(prefix->held.data, '\n', prefix->held.length)) != NULL) {
        size_t end = (size_t)(newline - prefix->held.data);
        write_line(prefix, end);
        buffer_consume(&prefix->held, end + 1);
    }
    if (prefix->held.length >= LINE_MAX_BYTES) {
        write_line(prefix, prefix->held.length);
        buffer_clear(&prefix->held);
    }
}

void prefix_read(struct prefix *prefix)
{
    ssize_t length;
    do {
        length = read(prefix->fd, buffer_reserve(&prefix->held, READ_BYTES), READ_BYTES);
        if (length > 0) {
            prefix->held.length += (size_t)length;
            write_lines(prefix);
        }
    } while (length > 0 || (length < 0 && errno == EINTR));
}

void prefix_close(struct prefix *prefix)
{
    if (prefix->fd < 0)
        return;
    prefix_read(prefix);
    if (prefix->held.length > 0)
        write_line(prefix, prefix->held.length);
    (void)close(prefix->fd);
    buffer_fini(&prefix->held);
    prefix->fd = -1;
}
