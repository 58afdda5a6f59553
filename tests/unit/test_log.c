#include "common/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* stderr is a file while a test writes; `text` is what came. */
struct capture {
    int saved, file;
    char text[200000];
};

static int set_up(void **state)
{
    static struct capture fresh;
    struct capture *capture = &fresh;
    FILE *file = tmpfile();
    if (file == NULL)
        return -1;
    capture->saved = dup(STDERR_FILENO);
    capture->file = dup(fileno(file));
    (void)fclose(file);
    (void)fcntl(capture->file, F_SETFL, O_APPEND);
    (void)dup2(capture->file, STDERR_FILENO);
    (void)unsetenv("JOURNAL_STREAM");
    *state = capture;
    return 0;
}

static const char *written(struct capture *capture)
{
    (void)dup2(capture->saved, STDERR_FILENO);
    ssize_t length = pread(capture->file, capture->text, sizeof capture->text - 1, 0);
    capture->text[length < 0 ? 0 : length] = '\0';
    return capture->text;
}

static int tear_down(void **state)
{
    struct capture *capture = *state;
    (void)dup2(capture->saved, STDERR_FILENO);
    (void)close(capture->saved);
    (void)close(capture->file);
    return 0;
}

static void assert_matches(const char *text, const char *pattern)
{
    regex_t compiled;
    assert_int_equal(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB), 0);
    int rc = regexec(&compiled, text, 0, NULL, 0);
    regfree(&compiled);
    if (rc != 0)
        fail_msg("\"%s\" does not match %s", text, pattern);
}

static void log_line_has_time_level_program_and_text(void **state)
{
    struct capture *capture = *state;
    log_start("reeve-test", LOG_LEVEL_DEBUG);
    log_error("%s %d", "one", 1);
    log_warn("two");
    log_info("three");
    log_debug("four");
    assert_matches(written(capture),
        "^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z error reeve-test: one 1\n"
        "[^ ]+Z warn reeve-test: two\n[^ ]+Z info reeve-test: three\n[^ ]+Z debug reeve-test: "
        "four\n$");
}

static void log_below_the_level_is_not_written(void **state)
{
    struct capture *capture = *state;
    log_start("reeve-test", LOG_LEVEL_WARN);
    log_info("no");
    log_debug("no");
    log_warn("yes");
    assert_matches(written(capture), "^[^\n]* warn reeve-test: yes\n$");
}

/* What a peer or a task said must not move a terminal's cursor, nor forge a line. */
static void log_control_characters_are_escaped(void **state)
{
    struct capture *capture = *state;
    log_start("p", LOG_LEVEL_INFO);
    log_info("%s", "a\nb\r\t\x1b[31m\x7f \xc2\x9b \xc3\xa4");
    const char *text = written(capture);
    assert_non_null(strstr(text, "p: a\\x0ab\\x0d\\x09\\x1b[31m\\x7f \xc2\\x9b \xc3\xa4\n"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void log_long_text_is_cut_to_one_line(void **state)
{
    struct capture *capture = *state;
    static char text[20000];
    memset(text, 'x', sizeof text - 1);
    log_start("p", LOG_LEVEL_INFO);
    log_info("%s", text);
    memset(text, '\x01', sizeof text - 1);
    log_info("%s", text);
    const char *line = written(capture);
    const char *end = strchr(line, '\n');
    assert_non_null(end);
    assert_true(end - line < 4096);
    assert_memory_equal(end - 6, "xxx...", 6);
    assert_true(strlen(end + 1) <= 4096);
    assert_string_equal(end + 1 + strlen(end + 1) - 4, "...\n");
}

static void log_keeps_errno(void **state)
{
    (void)written(*state);
    (void)close(STDERR_FILENO);
    errno = ERANGE;
    log_error("into nowhere");
    assert_int_equal(errno, ERANGE);
}

static void log_under_systemd_has_a_priority_and_no_time(void **state)
{
    struct capture *capture = *state;
    struct stat status;
    char stream[64];
    assert_int_equal(fstat(STDERR_FILENO, &status), 0);
    (void)snprintf(
        stream, sizeof stream, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    (void)setenv("JOURNAL_STREAM", stream, 1);
    log_start("reeve-test", LOG_LEVEL_DEBUG);
    log_error("a");
    log_warn("b");
    log_info("c");
    log_debug("d");
    assert_string_equal(written(capture),
        "<3>reeve-test: a\n<4>reeve-test: b\n<6>reeve-test: c\n<7>reeve-test: d\n");
}

static void log_of_a_redirected_stderr_is_not_the_journal(void **state)
{
    struct capture *capture = *state;
    (void)setenv("JOURNAL_STREAM", "1:1", 1);
    log_start("reeve-test", LOG_LEVEL_INFO);
    log_info("c");
    assert_matches(written(capture), "^20[^ ]*Z info reeve-test: c\n$");
}

enum { THREADS = 4, LINES = 500 };

static void *write_lines(void *context)
{
    for (int i = 0; i < LINES; i++)
        log_info("%s", (const char *)context);
    return NULL;
}

static void log_lines_of_several_threads_do_not_mix(void **state)
{
    struct capture *capture = *state;
    pthread_t threads[THREADS];
    static char texts[THREADS][41];
    log_start("p", LOG_LEVEL_INFO);
    for (int i = 0; i < THREADS; i++) {
        memset(texts[i], 'a' + i, 40);
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, texts[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    int lines = 0;
    const char *line = written(capture);
    for (const char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        lines++;
        assert_true(end - line > 40);
        for (const char *at = end - 40; at < end; at++)
            assert_int_equal(*at, end[-1]);
    }
    assert_int_equal(lines, THREADS * LINES);
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(log_line_has_time_level_program_and_text),
        LOG_TEST(log_below_the_level_is_not_written),
        LOG_TEST(log_control_characters_are_escaped),
        LOG_TEST(log_long_text_is_cut_to_one_line),
        LOG_TEST(log_keeps_errno),
        LOG_TEST(log_under_systemd_has_a_priority_and_no_time),
        LOG_TEST(log_of_a_redirected_stderr_is_not_the_journal),
        LOG_TEST(log_lines_of_several_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
