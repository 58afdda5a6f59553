/* The spark operator: what it hears in spark-submit's output, and how far an application is. */
#include "operators/spark/progress.h"
#include "operators/spark/scan.h"
#include "operators/spark/standalone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct scan scanned(const char *text)
{
    struct scan scan = {0};
    (void)scan_take(&scan, slice_of(text));
    return scan;
}

static void scan_finds_ids_of_every_manager(void **state)
{
    (void)state;
    assert_string_equal(
        scanned("with app ID app-20261121030002-0003\n").application, "app-20261121030002-0003");
    assert_string_equal(
        scanned("Submitted application application_17_0001\n").application, "application_17_0001");
    assert_string_equal(scanned("app ID local-1795230000000\n").application, "local-1795230000000");
    assert_string_equal(scanned("submitted as driver-20261121030002-0001, state\n").driver,
        "driver-20261121030002-0001");
    assert_string_equal(
        scanned("\"submissionId\" : \"driver-2026-0001\",\n").driver, "driver-2026-0001");
    assert_string_equal(scanned("\t pod name: shop-5f1-driver\n").pod, "shop-5f1-driver");
}

static void scan_takes_no_word_that_only_looks_like_one(void **state)
{
    (void)state;
    static const char *const lines[] = {"my-app-1 here\n", "app-x\n", "driver-memory 1g\n",
        "a_driver-20261121030002-0001\n", "local-1\n", "app-1-2_x\n", "pod name: \n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct scan scan = scanned(lines[i]);
        assert_string_equal(scan.application, "");
        assert_string_equal(scan.driver, "");
        assert_string_equal(scan.pod, "");
    }
}

static void scan_first_id_stands(void **state)
{
    (void)state;
    struct scan scan = scanned("app-1-0001\n");
    assert_false(scan_take(&scan, slice_of("the report of app-1-0002\n")));
    assert_string_equal(scan.application, "app-1-0001");
}

static void scan_finds_the_page(void **state)
{
    (void)state;
    assert_string_equal(
        scanned("Bound SparkUI to 0.0.0.0, and started at http://h.example.com:4040\n").ui,
        "http://h.example.com:4040");
    assert_string_equal(
        scanned("started service 'SparkUI' on port 4041.\n").ui, "http://127.0.0.1:4041");
    assert_string_equal(scanned("started service 'SparkUI' on port 99999.\n").ui, "");
}

static void scan_reason_is_the_last_exception(void **state)
{
    (void)state;
    struct scan scan = scanned("Exception in thread \"main\" java.lang.IllegalStateException: a\n"
                               "\tat x.Error: no\n"
                               "Caused by: java.io.IOException: b\n"
                               "26/11/21 WARN Thing: SomeException: not this\n"
                               "No Error here\n"
                               "the end\n");
    assert_string_equal(scan_reason(&scan), "Caused by: java.io.IOException: b");
    scan = scanned("one\ntwo\r\n\n  \n");
    assert_string_equal(scan_reason(&scan), "two");
    scan = scanned("KeyError: 'rows'\n");
    assert_string_equal(scan_reason(&scan), "KeyError: 'rows'");
    scan = scanned("pyspark.errors.exceptions.AnalysisException\n");
    assert_string_equal(scan_reason(&scan), "pyspark.errors.exceptions.AnalysisException");
}

static void scan_puts_a_line_together_that_the_log_cut_into(void **state)
{
    (void)state;
    struct scan scan = scanned(
        "ZeroDivision26/11/24 01:50:13 INFO SparkUI: Bound SparkUI to 0.0.0.0, and started at "
        "http://h.example.com:4040\n"
        "Error: 26/11/24 01:50:13 WARN Thing: SomeException: of app-1-0001\n"
        "division by zero\n"
        "26/11/24 01:50:14 INFO SparkContext: stopped\n");
    assert_string_equal(scan.ui, "http://h.example.com:4040");
    assert_string_equal(scan.application, "app-1-0001");
    assert_string_equal(scan_reason(&scan), "ZeroDivisionError: division by zero");
    scan = scanned("KeyError26/11/24 01:50:13 INFO A: b\n: 'rows'\n");
    assert_string_equal(scan_reason(&scan), "KeyError: 'rows'");
    scan = scanned("ValueError: on 26/11/24 01:50:13 late\n");
    assert_string_equal(scan_reason(&scan), "ValueError: on 26/11/24 01:50:13 late");
    scan = scanned("half of 26/11/24 01:50:13 INFO A: b\n");
    assert_string_equal(scan_reason(&scan), "26/11/24 01:50:13 INFO A: b");
}

static void scan_cut_anywhere_hears_the_same(void **state)
{
    (void)state;
    static const char text[] = "x app-20261121030002-0003 y\nValueError: z\n";
    for (size_t cut = 0; cut < sizeof text; cut++) {
        struct scan scan = {0};
        bool fresh = scan_take(&scan, slice_make(text, cut));
        fresh |= scan_take(&scan, slice_make(text + cut, sizeof text - 1 - cut));
        assert_true(fresh);
        assert_string_equal(scan.application, "app-20261121030002-0003");
        assert_string_equal(scan_reason(&scan), "ValueError: z");
    }
}

static void scan_of_a_line_without_end_keeps_its_beginning(void **state)
{
    (void)state;
    struct scan scan = scanned("RuntimeError: ");
    for (int i = 0; i < 1000; i++)
        (void)scan_take(&scan, slice_of("0123456789012345678901234567890123456789"));
    (void)scan_take(&scan, slice_make("\0\n", 2));
    assert_int_equal(strlen(scan.error), sizeof scan.error - 1);
    assert_memory_equal(scan.error, "RuntimeError: 0123", 18);
}

static void driver_state_knows_sparks_words(void **state)
{
    (void)state;
    assert_int_equal(driver_state_of("FINISHED"), DRIVER_FINISHED);
    assert_int_equal(driver_state_of("RELAUNCHING"), DRIVER_LIVE);
    assert_int_equal(driver_state_of("ERROR"), DRIVER_DEAD);
    assert_int_equal(driver_state_of("UNKNOWN"), DRIVER_UNKNOWN);
    assert_int_equal(driver_state_of("finished"), DRIVER_UNKNOWN);
    assert_int_equal(driver_state_of(NULL), DRIVER_UNKNOWN);
}

static void progress_counts_stages_and_tasks(void **state)
{
    (void)state;
    json_t *stages =
        json_loads("[{\"status\": \"COMPLETE\", \"numTasks\": 4, \"numCompleteTasks\": 4},"
                   " {\"status\": \"ACTIVE\", \"numTasks\": 200, \"numCompleteTasks\": 50},"
                   " {\"status\": \"SKIPPED\", \"numTasks\": 9, \"numCompleteTasks\": 0}, 7, {}]",
            0, NULL);
    struct progress progress = progress_of(stages);
    assert_int_equal(progress.stages, 2);
    assert_int_equal(progress.stages_done, 1);
    assert_int_equal(progress.tasks, 204);
    assert_int_equal(progress.tasks_done, 54);
    json_decref(stages);
    char text[PROGRESS_TEXT_BYTES];
    progress_text(&progress, "http://spark.example.com:4040", text);
    assert_string_equal(text, "1 of 2 stages, http://spark.example.com:4040");
    progress = progress_of(NULL);
    assert_int_equal(progress.stages, 0);
    progress_text(&progress, "http://spark.example.com:4040", text);
    assert_string_equal(text, "http://spark.example.com:4040");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scan_finds_ids_of_every_manager),
        cmocka_unit_test(scan_takes_no_word_that_only_looks_like_one),
        cmocka_unit_test(scan_first_id_stands),
        cmocka_unit_test(scan_finds_the_page),
        cmocka_unit_test(scan_reason_is_the_last_exception),
        cmocka_unit_test(scan_puts_a_line_together_that_the_log_cut_into),
        cmocka_unit_test(scan_cut_anywhere_hears_the_same),
        cmocka_unit_test(scan_of_a_line_without_end_keeps_its_beginning),
        cmocka_unit_test(driver_state_knows_sparks_words),
        cmocka_unit_test(progress_counts_stages_and_tasks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
