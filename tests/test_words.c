/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/known_words.h"

static void a_word_is_found_by_axis_and_name(void **state)
{
    (void)state;
    assert_ptr_equal(tg_words_find(&known, "kernel", "i2s_avx2"), &known_list[2]);
    assert_null(tg_words_find(&known, "kernel", "i2s_avx"));
    assert_null(tg_words_find(&known, "kernel", "i2s_*"));
    assert_null(tg_words_find(&known, "model", "i2s_avx2"));
    assert_null(tg_words_find(&known, "", ""));
}

static void an_axis_without_words_takes_any_value(void **state)
{
    (void)state;
    const struct tg_words none = {NULL, 0};
    assert_true(tg_words_cover(&known, "kernel"));
    assert_false(tg_words_cover(&known, "threads"));
    assert_false(tg_words_cover(&none, "kernel"));
    assert_null(tg_words_find(&none, "kernel", "i2s_avx2"));
    assert_false(tg_words_have_trait(&none, "kernel", "isa", NULL));
}

static void a_trait_has_its_whole_name_and_value(void **state)
{
    (void)state;
    const struct tg_word word = {"kernel", "k", " isa=avx2  isa_level=3 op= last=x=y"};
    char value[16] = "kept";
    assert_true(tg_words_trait(&word, "isa", value, sizeof value));
    assert_string_equal(value, "avx2");
    assert_true(tg_words_trait(&word, "isa_level", value, sizeof value));
    assert_string_equal(value, "3");
    assert_true(tg_words_trait(&word, "op", value, sizeof value));
    assert_string_equal(value, "");
    assert_true(tg_words_trait(&word, "last", value, sizeof value));
    assert_string_equal(value, "x=y");
    assert_true(tg_words_trait(&word, "isa", value, 3));
    assert_string_equal(value, "av");
    assert_false(tg_words_trait(&word, "is", value, sizeof value));
    assert_false(tg_words_trait(&word, "level", value, sizeof value));
    assert_false(tg_words_trait(&word, "avx2", value, sizeof value));
    assert_string_equal(value, "av");
}

static void a_trait_belongs_to_its_axis(void **state)
{
    (void)state;
    assert_true(tg_words_have_trait(&known, "kernel", "op", NULL));
    assert_true(tg_words_have_trait(&known, "kernel", "op", "unpack"));
    assert_false(tg_words_have_trait(&known, "kernel", "op", "pack"));
    assert_false(tg_words_have_trait(&known, "kernel", "sign", NULL));
    assert_true(tg_words_have_trait(&known, "metric", "sign", "share"));
}

static void a_pattern_has_a_mark(void **state)
{
    (void)state;
    assert_true(tg_words_is_pattern("i2s_*"));
    assert_true(tg_words_is_pattern("i2s_avx?"));
    assert_true(tg_words_is_pattern("[it]2s"));
    assert_false(tg_words_is_pattern("i2s_avx2"));
    assert_false(tg_words_is_pattern(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_is_found_by_axis_and_name),
        cmocka_unit_test(an_axis_without_words_takes_any_value),
        cmocka_unit_test(a_trait_has_its_whole_name_and_value),
        cmocka_unit_test(a_trait_belongs_to_its_axis),
        cmocka_unit_test(a_pattern_has_a_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
