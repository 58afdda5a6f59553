/*
 * The operator's side of the contract: the test is the worker at the other end of the socket.
 */
#include "operators/common/operator.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const char task_line[] =
    "{\"type\":\"task\",\"reeve\":1,\"operator\":\"postgres\",\"run\":\"salaries/17\","
    "\"run_key\":\"00000000000000ab\",\"dag\":\"salaries\",\"task\":\"load\",\"task_index\":3,"
    "\"map_index\":0,\"attempt\":2,\"tag\":\"reeve:00000000000000ab:3:0:2\","
    "\"tag_prefix\":\"reeve:00000000000000ab:3:0:\",\"epoch\":5,\"worker\":\"w1\","
    "\"with\":{\"sql\":\"SELECT 1\",\"autocommit\":true,\"rows\":12,\"none\":null,"
    "\"parameters\":{},\"list\":[]},\"context\":{},"
    "\"connections\":{\"warehouse\":{\"host\":\"db\"}},\"notes\":[],"
    "\"timeout_ms\":0,\"kill_grace_ms\":10000,\"later\":1}\n";

struct stage {
    int worker;
    struct operator_link *link;
    struct error error;
};

static int open_with(struct stage *stage, const char *line)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(write(ends[0], line, strlen(line)), strlen(line));
    *stage = (struct stage){.worker = ends[0]};
    int rc = operator_open(ends[1], &stage->link, &stage->error);
    if (rc != 0)
        (void)close(ends[1]);
    return rc;
}

static void open_stage(struct stage *stage)
{
    assert_int_equal(open_with(stage, task_line), 0);
}

static void close_stage(struct stage *stage)
{
    operator_close(stage->link);
    (void)close(stage->worker);
}

static void answer(const struct stage *stage, const char *line)
{
    assert_int_equal(write(stage->worker, line, strlen(line)), strlen(line));
}

/* What the operator has said, all of it. */
static const char *said(const struct stage *stage)
{
    static char text[200000];
    ssize_t length = recv(stage->worker, text, sizeof text - 1, MSG_DONTWAIT);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

static void operator_task_is_read_by_its_keys(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage);
    const struct operator_task *task = operator_task(stage.link);
    assert_string_equal(task->operator_name, "postgres");
    assert_string_equal(task->run, "salaries/17");
    assert_string_equal(task->tag_prefix, "reeve:00000000000000ab:3:0:");
    assert_int_equal(task->id.run, 0xab);
    assert_int_equal(task->id.task, 3);
    assert_int_equal(task->id.attempt, 2);
    assert_int_equal(task->epoch, 5);
    assert_int_equal(task->kill_grace_ms, 10000);
    assert_int_equal(fcntl(operator_fd(stage.link), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close_stage(&stage);
}

static void operator_bad_task_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int code;
    } bad[] = {
        {"garbage\n", ERR_MALFORMED},
        {"{}\n", ERR_MALFORMED},
        {"{\"type\":\"task\",\"reeve\":2}\n", ERR_VERSION},
        {"{\"type\":\"task\",\"reeve\":1}\n", ERR_MALFORMED},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct stage stage;
        assert_int_equal(open_with(&stage, bad[i].line), bad[i].code);
        (void)close(stage.worker);
    }
    struct error error;
    struct operator_link *link;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(operator_open(fd, &link, &error), ERR_IO);
    (void)close(fd);
}

static void operator_worker_that_is_gone_is_an_error(void **state)
{
    (void)state;
    int ends[2];
    struct error error;
    struct operator_link *link;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    (void)close(ends[0]);
    assert_int_equal(operator_open(ends[1], &link, &error), ERR_IO);
    (void)close(ends[1]);
    struct stage stage;
    open_stage(&stage);
    (void)close(stage.worker);
    assert_int_equal(operator_progress(stage.link, "x", 1, 2, &error), ERR_IO);
    operator_close(stage.link);
}

static void operator_option_has_its_type(void **state)
{
    (void)state;
    static const char *const known[] = {
        "sql", "autocommit", "rows", "none", "parameters", "list", NULL};
    static const char *const fewer[] = {
        "sql", "autocomit", "rows", "none", "parameters", "list", NULL};
    struct stage stage;
    open_stage(&stage);
    struct error *error = &stage.error;
    const json_t *with = operator_task(stage.link)->with;
    const json_t *value = NULL;
    const char *text = "default";
    bool yes = false;
    int64_t rows = 0;
    assert_int_equal(option_text(with, "absent", &text, error), 0);
    assert_int_equal(option_text(with, "none", &text, error), 0);
    assert_string_equal(text, "default");
    assert_int_equal(option_text(with, "sql", &text, error), 0);
    assert_string_equal(text, "SELECT 1");
    assert_int_equal(option_text(with, "rows", &text, error), ERR_INVALID);
    assert_string_equal(error->text, "\"rows\" must be text, not an integer");
    assert_int_equal(option_bool(with, "autocommit", &yes, error), 0);
    assert_true(yes);
    assert_int_equal(option_bool(with, "sql", &yes, error), ERR_INVALID);
    assert_int_equal(option_integer(with, "rows", &rows, error), 0);
    assert_int_equal(rows, 12);
    assert_int_equal(option_integer(with, "sql", &rows, error), ERR_INVALID);
    assert_int_equal(option_object(with, "parameters", &value, error), 0);
    assert_int_equal(option_object(with, "list", &value, error), ERR_INVALID);
    assert_int_equal(option_array(with, "list", &value, error), 0);
    assert_int_equal(option_array(with, "parameters", &value, error), ERR_INVALID);
    assert_int_equal(option_check(with, known, error), 0);
    assert_int_equal(option_check(with, fewer, error), ERR_INVALID);
    assert_string_equal(error->text, "unknown option \"autocommit\"; did you mean \"autocomit\"?");
    close_stage(&stage);
}

static void operator_connection_is_found_by_id(void **state)
{
    (void)state;
    struct stage stage;
    const json_t *connection = NULL;
    open_stage(&stage);
    assert_int_equal(operator_connection(stage.link, NULL, &connection, &stage.error), 0);
    assert_string_equal(json_string_value(json_object_get(connection, "host")), "db");
    assert_int_equal(operator_connection(stage.link, "warehouse", &connection, &stage.error), 0);
    assert_int_equal(
        operator_connection(stage.link, "other", &connection, &stage.error), ERR_NOT_FOUND);
    close_stage(&stage);
}

static void operator_note_waits_for_its_own_answer(void **state)
{
    (void)state;
    struct stage stage;
    json_t *note = json_pack("{s:s}", "application", "app-1");
    open_stage(&stage);
    answer(&stage, "{\"type\":\"noted\",\"id\":1}\n");
    assert_int_equal(operator_note(stage.link, note, &stage.error), 0);
    assert_string_equal(
        said(&stage), "{\"type\":\"note\",\"id\":1,\"note\":{\"application\":\"app-1\"}}\n");
    /* The answer to the first comes again, and something that a later worker says. */
    answer(&stage, "{\"type\":\"noted\",\"id\":1}\n{\"type\":\"later\"}\n"
                   "{\"type\":\"refused\",\"id\":2,\"error\":\"too many\"}\n");
    assert_int_equal(operator_note(stage.link, note, &stage.error), ERR_REFUSED);
    assert_string_equal(stage.error.text, "the note is not kept: too many");
    assert_int_equal(operator_note_wait(stage.link, &stage.error), ERR_NOT_FOUND);
    json_decref(note);
    close_stage(&stage);
}

static void operator_note_over_its_bound_is_not_sent(void **state)
{
    (void)state;
    struct stage stage;
    char *big = calloc(1, OPERATOR_NOTE_MAX_BYTES + 1);
    memset(big, 'x', OPERATOR_NOTE_MAX_BYTES);
    json_t *note = json_pack("{s:s}", "x", big);
    json_t *list = json_array();
    open_stage(&stage);
    assert_int_equal(operator_note(stage.link, note, &stage.error), ERR_TOO_BIG);
    assert_int_equal(operator_note(stage.link, list, &stage.error), ERR_INVALID);
    assert_string_equal(said(&stage), "");
    json_decref(note);
    json_decref(list);
    free(big);
    close_stage(&stage);
}

static void on_signal(int number)
{
    (void)number;
}

struct interruption {
    const struct stage *stage;
    pthread_t whom;
    atomic_bool over;
};

static void *interrupt(void *context)
{
    struct interruption *it = context;
    char text[100];
    /* The note has come: its sender waits, or soon will; signals come until one was seen. */
    (void)recv(it->stage->worker, text, sizeof text, 0);
    while (!atomic_load(&it->over)) {
        (void)pthread_kill(it->whom, SIGUSR1);
        (void)sched_yield();
    }
    return NULL;
}

static void operator_note_gives_way_to_a_signal(void **state)
{
    (void)state;
    struct stage stage;
    struct sigaction action = {.sa_handler = on_signal}, before;
    struct interruption it = {.stage = &stage, .whom = pthread_self()};
    pthread_t thread;
    json_t *note = json_object();
    open_stage(&stage);
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    assert_int_equal(pthread_create(&thread, NULL, interrupt, &it), 0);
    assert_int_equal(operator_note(stage.link, note, &stage.error), ERR_AGAIN);
    atomic_store(&it.over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    answer(&stage, "{\"type\":\"noted\",\"id\":1}\n");
    assert_int_equal(operator_note_wait(stage.link, &stage.error), 0);
    (void)sigaction(SIGUSR1, &before, NULL);
    json_decref(note);
    close_stage(&stage);
}

static void operator_says_outputs_progress_and_error(void **state)
{
    (void)state;
    struct stage stage;
    json_t *outputs = json_pack("{s:i}", "rows", 3);
    open_stage(&stage);
    assert_int_equal(operator_output(stage.link, outputs, &stage.error), 0);
    assert_string_equal(said(&stage), "{\"type\":\"output\",\"outputs\":{\"rows\":3}}\n");
    assert_int_equal(operator_progress(stage.link, "stage 1", 1, -1, &stage.error), 0);
    assert_string_equal(said(&stage), "{\"type\":\"progress\",\"text\":\"stage 1\",\"done\":1}\n");
    assert_int_equal(operator_fail(stage.link, "a\nb \xff", false, &stage.error), 0);
    assert_string_equal(said(&stage), "{\"type\":\"error\",\"error\":\"a b ?\",\"retry\":false}\n");
    json_decref(outputs);
    close_stage(&stage);
}

static void operator_long_error_is_cut_between_letters(void **state)
{
    (void)state;
    struct stage stage;
    char text[OPERATOR_ERROR_MAX_BYTES + 10];
    open_stage(&stage);
    text[0] = 'x';
    for (size_t i = 1; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 3);
    assert_int_equal(operator_fail(stage.link, text, true, &stage.error), 0);
    json_t *line = json_loads(said(&stage), 0, NULL);
    assert_int_equal(json_string_length(json_object_get(line, "error")), 1023);
    json_decref(line);
    close_stage(&stage);
}

static void tag_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct tag tag = {UINT64_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX}, read = {0};
    char text[TAG_MAX], prefix[TAG_MAX];
    tag_format(&tag, text);
    tag_format_prefix(&tag, prefix);
    assert_memory_equal(text, prefix, strlen(prefix));
    assert_true(tag_parse(slice_of(text), &read));
    assert_int_equal(read.run, tag.run);
    assert_int_equal(read.task, tag.task);
    assert_int_equal(read.map, tag.map);
    assert_int_equal(read.attempt, tag.attempt);
    static const char *const bad[] = {"", "reeve:", "reeve:00000000000000ab:3:0",
        "reeve:00000000000000ab:3:0:", "reeve:00000000000000AB:3:0:1",
        "reeve:00000000000000ab:03:0:1", "reeve:00000000000000ab:3:0:1 ",
        "reeve:00000000000000ab:3:0:4294967296", "reeve:ab:3:0:1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(tag_parse(slice_of(bad[i]), &read));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operator_task_is_read_by_its_keys),
        cmocka_unit_test(operator_bad_task_is_refused),
        cmocka_unit_test(operator_worker_that_is_gone_is_an_error),
        cmocka_unit_test(operator_option_has_its_type),
        cmocka_unit_test(operator_connection_is_found_by_id),
        cmocka_unit_test(operator_note_waits_for_its_own_answer),
        cmocka_unit_test(operator_note_over_its_bound_is_not_sent),
        cmocka_unit_test(operator_note_gives_way_to_a_signal),
        cmocka_unit_test(operator_says_outputs_progress_and_error),
        cmocka_unit_test(operator_long_error_is_cut_between_letters),
        cmocka_unit_test(tag_is_read_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
