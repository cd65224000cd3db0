/* SPDX-License-Identifier: Apache-2.0 */
#include "results/metric.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/record.h"

static void every_row_is_found_by_its_name_and_once(void **state)
{
    (void)state;
    assert_true(tg_metric_count() >= 3);
    for (size_t i = 0; i < tg_metric_count(); i++) {
        const struct tg_metric *metric = tg_metric_at(i);
        assert_ptr_equal(tg_metric_find(metric->name), metric);
        assert_in_range(strlen(metric->name), 1, TG_TEXT_SIZE - 1);
        assert_true(*metric->unit && *metric->meaning);
        assert_null(strpbrk(metric->name, " =*?[\""));
    }
    assert_null(tg_metric_find("speed"));
    assert_null(tg_metric_find(""));
}

static void the_time_of_a_call_is_sampled_positive_and_better_when_lower(void **state)
{
    (void)state;
    const struct tg_metric *time = tg_metric_find("call_time");
    assert_non_null(time);
    assert_string_equal(time->unit, "s");
    assert_int_equal(time->better, TG_LOWER);
    assert_int_equal(time->nature, TG_SAMPLED);
    assert_int_equal(time->sign, TG_POSITIVE);
}

static void an_accuracy_is_fixed_and_better_when_higher(void **state)
{
    (void)state;
    const struct tg_metric *accuracy = tg_metric_find("kernel_accuracy");
    assert_non_null(accuracy);
    assert_int_equal(accuracy->better, TG_HIGHER);
    assert_int_equal(accuracy->nature, TG_FIXED);
    assert_int_equal(accuracy->sign, TG_SHARE);
}

static void bytes_and_what_is_fixed_are_not_of_time(void **state)
{
    (void)state;
    assert_true(tg_metric_is_of_time(tg_metric_find("call_time")));
    assert_true(tg_metric_is_of_time(tg_metric_find("decode_rate")));
    assert_false(tg_metric_is_of_time(tg_metric_find("kernel_accuracy")));
    assert_false(tg_metric_is_of_time(tg_metric_find("peak_memory")));
    assert_false(tg_metric_is_of_time(NULL));
}

static void what_is_worse_is_said_in_words_of_the_metric(void **state)
{
    (void)state;
    assert_string_equal(tg_metric_worse(tg_metric_find("call_time")), "slower");
    assert_string_equal(tg_metric_worse(tg_metric_find("call_cycles")), "slower");
    assert_string_equal(tg_metric_worse(tg_metric_find("decode_rate")), "slower");
    assert_string_equal(tg_metric_worse(tg_metric_find("peak_memory")), "more memory");
    assert_string_equal(tg_metric_worse(tg_metric_find("gpu_memory")), "more memory");
    assert_string_equal(tg_metric_worse(tg_metric_find("logit_divergence")), "worse");
    assert_string_equal(tg_metric_worse(NULL), "worse");
}

static void a_value_is_told_in_the_unit_of_its_metric(void **state)
{
    char out[64];
    (void)state;
    tg_metric_text(tg_metric_find("kernel_accuracy"), 0.999, out, sizeof out);
    assert_string_equal(out, "99.9 %");
    tg_metric_text(tg_metric_find("call_cycles"), 123456, out, sizeof out);
    assert_string_equal(out, "123456 cycle");
    tg_metric_text(tg_metric_find("call_time"), -0.25, out, sizeof out); /* as a slope may be */
    assert_string_equal(out, "-250 ms");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_found_by_its_name_and_once),
        cmocka_unit_test(the_time_of_a_call_is_sampled_positive_and_better_when_lower),
        cmocka_unit_test(an_accuracy_is_fixed_and_better_when_higher),
        cmocka_unit_test(bytes_and_what_is_fixed_are_not_of_time),
        cmocka_unit_test(what_is_worse_is_said_in_words_of_the_metric),
        cmocka_unit_test(a_value_is_told_in_the_unit_of_its_metric),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
