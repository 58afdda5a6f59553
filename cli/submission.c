#include "cli/submission.h"

#include "cli/terminal.h"
#include "common/random.h"

#include <stdio.h>

int submission_send(struct client *client, const struct submission *submission,
    char ret_run[SELECTOR_RUN_MAX], bool *ret_existing, struct error *error)
{
    const struct msg_submit ask = {.request = random_id(),
        .file = slice_of(submission->file),
        .dag = slice_of(submission->dag),
        .params = submission->params->texts,
        .date = slice_of(submission->date),
        .key = slice_of(submission->key),
        .again = submission->again,
        .bundle = submission->bundle};
    const void *body;
    int rc = client_ask(client, MESSAGE_submit, &ask, MESSAGE_submitted, &body, error);
    if (rc != 0)
        return rc;
    const struct msg_submitted *submitted = body;
    for (uint32_t i = 0; submission->file == NULL && i < submitted->warnings.count; i++)
        terminal_say("%.*s", SLICE_PRINT(submitted->warnings.items[i]));
    for (uint32_t i = 0; i < submitted->missing.count; i++)
        terminal_say("warning: %.*s", SLICE_PRINT(submitted->missing.items[i]));
    (void)snprintf(ret_run, SELECTOR_RUN_MAX, "%.*s", SLICE_PRINT(submitted->run));
    if (ret_existing != NULL)
        *ret_existing = submitted->existing;
    return 0;
}
