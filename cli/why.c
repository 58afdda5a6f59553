#include "cli/why.h"

#include "cli/printable.h"

#include <inttypes.h>

void why_append(const char *state, uint32_t reason, struct slice error, struct buffer *out)
{
    if (error.length > 0) {
        printable_line(error, out);
        return;
    }
    const char *name = reason_name(reason);
    /* "cancelled: cancelled", "upstream_failed: upstream". */
    bool said = strncmp(state, name, strlen(name)) == 0;
    if (reason != REASON_NONE && !said && strcmp(state, task_state_name(TASK_SUCCESS)) != 0)
        buffer_append_text(out, name);
}

void why_append_progress(struct slice text, int64_t done, int64_t total, struct buffer *out)
{
    if (done >= 0)
        buffer_printf(out, "%" PRId64, done);
    if (done >= 0 && total >= 0)
        buffer_printf(out, " of %" PRId64, total);
    if (done >= 0 && text.length > 0)
        buffer_append_text(out, ", ");
    printable_line(text, out);
}
