#include "cli/why.h"

#include "cli/printable.h"

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
