#include "common/suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const char *const keys[] = {"retries", "retry_delay", "execution_timeout", "needs", "env",
    "bash", "queue", "pool", "trigger_rule", "params", NULL};

static void expect(const char *word, const char *wanted)
{
    const char *found = suggest(slice_of(word), keys);
    if (wanted == NULL)
        assert_null(found);
    else
        assert_string_equal(found != NULL ? found : "(none)", wanted);
}

static void suggest_near_words_are_found(void **state)
{
    (void)state;
    expect("retires", "retries"); /* two swapped */
    expect("retrys", "retries");  /* one changed, one added: a third of six */
    expect("need", "needs");      /* one left out */
    expect("needss", "needs");    /* one too many */
    expect("excution_timeuot", "execution_timeout");
    expect("BASH", "bash");
    expect("bsah", "bash");
    expect("envs", "env");
    expect("triggerrule", "trigger_rule");
    expect("retry-delay", "retry_delay");
    expect("en", "env"); /* one edit is always allowed */
}

static void suggest_far_words_are_not(void **state)
{
    (void)state;
    expect("", NULL);
    expect("completely_else", NULL);
    expect("e", NULL);
    static const char *const letters[] = {"a", "b", NULL};
    assert_null(suggest(slice_of("x"), letters));
    expect("bosch", NULL);
    expect("qqqqueue", NULL);
    expect("zzzzz", NULL);
}

static void suggest_nearest_wins_and_the_first_of_equals(void **state)
{
    (void)state;
    const char *const words[] = {"abcdefgg", "abcdefgh", "abcdefgi", NULL};
    assert_string_equal(suggest(slice_of("abcdefgh"), words), "abcdefgh");
    assert_string_equal(suggest(slice_of("abcdefgx"), words), "abcdefgg");
}

static void suggest_takes_no_candidates_and_words_of_any_length(void **state)
{
    (void)state;
    static char word[1000], candidate[66];
    const char *const none[] = {NULL};
    const char *const longest[] = {candidate, NULL};
    assert_null(suggest(slice_of("word"), none));
    memset(word, 'a', sizeof word - 1);
    memset(candidate, 'a', 64);
    assert_null(suggest(slice_of(word), longest));
    assert_ptr_equal(suggest(slice_make(word, 64), longest), candidate);
    assert_ptr_equal(suggest(slice_make(word, 50), longest), candidate);
    candidate[64] = 'a';
    assert_null(suggest(slice_make(word, 64), longest));
}

static void suggest_word_is_not_read_past_its_end(void **state)
{
    (void)state;
    const char text[5] = {'n', 'e', 'e', 'd', 's'};
    assert_string_equal(suggest(slice_make(text, 5), keys), "needs");
    assert_string_equal(suggest(slice_make(text, 4), keys), "needs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suggest_near_words_are_found),
        cmocka_unit_test(suggest_far_words_are_not),
        cmocka_unit_test(suggest_nearest_wins_and_the_first_of_equals),
        cmocka_unit_test(suggest_takes_no_candidates_and_words_of_any_length),
        cmocka_unit_test(suggest_word_is_not_read_past_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
