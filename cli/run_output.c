#include "cli/run_output.h"

#include "cli/log_follow.h"
#include "cli/terminal.h"
#include "common/clock.h"
#include "common/memory.h"

#include <stdlib.h>

/* After the run's end its logs may lack their rest, when the disk is full or the worker does not
 * come back. */
enum { REST_WITHIN_MS = 15000 };

struct run_output {
    struct follow *follow;
    struct log_job job;
    struct log_wish wish;
    struct log_follower *logs;
    struct follow_beside beside;
    uint64_t lines;
    uint64_t moved_ms; /* BOOT: when the run was seen to have ended, or a line came since; or 0 */
    bool given_up;
};

static void write_lines(void *context, struct slice text)
{
    struct run_output *output = context;
    for (size_t i = 0; i < text.length; i++)
        output->lines += text.ptr[i] == '\n';
    if (output->moved_ms != 0)
        output->moved_ms = clock_boot_ms();
    follow_write(output->follow, text);
}

static int step(void *context, uint64_t *ret_due, struct error *error)
{
    struct run_output *output = context;
    int rc = log_follower_step(output->logs, ret_due, error);
    if (output->moved_ms == 0 && follow_has_ended(output->follow))
        output->moved_ms = clock_boot_ms();
    if (output->moved_ms != 0 && output->moved_ms + REST_WITHIN_MS < *ret_due)
        *ret_due = output->moved_ms + REST_WITHIN_MS;
    return rc;
}

static void take(void *context, const struct message *message)
{
    struct run_output *output = context;
    log_follower_take(output->logs, message);
}

static bool is_over(void *context)
{
    struct run_output *output = context;
    if (output->given_up || log_follower_is_over(output->logs))
        return true;
    output->given_up =
        output->moved_ms != 0 && clock_boot_ms() >= output->moved_ms + REST_WITHIN_MS;
    if (output->given_up) {
        follow_hide(output->follow);
        terminal_say("the rest of the logs has not come");
    }
    return output->given_up;
}

struct run_output *run_output_create(struct client *client, struct follow *follow, const char *run)
{
    struct run_output *output = xcalloc(1, sizeof *output);
    output->follow = follow;
    output->job = (struct log_job){.run = run,
        .style = {.safe = terminal_is_tty(stdout),
            .colour = terminal_has_colour(stdout),
            .names = true},
        .stream = stdout,
        .ends_untold = true,
        .write = write_lines,
        .context = output};
    output->logs = log_follower_create(client, &output->job, &output->wish);
    output->beside =
        (struct follow_beside){.step = step, .take = take, .is_over = is_over, .context = output};
    follow_add_beside(follow, &output->beside);
    return output;
}

void run_output_destroy(struct run_output *output)
{
    if (output == NULL)
        return;
    follow_add_beside(output->follow, NULL);
    log_follower_destroy(output->logs);
    follow_hide(output->follow);
    free(output);
}

uint64_t run_output_lines(const struct run_output *output)
{
    return output->lines;
}
