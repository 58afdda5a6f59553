#include "master/io/trace.h"

#include "common/log.h"
#include "proto/proto.h"

void trace_frame(const char *port, uint64_t peer, const char *direction, struct slice frame)
{
    struct arena arena = {0};
    struct buffer line = {0};
    struct frame_reader reader;
    struct message message;
    struct error error = {0};
    int rc = frame_open(frame, &arena, &reader, &error);
    while (rc == 0 && (rc = frame_next(&reader, &message, &error)) == 1) {
        buffer_clear(&line);
        message_print(message.number, message.body, &line);
        log_info("%s %llu %s session=%llx number=%llu ack=%llu %s", port, (unsigned long long)peer,
            direction, (unsigned long long)reader.header.session,
            (unsigned long long)reader.header.number, (unsigned long long)reader.header.ack,
            buffer_text(&line));
        rc = 0;
    }
    if (rc < 0)
        log_info("%s %llu %s %s", port, (unsigned long long)peer, direction, error.text);
    buffer_fini(&line);
    arena_fini(&arena);
}
