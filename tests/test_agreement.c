/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/agreement.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/fill.h"

/* Three groups of six: F(2, 15) = 9.3, p = 0.0024. Standard textbook figures of one-way analysis.
 */
static void known_groups_give_the_known_chance(void **state)
{
    (void)state;
    static const double values[] = {6, 8, 4, 5, 3, 4, 8, 12, 9, 11, 6, 8, 13, 9, 11, 8, 7, 12};
    static const int nodes[] = {0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2};
    struct tg_agreement a = tg_agreement_look(values, nodes, 18);
    assert_true(fabs(a.p - 0.00239) < 0.00005);
    assert_int_equal(a.odd, 0);
    assert_true(fabs(a.odd_mean - 5) < 1e-12);
    assert_true(fabs(a.rest_mean - 9.5) < 1e-12);
}

static void one_node_or_one_value_each_says_nothing(void **state)
{
    (void)state;
    static const double values[] = {1, 2, 3, 4};
    static const int same[] = {0, 0, 0, 0}, each[] = {0, 1, 2, 3}, gap[] = {5, 5, 5, 5};
    assert_true(tg_agreement_look(values, NULL, 4).p == 1);
    assert_true(tg_agreement_look(values, same, 4).p == 1);
    assert_true(tg_agreement_look(values, each, 4).p == 1);
    assert_true(tg_agreement_look(values, gap, 4).p == 1);
    assert_true(tg_agreement_look(values, same, 0).p == 1);
    assert_int_equal(tg_agreement_look(values, each, 4).odd, -1);
}

static void values_without_spread_differ_or_do_not(void **state)
{
    (void)state;
    static const double values[] = {1, 1, 1, 3, 3}, equal[] = {1, 1, 1, 1, 1};
    static const int nodes[] = {0, 2, 0, 1, 1};
    struct tg_agreement a = tg_agreement_look(values, nodes, 5);
    assert_true(a.p == 0);
    assert_int_equal(a.odd, 1);
    assert_true(tg_agreement_look(equal, nodes, 5).p == 1);
}

/* As often as p says, and no more: nodes that agree. */
static void nodes_that_agree_are_rarely_called_unlike(void **state)
{
    (void)state;
    double values[40];
    int nodes[40], called = 0;
    uint64_t draws = 11;
    for (int k = 0; k < 4000; k++) {
        for (int i = 0; i < 40; i++) {
            nodes[i] = i % 8;
            values[i] = 0;
            for (int j = 0; j < 12; j++)
                values[i] += (double)(tg_fill_next(&draws) >> 11) * 0x1p-53;
        }
        called += tg_agreement_look(values, nodes, 40).p < 0.01;
    }
    assert_in_range(called, 15, 70); /* 40 are expected */
}

/* Fifteen values each, of which only the first side scatters much: t = -2.46, df = 25, p = 0.021.
 */
static void unequal_spreads_give_the_known_chance(void **state)
{
    (void)state;
    static const double values[] = {27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6,
                                    23.1, 19.6, 19.0, 21.7, 21.4, 27.1, 22.0, 20.8, 23.4, 23.4,
                                    23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4};
    struct tg_side own, rest;
    int nodes[30];
    for (int i = 0; i < 30; i++) nodes[i] = i < 15 ? 3 : i % 2;
    tg_agreement_divide(values, nodes, 30, 3, &own, &rest);
    assert_true(own.count == 15 && rest.count == 15);
    assert_true(fabs(own.mean - 20.82) < 1e-9 && fabs(rest.mean - 22.9866667) < 1e-6);
    assert_true(fabs(tg_agreement_unlike(&own, &rest) - 0.021) < 0.0005);
}

static void five_values_have_no_spread_of_their_own(void **state)
{
    (void)state;
    static const double values[] = {1, 2, 1, 2, 1, 2, 9, 8, 9, 8, 9, 8};
    static const int nodes[] = {0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1};
    struct tg_side own, rest;
    tg_agreement_divide(values, nodes, 11, 1, &own, &rest);
    assert_true(isnan(tg_agreement_unlike(&own, &rest)));
    tg_agreement_divide(values, nodes, 12, 1, &own, &rest);
    assert_true(tg_agreement_unlike(&own, &rest) < 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_groups_give_the_known_chance),
        cmocka_unit_test(one_node_or_one_value_each_says_nothing),
        cmocka_unit_test(values_without_spread_differ_or_do_not),
        cmocka_unit_test(nodes_that_agree_are_rarely_called_unlike),
        cmocka_unit_test(unequal_spreads_give_the_known_chance),
        cmocka_unit_test(five_values_have_no_spread_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
