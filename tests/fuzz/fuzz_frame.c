/* A frame of any bytes: read and printed without harm; what was read is the same when it is sent
 * on. */
#include "proto/proto.h"
#include "proto_random.h"

#include <stdlib.h>

static void message_send_on(const struct message *message, struct arena *arena)
{
    const struct message_shape *shape = message_shape(message->number);
    struct buffer frame = {0};
    struct frame_header header = {.number = shape->numbered ? 1 : 0};
    frame_begin(&frame, &header);
    message_encode(&frame, shape->number, message->body);
    struct frame_reader reader;
    struct message again;
    if (frame_open(buffer_slice(&frame), arena, &reader, NULL) != 0 ||
        frame_next(&reader, &again, NULL) != 1 ||
        !record_equal(&shape->record, message->body, again.body))
        abort();
    buffer_fini(&frame);
}

/* Who looks at the numbers alone sees what is decoded after. */
static void check_number(struct frame_reader reader, const struct message *message)
{
    uint32_t number;
    if (frame_next_number(&reader, &number, NULL) != 1 || number != message->number)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct buffer text = {0};
    struct frame_reader reader;
    struct message message;
    (void)frame_version(slice_make(data, size));
    if (frame_open(slice_make(data, size), &arena, &reader, NULL) == 0) {
        if (frame_version(slice_make(data, size)) != PROTOCOL_VERSION)
            abort();
        struct frame_reader before = reader;
        for (; frame_next(&reader, &message, NULL) == 1; before = reader) {
            check_number(before, &message);
            message_print(message.number, message.body, &text);
            buffer_clear(&text);
            if (message.body != NULL)
                message_send_on(&message, &arena);
        }
    }
    buffer_fini(&text);
    arena_fini(&arena);
    return 0;
}
