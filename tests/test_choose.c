/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/choose.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

static int32_t choose(const float *logits, int64_t count, struct tg_choice *choice)
{
    struct tg_error err;
    const int32_t id = tg_choose_token(logits, count, choice, &err);
    assert_true(id >= 0 && id < count);
    return id;
}

static void without_temperature_the_first_of_the_best_is_taken(void **state)
{
    (void)state;
    const float logits[] = {1, 3, 2, 3};
    struct tg_choice choice = {.temperature = 0, .seed = 1};
    for (int i = 0; i < 5; i++) assert_int_equal(choose(logits, 4, &choice), 1);
    assert_int_equal(choice.seed, 1);
    assert_int_equal(tg_choose_best(logits, 1), 0);
}

static void what_is_no_number_is_never_the_best(void **state)
{
    (void)state;
    const float rows[][3] = {{NAN, 1, 2}, {NAN, -INFINITY, NAN}, {NAN, NAN, NAN}, {0, INFINITY, 1}};
    static const int32_t best[] = {2, 0, 0, 1};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int temperature = 0; temperature < 2; temperature++) {
            struct tg_choice choice = {.temperature = temperature, .top_p = 1, .seed = 1};
            struct tg_error err = {""};
            assert_int_equal(tg_choose_token(rows[i], 3, &choice, &err), -1);
            assert_string_equal(err.text, "a logit is not finite");
        }
        assert_int_equal(tg_choose_best(rows[i], 3), best[i]);
    }
}

static void tokens_are_drawn_as_often_as_their_shares_say(void **state)
{
    (void)state;
    const float logits[] = {logf(1), logf(2), logf(5), -100};
    struct tg_choice choice = {.temperature = 1, .top_p = 1, .seed = 3};
    int counts[4] = {0};
    for (int i = 0; i < 8000; i++) counts[choose(logits, 4, &choice)]++;
    /* 1000, 2000 and 5000 are wanted; 5 deviations are at most 5 sqrt(8000 / 4) = 224 */
    assert_true(abs(counts[0] - 1000) < 224 && abs(counts[1] - 2000) < 224);
    assert_true(abs(counts[2] - 5000) < 224 && counts[3] == 0);
}

static void only_the_best_are_drawn_from(void **state)
{
    (void)state;
    const float logits[] = {0, 0.3f, 0.2f, 0.1f, -1};
    struct tg_choice few = {.temperature = 1, .top_k = 2, .top_p = 1, .seed = 5};
    struct tg_choice share = {.temperature = 1, .top_p = 0.4, .seed = 5};
    static const double cold[] = {1e-3, 1e-40, 1e-46, 5e-324};
    for (int i = 0; i < 500; i++) {
        struct tg_choice least = {
            .temperature = cold[i % 4], .top_p = i % 3 ? 1 : 0.95, .seed = (uint64_t)i};
        const int32_t one = choose(logits, 5, &few), two = choose(logits, 5, &share);
        assert_true(one == 1 || one == 2);
        assert_true(two == 1 || two == 2); /* 0.27 and 0.24 of all */
        assert_int_equal(choose(logits, 5, &least), 1);
    }
}

static void the_same_seed_draws_the_same(void **state)
{
    (void)state;
    float logits[100];
    struct tg_choice one = {.temperature = 2, .top_k = 40, .top_p = 0.9, .seed = 8}, other = one;
    int differ = 0;
    for (int i = 0; i < 100; i++) logits[i] = (float)(i * 37 % 100) / 50;
    for (int i = 0; i < 50; i++)
        assert_int_equal(choose(logits, 100, &one), choose(logits, 100, &other));
    other.seed = 9;
    for (int i = 0; i < 50; i++) differ += choose(logits, 100, &one) != choose(logits, 100, &other);
    assert_true(differ > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_temperature_the_first_of_the_best_is_taken),
        cmocka_unit_test(what_is_no_number_is_never_the_best),
        cmocka_unit_test(tokens_are_drawn_as_often_as_their_shares_say),
        cmocka_unit_test(only_the_best_are_drawn_from),
        cmocka_unit_test(the_same_seed_draws_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
