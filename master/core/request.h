/*
 * request.h - what clients ask to be changed, and how they are answered; for the core's own files.
 * Every change is recorded with its request's id and answered once it is durable; asked again, the
 * first answer is given again. What a request came to is kept for the audit log until the step's
 * end.
 */
#ifndef MASTER_CORE_REQUEST_H
#define MASTER_CORE_REQUEST_H

#include "master/core/core.h"

/* What became of the client event of this step. Texts lie in the effects' arena. */
struct outcome {
    bool changed; /* something was, or was asked for that had been done before */
    bool refused;
    struct slice target; /* as it is known since, or empty: as the event says */
    struct slice text;   /* one line, or empty */
};

void request_submit(struct core *core, const struct event *event);
void request_cancel(struct core *core, const struct event *event);
void request_retry(struct core *core, const struct event *event);
void request_mark(struct core *core, const struct event *event);
/* Answers again what was answered before; false when the request is new. */
bool request_repeat(struct core *core, const struct event *event);
void requests_fini(struct core *core);

/* ---- answers; each event has one ---- */

/* That nothing changed: not recorded. */
void request_answer(
    struct core *core, const struct event *event, enum message_id number, const void *body);
/* To a change that was made: kept and recorded. */
void request_answer_change(
    struct core *core, const struct event *event, enum message_id number, const void *body);
/* `done`, as request_answer_change; `tasks`: how many were touched. */
void request_accept(struct core *core, const struct event *event, uint32_t tasks, const char *text);
void request_refuse(struct core *core, const struct event *event, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
