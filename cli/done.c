#include "cli/done.h"

#include "cli/document.h"
#include "cli/printable.h"

#include <stdio.h>

void done_print(const struct arguments *arguments, const struct msg_done *done, const char *what,
    const char *otherwise)
{
    struct buffer line = {0};
    if (document_wanted(arguments)) {
        document_print_message(MESSAGE_done, done);
        return;
    }
    if (done->text.length > 0) {
        printable_line(done->text, &line);
    } else {
        printable_line(slice_of(what), &line);
        buffer_append_text(&line, otherwise);
    }
    (void)puts(buffer_text(&line));
    buffer_fini(&line);
}
