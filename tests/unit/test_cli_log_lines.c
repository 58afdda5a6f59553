#include "cli/log_lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct log_lines lines;
static struct buffer out;

static void begin(struct log_style style)
{
    const struct log_name name = {"d/1", "load", "load", 2};
    log_lines_init(&lines, &style, &name);
}

static void take(uint64_t offset, const char *bytes, struct log_mark *marks, uint32_t count)
{
    struct msg_log_data data = {.offset = offset, .data = slice_of(bytes)};
    data.marks.items = marks;
    data.marks.count = count;
    log_lines_take(&lines, &data, &out);
}

static void expect(const char *wanted)
{
    log_lines_end(&lines, &out);
    assert_string_equal(buffer_text(&out), wanted);
    log_lines_fini(&lines);
    buffer_fini(&out);
}

static void log_lines_raw_bytes_stay_as_they_are(void **state)
{
    (void)state;
    begin((struct log_style){0});
    take(0, "a\033[1m\r\nb", NULL, 0);
    expect("a\033[1m\r\nb");
}

static void log_lines_on_a_terminal_show_no_escape(void **state)
{
    (void)state;
    begin((struct log_style){.safe = true});
    take(0, "a\033[1m\r\nb", NULL, 0);
    expect("a^[[1m\nb\n");
}

static void log_lines_under_a_name_come_whole(void **state)
{
    (void)state;
    begin((struct log_style){.names = true});
    take(0, "on", NULL, 0);
    assert_int_equal(out.length, 0);
    take(2, "e\n\ntwo", NULL, 0);
    expect("load | one\nload | \nload | two\n");
}

static void log_lines_times_are_those_of_a_lines_first_byte(void **state)
{
    struct log_mark first[] = {{0, 1000}, {4, 2000}}, second[] = {{6, 3000}, {8, 4000}};
    (void)state;
    begin((struct log_style){.times = true});
    take(0, "one\ntw", first, 2);
    take(6, "o\nthree\n", second, 2);
    expect("1970-01-01T00:00:01.000Z one\n1970-01-01T00:00:02.000Z two\n"
           "1970-01-01T00:00:04.000Z three\n");
}

static void log_lines_json_is_a_document_a_line(void **state)
{
    struct log_mark mark[] = {{0, 1000}};
    (void)state;
    begin((struct log_style){.json = true});
    take(0, "say \"hi\" \xff\n", mark, 1);
    expect("{\"run\":\"d/1\",\"task\":\"load\",\"attempt\":2,\"time\":\"1970-01-01T00:00:01.000Z\","
           "\"line\":\"say \\\"hi\\\" \xef\xbf\xbd\"}\n");
}

static void log_lines_endless_line_is_held_in_bounds(void **state)
{
    enum { PIECE = 48 * 1024, PIECES = 100 };
    static char piece[PIECE + 1];
    size_t printed = 0;
    (void)state;
    memset(piece, 'x', PIECE);
    begin((struct log_style){.names = true});
    for (uint64_t i = 0; i < PIECES; i++) {
        take(i * PIECE, piece, NULL, 0);
        assert_true(lines.held.length <= LOG_LINE_MAX_BYTES);
        for (size_t at = 0; at < out.length; at++)
            printed += out.data[at] == 'x';
        buffer_clear(&out);
    }
    log_lines_end(&lines, &out);
    for (size_t at = 0; at < out.length; at++)
        printed += out.data[at] == 'x';
    assert_int_equal(printed, PIECE * PIECES);
    log_lines_fini(&lines);
    buffer_fini(&out);
}

#define RED   "\033[31m"
#define PLAIN "\033[0m"

static void log_lines_traceback_is_coloured_however_it_is_cut(void **state)
{
    static const char log[] =
        "Trace of T\nTraceback (most recent call last):\n  File \"a.py\", line 1\n"
        "    1 / 0\nZeroDivisionError: x\nafter\nTraceback (most";
    static const char wanted[] = "Trace of T\n" RED "Traceback (most recent call last):" PLAIN
                                 "\n" RED "  File \"a.py\", line 1" PLAIN "\n" RED "    1 / 0" PLAIN
                                 "\n" RED "ZeroDivisionError: x" PLAIN "\nafter\nTraceback (most\n";
    (void)state;
    for (size_t cut = 1; cut < sizeof log; cut++) {
        begin((struct log_style){.safe = true, .colour = true});
        for (size_t at = 0; at < sizeof log - 1; at += cut) {
            char piece[sizeof log] = "";
            (void)snprintf(piece, sizeof piece, "%.*s", (int)cut, log + at);
            take(at, piece, NULL, 0);
        }
        expect(wanted);
    }
    begin((struct log_style){.safe = true, .colour = true, .names = true});
    take(0, "Traceback (most recent call last):\n  x\nE: y\nz\n", NULL, 0);
    expect("load | " RED "Traceback (most recent call last):" PLAIN "\nload | " RED "  x" PLAIN
           "\nload | " RED "E: y" PLAIN "\nload | z\n");
    begin((struct log_style){.safe = true});
    take(0, "Traceback (most recent call last):\nE: y\n", NULL, 0);
    expect("Traceback (most recent call last):\nE: y\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_lines_traceback_is_coloured_however_it_is_cut),
        cmocka_unit_test(log_lines_raw_bytes_stay_as_they_are),
        cmocka_unit_test(log_lines_on_a_terminal_show_no_escape),
        cmocka_unit_test(log_lines_under_a_name_come_whole),
        cmocka_unit_test(log_lines_times_are_those_of_a_lines_first_byte),
        cmocka_unit_test(log_lines_json_is_a_document_a_line),
        cmocka_unit_test(log_lines_endless_line_is_held_in_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
