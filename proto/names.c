#include "proto/proto.h"

const char *run_state_name(uint32_t state)
{
    switch (state) {
#define RUN_STATE(name, number, text)                                                              \
    case number:                                                                                   \
        return text;
#include "proto/states.def"
#undef RUN_STATE
    default:
        return "?";
    }
}

const char *task_state_name(uint32_t state)
{
    switch (state) {
#define TASK_STATE(name, number, text)                                                             \
    case number:                                                                                   \
        return text;
#include "proto/states.def"
#undef TASK_STATE
    default:
        return "?";
    }
}

const char *attempt_state_name(uint32_t state)
{
    switch (state) {
#define ATTEMPT_STATE(name, number, text)                                                          \
    case number:                                                                                   \
        return text;
#include "proto/states.def"
#undef ATTEMPT_STATE
    default:
        return "?";
    }
}

const char *worker_state_name(uint32_t state)
{
    switch (state) {
#define WORKER_STATE(name, number, text)                                                           \
    case number:                                                                                   \
        return text;
#include "proto/states.def"
#undef WORKER_STATE
    default:
        return "?";
    }
}

const char *reason_name(uint32_t reason)
{
    switch (reason) {
#define REASON(name, number, text)                                                                 \
    case number:                                                                                   \
        return text;
#include "proto/states.def"
#undef REASON
    default:
        return "?";
    }
}

const char *holding_name(uint32_t holding)
{
    switch (holding) {
#define HOLDING(name, number, text)                                                                \
    case number:                                                                                   \
        return text;
#include "proto/states.def"
#undef HOLDING
    default:
        return "?";
    }
}

uint32_t run_state_of(struct slice name)
{
#define RUN_STATE(constant, number, text)                                                          \
    if (slice_is(name, text))                                                                      \
        return number;
#include "proto/states.def"
#undef RUN_STATE
    return 0;
}

uint32_t task_state_of(struct slice name)
{
#define TASK_STATE(constant, number, text)                                                         \
    if (slice_is(name, text))                                                                      \
        return number;
#include "proto/states.def"
#undef TASK_STATE
    return 0;
}

const char *field_enum_name(enum field_kind kind, uint32_t value)
{
    switch (kind) {
    case FIELD_KIND_RUN_STATE:
        return run_state_name(value);
    case FIELD_KIND_TASK_STATE:
        return task_state_name(value);
    case FIELD_KIND_ATTEMPT_STATE:
        return attempt_state_name(value);
    case FIELD_KIND_WORKER_STATE:
        return worker_state_name(value);
    case FIELD_KIND_REASON:
        return reason_name(value);
    case FIELD_KIND_HOLDING:
        return holding_name(value);
    default:
        return NULL;
    }
}

const char *message_name(uint32_t number)
{
    const struct message_shape *shape = message_shape(number);
    return shape != NULL ? shape->record.name : "?";
}
