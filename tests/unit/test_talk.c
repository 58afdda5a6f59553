/*
 * The agent's end of an operator's socket: the test is the operator, and the next agent.
 */
#include "common/clock.h"
#include "common/file.h"
#include "common/limits.h"
#include "common/memory.h"
#include "worker/io/said.h"
#include "worker/io/talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static const struct attempt_id A = {.run = 7, .attempt = 1};

struct stage {
    struct loop *loop;
    char folder[64];
    struct talk_config config;
    struct talk *talk;
    int operator_end, agent_end; /* the runner's copy of the latter keeps it open */
    uint32_t notes, progresses, breaches;
    uint32_t note;
    int64_t done;
};

static void on_note(void *context, const struct msg_note *note)
{
    struct stage *stage = context;
    stage->notes++;
    stage->note = note->note;
}

static void on_progress(void *context, const struct msg_progress *progress)
{
    struct stage *stage = context;
    stage->progresses++;
    stage->done = progress->done;
}

static void on_breach(void *context, const struct attempt_id *id)
{
    struct stage *stage = context;
    (void)id;
    stage->breaches++;
}

static void stop_loop(void *context)
{
    loop_stop(context);
}

/* Until nothing is left to be read: a round with the timer behind it. */
static void turn(struct stage *stage)
{
    loop_on_timer(stage->loop, stop_loop, stage->loop);
    loop_set_timer(stage->loop, clock_boot_ms() + 1);
    loop_run(stage->loop);
}

static void agent_begins(struct stage *stage)
{
    stage->talk = talk_create(&stage->config, &A, dup(stage->agent_end), 1000);
    talk_listen(stage->talk);
    turn(stage);
}

static int setup(void **state)
{
    struct stage *stage = xcalloc(1, sizeof *stage);
    int ends[2];
    (void)snprintf(stage->folder, sizeof stage->folder, "/tmp/talk.XXXXXX");
    assert_non_null(mkdtemp(stage->folder));
    assert_int_equal(loop_create(&stage->loop, NULL), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    stage->agent_end = ends[0];
    stage->operator_end = ends[1];
    stage->config = (struct talk_config){
        .loop = stage->loop,
        .folder = stage->folder,
        .events = {on_note, on_progress, on_breach, stage},
    };
    agent_begins(stage);
    *state = stage;
    return 0;
}

static int teardown(void **state)
{
    struct stage *stage = *state;
    talk_destroy(stage->talk);
    loop_destroy(stage->loop);
    (void)close(stage->agent_end);
    (void)close(stage->operator_end);
    assert_int_equal(file_remove_tree(stage->folder, NULL), 0);
    free(stage);
    return 0;
}

/* The agent dies, and the next one comes. */
static void agent_changes(struct stage *stage)
{
    talk_destroy(stage->talk);
    agent_begins(stage);
}

static void say(struct stage *stage, const char *text)
{
    assert_int_equal(write(stage->operator_end, text, strlen(text)), strlen(text));
    turn(stage);
}

static void answer(struct stage *stage, uint32_t note)
{
    const struct msg_noted noted = {.id = A, .note = note};
    talk_answer(stage->talk, &noted);
}

static void assert_heard(const struct stage *stage, const char *text)
{
    char got[500];
    ssize_t length = recv(stage->operator_end, got, sizeof got - 1, MSG_DONTWAIT);
    got[length > 0 ? length : 0] = '\0';
    assert_string_equal(got, text);
}

static struct talk_end finish(struct stage *stage)
{
    struct talk_end end;
    talk_finish(stage->talk, &end);
    return end;
}

static const char note_one[] = "{\"type\":\"note\",\"id\":1,\"note\":{}}\n";

static void talk_waits_with_a_note_until_it_is_answered(void **state)
{
    struct stage *stage = *state;
    say(stage, note_one);
    say(stage, "{\"type\":\"progress\",\"done\":1}\n");
    assert_int_equal(stage->notes, 1);
    assert_int_equal(stage->progresses, 0);
    answer(stage, 1);
    assert_heard(stage, "{\"type\":\"noted\",\"id\":1}\n");
    assert_int_equal(stage->progresses, 1);
}

static void talk_note_without_answer_is_seen_by_the_next_agent(void **state)
{
    struct stage *stage = *state;
    say(stage, note_one);
    agent_changes(stage);
    assert_int_equal(stage->notes, 2);
    answer(stage, 1);
    agent_changes(stage);
    assert_int_equal(stage->notes, 2);
}

static void talk_outputs_and_error_are_known_to_the_next_agent(void **state)
{
    struct stage *stage = *state;
    say(stage, "{\"type\":\"output\",\"outputs\":{\"a\":1,\"b\":1}}\n");
    say(stage, "{\"type\":\"output\",\"outputs\":{\"b\":2}}\n");
    say(stage, "{\"type\":\"error\",\"error\":\"no\\nway\",\"retry\":false}\n");
    uint64_t due = talk_due_ms(stage->talk);
    assert_true(due <= clock_boot_ms() + 1000);
    agent_changes(stage);
    assert_int_equal(talk_due_ms(stage->talk), due);
    struct talk_end end = finish(stage);
    assert_int_equal(json_integer_value(json_object_get(end.outputs, "b")), 2);
    assert_int_equal(json_object_size(end.outputs), 2);
    assert_true(slice_is(end.error, "no way"));
    assert_true(end.no_retry);
    assert_int_equal(end.breach.length, 0);
}

static void talk_that_outlives_its_error_is_a_breach(void **state)
{
    struct stage *stage = *state;
    say(stage, "{\"type\":\"error\",\"error\":\"no\"}\n");
    talk_expire(stage->talk, talk_due_ms(stage->talk) - 1);
    assert_int_equal(stage->breaches, 0);
    talk_expire(stage->talk, talk_due_ms(stage->talk));
    assert_int_equal(stage->breaches, 1);
    agent_changes(stage);
    assert_int_equal(stage->breaches, 2);
    assert_true(finish(stage).breach.length > 0);
}

static void talk_line_in_pieces_is_one_line(void **state)
{
    struct stage *stage = *state;
    static const char line[] = "{\"type\":\"progress\",\"done\":42}\n";
    for (size_t i = 0; i < sizeof line - 1; i++) {
        const char letter[2] = {line[i], '\0'};
        say(stage, letter);
    }
    assert_int_equal(stage->done, 42);
    assert_int_equal(stage->breaches, 0);
}

static void talk_tells_breaches_by_their_line(void **state)
{
    struct stage *stage = *state;
    say(stage, "{\"type\":\"progress\"}\n{\"type\":\"result\"}\n{\"type\":\"progress\"}\n");
    assert_int_equal(stage->breaches, 1);
    assert_int_equal(stage->progresses, 1);
    assert_true(slice_is(finish(stage).breach,
        "line 2 on descriptor 3: \"result\" is no type that an operator can say"));
}

static void talk_end_without_end_of_line_is_a_breach(void **state)
{
    struct stage *stage = *state;
    say(stage, "{\"type\":\"progress\"}\n{\"ty");
    assert_true(slice_is(finish(stage).breach, "line 2 on descriptor 3: it has no end"));
}

static void talk_notes_of_an_operator_that_is_over_go_on_their_way(void **state)
{
    struct stage *stage = *state;
    say(stage,
        "{\"type\":\"note\",\"id\":1,\"note\":{}}\n{\"type\":\"note\",\"id\":2,\"note\":{}}\n"
        "{\"type\":\"output\",\"outputs\":{\"a\":1}}\n");
    assert_int_equal(stage->notes, 1);
    struct talk_end end = finish(stage);
    assert_int_equal(stage->notes, 2);
    assert_int_equal(json_object_size(end.outputs), 1);
}

static void talk_flood_is_a_breach(void **state)
{
    struct stage *stage = *state;
    for (int i = 0; i < 3000 && stage->breaches == 0; i++)
        say(stage, "{\"type\":\"progress\"}\n{\"type\":\"progress\"}\n{\"type\":\"progress\"}\n"
                   "{\"type\":\"progress\"}\n{\"type\":\"progress\"}\n{\"type\":\"progress\"}\n");
    assert_int_equal(stage->breaches, 1);
}

static void talk_task_of_any_size_lies_whole_in_the_socket(void **state)
{
    struct stage *stage = *state;
    char *big = xmalloc(OPERATOR_TASK_LINE_MAX_BYTES + 1);
    memset(big, 'x', OPERATOR_TASK_LINE_MAX_BYTES + 1);
    struct error error;
    assert_int_equal(
        talk_tell_task(stage->talk, slice_make(big, OPERATOR_TASK_LINE_MAX_BYTES + 1), &error),
        ERR_TOO_BIG);
    assert_int_equal(
        talk_tell_task(stage->talk, slice_make(big, OPERATOR_TASK_LINE_MAX_BYTES), &error), 0);
    free(big);
}

static void said_lines_are_read_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int code;
    } lines[] = {
        {"{\"type\":\"progress\",\"later\":1}", 0},
        {"{\"type\":\"error\",\"error\":\"x\",\"retry\":true}", 0},
        {"", ERR_INVALID},
        {"[]", ERR_INVALID},
        {"{}", ERR_INVALID},
        {"{\"type\":\"progress\",\"type\":\"progress\"}", ERR_INVALID},
        {"{\"type\":\"progress\",\"done\":-1}", ERR_INVALID},
        {"{\"type\":\"progress\",\"done\":1.5}", ERR_INVALID},
        {"{\"type\":\"progress\",\"text\":1}", ERR_INVALID},
        {"{\"type\":\"note\",\"id\":0,\"note\":{}}", ERR_INVALID},
        {"{\"type\":\"note\",\"id\":4294967296,\"note\":{}}", ERR_INVALID},
        {"{\"type\":\"note\",\"note\":{}}", ERR_INVALID},
        {"{\"type\":\"note\",\"id\":1,\"note\":[]}", ERR_INVALID},
        {"{\"type\":\"output\"}", ERR_INVALID},
        {"{\"type\":\"error\",\"error\":\"\"}", ERR_INVALID},
        {"{\"type\":\"error\",\"error\":\"x\",\"retry\":1}", ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct arena arena = {0};
        struct said said = {0};
        struct error error;
        assert_int_equal(said_parse(slice_of(lines[i].line), &arena, &said, &error), lines[i].code);
        arena_fini(&arena);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(talk_waits_with_a_note_until_it_is_answered),
        TEST(talk_note_without_answer_is_seen_by_the_next_agent),
        TEST(talk_outputs_and_error_are_known_to_the_next_agent),
        TEST(talk_that_outlives_its_error_is_a_breach),
        TEST(talk_line_in_pieces_is_one_line),
        TEST(talk_tells_breaches_by_their_line),
        TEST(talk_end_without_end_of_line_is_a_breach),
        TEST(talk_notes_of_an_operator_that_is_over_go_on_their_way),
        TEST(talk_flood_is_a_breach),
        TEST(talk_task_of_any_size_lies_whole_in_the_socket),
        cmocka_unit_test(said_lines_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
