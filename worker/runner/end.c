#include "worker/runner/attempt.h"

#include "common/duration.h"
#include "common/limits.h"
#include "common/memory.h"
#include "common/size.h"

#include <stdlib.h>
#include <sys/wait.h>

void end_put_error(struct attempt *attempt, struct slice text)
{
    free(attempt->error);
    size_t length = text.length < ATTEMPT_ERROR_MAX_BYTES ? text.length : ATTEMPT_ERROR_MAX_BYTES;
    attempt->error = length > 0 ? xstrndup(text.ptr, length) : NULL;
}

static void error_of_duration(struct attempt *attempt, const char *before, uint64_t ms)
{
    char duration[DURATION_TEXT_MAX];
    duration_format(ms, duration);
    free(attempt->error);
    attempt->error = xasprintf("%s %s", before, duration);
}

static void error_of_status(struct attempt *attempt)
{
    const struct msg_runner_exited *end = &attempt->end;
    const char *signal_name = end->signal != 0 ? sigabbrev_np((int)end->signal) : NULL;
    free(attempt->error);
    if (end->signal == 0)
        attempt->error =
            end->exit_code == 0 ? NULL : xasprintf("exited with status %d", (int)end->exit_code);
    else if (signal_name != NULL)
        attempt->error = xasprintf("ended by signal SIG%s", signal_name);
    else
        attempt->error = xasprintf("ended by signal %u", end->signal);
}

/* The machine's want, or its own limit's. */
static void error_of_memory(struct attempt *attempt)
{
    char limit[SIZE_TEXT_MAX];
    char peak[SIZE_TEXT_MAX];
    size_format(attempt->memory_bytes, limit);
    size_format(attempt->memory_peak / 1024 * 1024, peak);
    free(attempt->error);
    if (!attempt->over_limit)
        attempt->error = xasprintf("killed by the kernel: out of memory");
    else
        attempt->error = xasprintf("killed: it needed more than its memory limit of %s%s%s%s; "
                                   "raise `memory`, or let it use less",
            limit, attempt->memory_peak > 0 ? " (peak " : "", attempt->memory_peak > 0 ? peak : "",
            attempt->memory_peak > 0 ? ")" : "");
}

/* The one line for a person. Reasons that came with a runner_kill are told better by whoever gave
 * them. */
static void error_of_end(struct attempt *attempt)
{
    switch (attempt->end.reason) {
    case REASON_TIMEOUT:
        error_of_duration(attempt, "ran longer than its execution_timeout of", attempt->timeout_ms);
        break;
    case REASON_LEASE:
        error_of_duration(attempt, "killed: nobody renewed its lease for", attempt->lease_ms);
        break;
    case REASON_OUT_OF_MEMORY:
        error_of_memory(attempt);
        break;
    case REASON_EXIT_CODE:
    case REASON_SIGNAL:
        error_of_status(attempt);
        break;
    default:
        break;
    }
}

static uint32_t reason_of_end(const struct attempt *attempt)
{
    if (attempt->reason != REASON_NONE)
        return attempt->reason;
    if (attempt->out_of_memory)
        return REASON_OUT_OF_MEMORY;
    return attempt->end.signal == 0 ? REASON_EXIT_CODE : REASON_SIGNAL;
}

void end_add_usage(struct attempt *attempt, const struct runner_event *event)
{
    attempt->end.cpu_us += event->cpu_us;
    if (event->max_rss_kb > attempt->end.max_rss_kb)
        attempt->end.max_rss_kb = event->max_rss_kb;
}

void end_note_refusal(struct attempt *attempt, bool stopping)
{
    uint32_t reason = attempt->reason;
    bool lost = reason == REASON_WORKER_LOST || reason == REASON_WORKER_STOPPED;
    attempt->end = (struct msg_runner_exited){.id = attempt->id, .exit_code = -1};
    /* Nothing is lost with what never ran. */
    attempt->end.reason = reason != REASON_NONE && !lost ? reason : REASON_NOT_STARTED;
    if (stopping)
        end_put_error(attempt, slice_of("not started: the runner is ending"));
    else if (reason == REASON_NONE)
        end_put_error(attempt, slice_of("not started: its lease leaves no time"));
    else if (attempt->end.reason == REASON_NOT_STARTED)
        end_put_error(attempt, slice_of("not started: it was taken back"));
}

void end_note(struct attempt *attempt, const struct runner_event *event)
{
    struct msg_runner_exited *end = &attempt->end;
    end->id = attempt->id;
    end->started_at = attempt->started_at;
    end->exit_code = -1;
    end_add_usage(attempt, event);
    if (event->kind == RUNNER_EVENT_SPAWN_FAILED) {
        end->reason = attempt->reason != REASON_NONE ? attempt->reason : event->reason;
        end->started_at = 0;
        end_put_error(attempt, event->text);
        return;
    }
    if (WIFEXITED(event->status))
        end->exit_code = WEXITSTATUS(event->status);
    else
        end->signal = (uint32_t)WTERMSIG(event->status);
    attempt->out_of_memory = event->out_of_memory;
    attempt->over_limit = event->over_limit && attempt->memory_bytes > 0;
    attempt->memory_peak = event->memory_peak;
    end->reason = reason_of_end(attempt);
    error_of_end(attempt);
}
