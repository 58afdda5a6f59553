#include "operators/probe/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static bool version_of(const char *page, char version[16])
{
    return answer_version(slice_of(page), version, 16);
}

static void probe_version_is_found_in_the_pages_of_spark_3_and_4(void **state)
{
    char version[16] = "";
    (void)state;
    assert_true(version_of("<p><span class=\"version\">3.5.1</span></p>", version));
    assert_string_equal(version, "3.5.1");
    assert_true(version_of("<span class=\"version me-3\">4.3.0</span>", version));
    assert_string_equal(version, "4.3.0");
    assert_true(version_of("<span class=\"version\" style=\"x\">4.0.0-preview</span>", version));
    assert_string_equal(version, "4.0.0-preview");
}

static void probe_page_without_a_sound_version_has_none(void **state)
{
    static const char *const pages[] = {"", "<html>", "<span class=\"version", "class=\"version\">",
        "<span class=\"version\">3.5.1", "<span class=\"version\"></span>",
        "<span class=\"version\">a-rather-long-word-in-its-place</span>"};
    char version[16] = "";
    (void)state;
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        assert_false(version_of(pages[i], version));
    assert_string_equal(version, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probe_version_is_found_in_the_pages_of_spark_3_and_4),
        cmocka_unit_test(probe_page_without_a_sound_version_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
