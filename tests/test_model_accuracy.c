/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/model_accuracy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "tests/tiny_model.h"

static void what_is_the_same_has_no_distance(void **state)
{
    (void)state;
    const float x[] = {1, 2, 3, -1, 0, 5};
    struct tg_model_accuracy a;
    tg_model_accuracy_compare(x, x, 2, 3, &a);
    assert_true(fabs(a.cosine - 1) < 1e-15 && a.scale == 1 && a.agreement == 1 &&
                a.divergence == 0);
}

/* Two tokens: p = 3/4 and 1/4 where the other has them the other way round: ln(3) / 2. */
static void distances_are_those_of_their_formulas(void **state)
{
    (void)state;
    const float three = logf(3), own[] = {0, three, 2, 0}, wanted[] = {three, 0, 1, 0};
    struct tg_model_accuracy a;
    tg_model_accuracy_compare(own, wanted, 1, 2, &a);
    assert_true(fabs(a.cosine) < 1e-7 && a.agreement == 0);
    assert_true(fabs(a.divergence - log(3) / 2) < 1e-6);
    tg_model_accuracy_compare(own, wanted, 2, 2, &a);
    assert_true(fabs(a.cosine) < 1e-7 && a.agreement == 0.5); /* the least, and the share */
    assert_true(a.scale == 2);                                /* of the second */
    const double p = 1 / (1 + exp(-1)), q = 1 / (1 + exp(-2));
    const double second = p * log(p / q) + (1 - p) * log((1 - p) / (1 - q));
    assert_true(fabs(a.divergence - (log(3) / 2 + second) / 2) < 1e-6);
    tg_model_accuracy_compare(wanted, own, 2, 2, &a);
    assert_true(a.scale == 0.5);
}

static void large_logits_do_not_overflow(void **state)
{
    (void)state;
    const float own[] = {3e4f, 1, -3e4f}, wanted[] = {3e4f, 2, -3e4f};
    struct tg_model_accuracy a;
    tg_model_accuracy_compare(own, wanted, 1, 3, &a);
    assert_true(isfinite(a.divergence) && a.divergence >= 0 && a.agreement == 1);
}

static void what_is_not_finite_agrees_with_nothing(void **state)
{
    (void)state;
    const float good[] = {1, 2};
    const float bad[][2] = {{NAN, 2}, {1, INFINITY}, {0, 0}};
    for (int i = 0; i < 3; i++) {
        struct tg_model_accuracy a;
        tg_model_accuracy_compare(bad[i], good, 1, 2, &a);
        assert_true(a.cosine == -1 && a.agreement == 0 && isinf(a.divergence));
        assert_true(isinf(a.scale));
    }
}

/* The host's own pass again gives the same bits; one that does not round is close. */
static void a_session_is_held_against_the_host(void **state)
{
    static const int32_t tokens[] = {5, 300, 7, 42, 9, 11, 2};
    const struct tg_session_options options = {
        .path = tiny_path, .threads = 2, .context = 8, .batch = 4, .device = *state};
    struct tg_model_accuracy own, plain;
    struct tg_session s;
    struct tg_error err;
    if (*state && !tg_forward_device_find(*state)) skip();
    if (tg_session_open(&options, &s, &err) < 0) {
        print_message("%s\n", err.text);
        skip();
    }
    if (tg_model_accuracy_measure(&s, tokens, 7, false, &own, &err) < 0 ||
        tg_model_accuracy_measure(&s, tokens, 7, true, &plain, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(own.cosine >= (s.device && strcmp(s.device->name, "cuda") == 0 ? 0.999 : 1 - 1e-9));
    assert_true(plain.cosine > 0.9 && plain.cosine < 1 - 1e-6);
    tg_session_close(&s);
}

#define ON(device)                                                                                 \
    {                                                                                              \
        "a_session_is_held_against_the_host on " #device, a_session_is_held_against_the_host,      \
            NULL, NULL, (void *)device                                                             \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_the_same_has_no_distance),
        cmocka_unit_test(distances_are_those_of_their_formulas),
        cmocka_unit_test(large_logits_do_not_overflow),
        cmocka_unit_test(what_is_not_finite_agrees_with_nothing),
        ON(NULL),
        ON("fake"),
        ON("cuda"),
    };
    return cmocka_run_group_tests(tests, tiny_make, tiny_drop);
}
