/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fill.h"
#include "kernels/lanes.h"
#include "worker/model/tensor_type.h"

enum { MOST = 1024, ROWS = 7 };

/* Lengths at the edges of registers, lanes and chunks. */
static const int64_t lengths[] = {1, 7, 8, 15, 16, 17, 63, 64, 65, 100, 128, 250, 256, 320, 777};

static float x[MOST], y[MOST], wanted[MOST], got[MOST];
static uint8_t rows[ROWS * MOST * 4];

static void fill(uint64_t seed)
{
    tg_fill_normal(seed, x, MOST);
    tg_fill_normal(seed + 1, y, MOST);
}

/* Each row of the table but the first, on this machine. */
static const struct tg_vector *next_here(size_t *i)
{
    while (++*i < tg_vector_count())
        if (tg_vector_at(*i)->here()) return tg_vector_at(*i);
    return NULL;
}

/* Bit for bit, but for those of a NaN. */
static void same(const char *what, const struct tg_vector *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&wanted[i], &got[i], sizeof *got) != 0 && !(isnan(wanted[i]) && isnan(got[i])))
            fail_msg("%s of %s, number %lld of %lld: %a, not %a", what, v->isa, (long long)i,
                     (long long)n, (double)got[i], (double)wanted[i]);
}

static void every_row_gives_the_bits_of_the_scalar_one(void **state)
{
    (void)state;
    const struct tg_vector *s = tg_vector_at(0), *v;
    assert_string_equal(s->isa, "scalar");
    for (size_t i = 0; (v = next_here(&i));) {
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            const int64_t n = lengths[k];
            int8_t q[2][MOST];
            int32_t sums[MOST];
            fill(k + 1);
            s->norm(x, y, 1e-5f, n, wanted);
            v->norm(x, y, 1e-5f, n, got);
            same("norm", v, n);
            assert_true(s->quantise(x, n, q[0]) == v->quantise(x, n, q[1]));
            assert_memory_equal(q[0], q[1], (size_t)n);
            for (int64_t c = 0; c < n; c++) sums[c] = (int32_t)(x[c] * 1e5f);
            s->rescale(sums, 31.7f, 0.013f, n, wanted);
            v->rescale(sums, 31.7f, 0.013f, n, got);
            same("rescale", v, n);
            for (int gate = 0; gate < 2; gate++) {
                memcpy(wanted, x, sizeof x);
                memcpy(got, x, sizeof x);
                (gate ? s->gate_silu : s->gate_squared_relu)(wanted, y, n);
                (gate ? v->gate_silu : v->gate_squared_relu)(got, y, n);
                same("gate", v, MOST);
            }
            for (int64_t c = 0; c < n; c++) wanted[c] = got[c] = 40 * x[c];
            s->softmax(wanted, n);
            v->softmax(got, n);
            same("softmax", v, n);
        }
    }
}

static void a_token_that_is_not_finite_has_no_scale(void **state)
{
    (void)state;
    static const float none[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (size_t row = 0; row < tg_vector_count(); row++) {
        const struct tg_vector *v = tg_vector_at(row);
        if (!v->here()) continue;
        for (size_t k = 0; k < 12 * (sizeof lengths / sizeof *lengths); k++) {
            const int64_t n = lengths[k / 12], at[] = {0, n / 2, n - 1};
            int8_t q[MOST], zeros[MOST] = {0};
            fill(k + 1);
            x[at[k % 3]] = none[k / 3 % 4];
            memset(q, 1, sizeof q);
            if (!isnan(v->quantise(x, n, q)) || memcmp(q, zeros, (size_t)n) != 0)
                fail_msg("%s quantises %lld numbers, of which number %lld is %g", v->isa,
                         (long long)n, (long long)at[k % 3], (double)none[k / 3 % 4]);
        }
    }
}

/* Divisors at random and at the ends of what a float is; sums up to where floats end being whole.
 */
static void results_are_divided_as_by_a_division(void **state)
{
    static int32_t sums[MOST];
    static const float odd[] = {
        1,        3,      0x1.fffffep3f, 0x1.fffffcp3f, 0x1.000002p9f, 0x1p-60f, 0x1p60f, 0x1p-120f,
        0x1p120f, 1e-40f, 127 / 1e-5f,   INFINITY,      NAN,           0,        -5.5f};
    enum { ODD = sizeof odd / sizeof *odd };
    const struct tg_vector *s = tg_vector_find("scalar"), *v;
    uint64_t draw = 9;
    (void)state;
    for (size_t row = 0; (v = next_here(&row));) {
        for (int i = 0; i < 4000; i++) {
            float by = 127 / (1e-5f + 0x1p-53f * (float)(tg_fill_next(&draw) >> 8));
            if (i < ODD) by = odd[i];
            for (int64_t k = 0; k < MOST; k++) {
                const int bits = (int)(tg_fill_next(&draw) % 25);
                sums[k] = (int32_t)(tg_fill_next(&draw) >> 20 & ((1u << bits) - 1));
                if (k % 2) sums[k] = -sums[k];
            }
            s->rescale(sums, by, 0.013f, MOST, wanted);
            v->rescale(sums, by, 0.013f, MOST, got);
            same("rescale", v, MOST);
        }
    }
}

static void fill_halves(int64_t n)
{
    for (int64_t i = 0; i < ROWS * n; i++) {
        const uint16_t bits = tg_lanes_to_f16(y[i % MOST] * (float)(1 + i % 5));
        memcpy(rows + 2 * i, &bits, sizeof bits);
    }
}

static void rows_of_numbers_give_the_bits_of_the_scalar_one(void **state)
{
    (void)state;
    const struct tg_vector *s = tg_vector_at(0), *v;
    uint16_t halves[2][MOST];
    for (size_t i = 0; (v = next_here(&i));) {
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            const int64_t n = lengths[k];
            fill(k + 40);
            memset(wanted, 0, sizeof wanted);
            memset(got, 0, sizeof got);
            fill_halves(n);
            s->dots_f16(rows, 2 * n, ROWS, x, n, wanted);
            v->dots_f16(rows, 2 * n, ROWS, x, n, got);
            same("dots_f16", v, ROWS + 1);
            s->dots_bf16(rows, 2 * n, ROWS, x, n, wanted);
            v->dots_bf16(rows, 2 * n, ROWS, x, n, got);
            same("dots_bf16", v, ROWS + 1);
            s->mix_f16(rows, 2 * n, ROWS, x, n, wanted);
            v->mix_f16(rows, 2 * n, ROWS, x, n, got);
            same("mix_f16", v, n);
            for (int64_t c = 0; c < ROWS * n; c++) memcpy(rows + 4 * c, &y[c % MOST], 4);
            s->dots_f32(rows, 4 * n, ROWS, x, n, wanted);
            v->dots_f32(rows, 4 * n, ROWS, x, n, got);
            same("dots_f32", v, ROWS);
            s->mix_f32(rows, 4 * n, ROWS, x, n, wanted);
            v->mix_f32(rows, 4 * n, ROWS, x, n, got);
            same("mix_f32", v, n);
            for (int64_t c = 0; c < n; c++) x[c] *= c % 3 ? 1 : 1e-6f;
            s->to_f16(x, n, halves[0]);
            v->to_f16(x, n, halves[1]);
            assert_memory_equal(halves[0], halves[1], (size_t)(2 * n));
        }
    }
}

/* In turn, each in a place of its own among finite numbers; lengths with and without an end. */
static void halves_that_are_not_finite_are_so_in_every_row(void **state)
{
    (void)state;
    static const uint16_t none[] = {0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xffff};
    const struct tg_vector *s = tg_vector_at(0), *v;
    for (size_t i = 0; (v = next_here(&i));) {
        for (int64_t k = 0; k < 5 * 3 * 64; k++) {
            const int64_t n = 64 + k % 3 * 37, r = k / 3 % ROWS, at = r * n + k / 15;
            fill((uint64_t)k);
            fill_halves(n);
            memcpy(rows + 2 * at, &none[k % 5], 2);
            if (k % 2) x[k / 15] = x[r] = 0;
            memset(wanted, 0, sizeof wanted);
            memset(got, 0, sizeof got);
            s->dots_f16(rows, 2 * n, ROWS, x, n, wanted);
            v->dots_f16(rows, 2 * n, ROWS, x, n, got);
            assert_false(isfinite(wanted[r]));
            same("dots_f16", v, ROWS + 1);
            v->dots_f16_many(rows, 2 * n, ROWS, x, 1, n, got);
            same("dots_f16_many", v, ROWS + 1);
            s->mix_f16(rows, 2 * n, ROWS, x, n, wanted);
            v->mix_f16(rows, 2 * n, ROWS, x, n, got);
            assert_false(isfinite(wanted[k / 15]));
            same("mix_f16", v, n);
            v->mix_f16_many(rows, 2 * n, ROWS, x, 1, n, got);
            same("mix_f16_many", v, n);
        }
    }
}

static void what_is_not_finite_goes_through_gates_and_softmax(void **state)
{
    (void)state;
    static const float none[] = {NAN, INFINITY, -INFINITY};
    const struct tg_vector *s = tg_vector_at(0);
    for (size_t row = 0; row < tg_vector_count(); row++) {
        const struct tg_vector *v = tg_vector_at(row);
        if (!v->here()) continue;
        for (int64_t k = 0; k < 3 * 100; k++) {
            const int64_t n = 100;
            fill((uint64_t)k);
            x[k / 3] = none[k % 3];
            for (int gate = 0; gate < 2; gate++) {
                memcpy(wanted, x, sizeof x);
                memcpy(got, x, sizeof x);
                (gate ? s->gate_silu : s->gate_squared_relu)(wanted, y, n);
                (gate ? v->gate_silu : v->gate_squared_relu)(got, y, n);
                assert_true(k % 3 > 0 || isnan(got[k / 3]));
                same("gate", v, n);
            }
            memcpy(wanted, x, sizeof x);
            memcpy(got, x, sizeof x);
            s->softmax(wanted, n);
            v->softmax(got, n);
            for (int64_t i = 0; i < n; i++) assert_true(k % 3 == 2 || isnan(got[i]));
            same("softmax", v, n);
        }
    }
}

/* Rows up to two registers of totals and one more, and more lists than are taken together. */
static void many_give_the_bits_of_each_alone(void **state)
{
    (void)state;
    enum { ROWS_MOST = 33, MANY = 9, N_MOST = 320 };
    static float xs[MANY * N_MOST], shares[MANY * ROWS_MOST];
    static uint8_t halves[2 * ROWS_MOST * N_MOST];
    static float one[MANY * N_MOST], all[MANY * N_MOST];
    static const int64_t widths[] = {1, 16, 63, 64, 65, 80, 128, 200, 320};
    static const int64_t counts[] = {1, 2, 15, 16, 17, 33};
    tg_fill_normal(3, xs, MANY * N_MOST);
    tg_fill_normal(4, shares, MANY * ROWS_MOST);
    for (size_t i = 0; i < ROWS_MOST * N_MOST; i++) {
        const uint16_t bits = tg_lanes_to_f16(xs[i % (MANY * N_MOST)] * (float)(1 + i % 7));
        memcpy(halves + 2 * i, &bits, sizeof bits);
    }
    for (size_t row = 0; row < tg_vector_count() * 9 * 6 * MANY; row++) {
        const struct tg_vector *s = tg_vector_at(0), *v = tg_vector_at(row / (9 * 6 * MANY));
        const int64_t n = widths[row / (6 * MANY) % 9], count = counts[row / MANY % 6];
        const int64_t many = (int64_t)(row % MANY) + 1;
        if (!v->here()) continue;
        memset(one, 0x5a, sizeof one);
        memset(all, 0x5a, sizeof all);
        for (int64_t q = 0; q < many; q++)
            s->dots_f16(halves, 2 * n, count, xs + q * n, n, one + q * count);
        v->dots_f16_many(halves, 2 * n, count, xs, many, n, all);
        assert_memory_equal(one, all, sizeof one);
        memset(one, 0x5a, sizeof one);
        memset(all, 0x5a, sizeof all);
        for (int64_t q = 0; q < many; q++)
            s->mix_f16(halves, 2 * n, count, shares + q * count, n, one + q * n);
        v->mix_f16_many(halves, 2 * n, count, shares, many, n, all);
        assert_memory_equal(one, all, sizeof one);
    }
}

/* Also that they are what the types of files mean. */
static void blocks_are_read_as_their_types_say(void **state)
{
    (void)state;
    static const char *const names[] = {"F16", "BF16", "Q8_0", "Q6_K"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const struct tg_tensor_type *type = tg_tensor_type_find(names[k]);
        const int64_t n = 768, bytes = tg_tensor_type_bytes(type, 1, n);
        float numbers[768];
        uint64_t random = 3;
        double sum = 0;
        fill(9);
        for (int64_t i = 0; i < bytes; i++) rows[i] = (uint8_t)tg_fill_next(&random);
        if (type->block_weights == 1)
            for (int64_t i = 1; i < bytes; i += 2) rows[i] &= k ? 0xbf : 0xb7; /* no infinity */
        for (int64_t at = k == 2 ? 1 : 209; k > 1 && at < bytes; at += type->block_bytes)
            rows[at] = 0x20;
        assert_int_equal(tg_tensor_type_decode(type, rows, n, numbers), 0);
        double size = 0;
        for (int64_t i = 0; i < n; i++) {
            sum += (double)numbers[i] * (double)x[i];
            size += fabs((double)numbers[i] * (double)x[i]);
        }
        for (size_t i = 0; i < tg_vector_count(); i++) {
            const struct tg_vector *v = tg_vector_at(i);
            if (!v->here()) continue;
            (k == 0   ? v->dots_f16
             : k == 1 ? v->dots_bf16
             : k == 2 ? v->dots_q8_0
                      : v->dots_q6_k)(rows, bytes, 1, x, n, got);
            if (i == 0) wanted[0] = got[0];
            same(names[k], v, 1);
            /* 12 + 6 additions after a product, each off by half an ulp of at most the sum of sizes
             */
            assert_true(fabs((double)got[0] - sum) <= 19 * 0x1p-24 * size);
        }
    }
}

static void rows_of_q6_k_of_any_width_give_the_same_everywhere(void **state)
{
    (void)state;
    enum { HEAD_ROWS = 3, WIDEST = 33 * 1024 };
    static const int64_t widths[] = {256, 2560, 16384, 16384 + 256, WIDEST};
    static float wide[WIDEST], first[HEAD_ROWS], sums[HEAD_ROWS];
    const struct tg_tensor_type *type = tg_tensor_type_find("Q6_K");
    const int64_t most = tg_tensor_type_bytes(type, HEAD_ROWS, WIDEST);
    uint8_t *blocks = malloc((size_t)most);
    uint64_t random = 5;
    assert_non_null(blocks);
    for (int64_t i = 0; i < most; i++) blocks[i] = (uint8_t)tg_fill_next(&random);
    for (int64_t at = 209; at < most; at += type->block_bytes) blocks[at] = 0x20 | (at & 0x83);
    for (int64_t i = 0; i < WIDEST; i++) wide[i] = (float)(tg_fill_next(&random) % 2001) / 500 - 2;
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        const int64_t row_bytes = tg_tensor_type_bytes(type, 1, widths[w]);
        for (size_t i = 0, seen = 0; i < tg_vector_count(); i++) {
            const struct tg_vector *v = tg_vector_at(i);
            if (!v->here()) continue;
            v->dots_q6_k(blocks, row_bytes, HEAD_ROWS, wide, widths[w], seen ? sums : first);
            if (seen++) assert_memory_equal(sums, first, sizeof sums);
        }
    }
    free(blocks);
}

static void what_is_computed_is_what_the_header_says(void **state)
{
    (void)state;
    const struct tg_vector *s = tg_vector_widest();
    int8_t q[4];
    const float values[4] = {2.5f / 127, -1, 3.5f / 127, 0}; /* ties go to even */
    assert_true(s->quantise(values, 4, q) == 127);
    assert_true(q[0] == 2 && q[1] == -127 && q[2] == 4 && q[3] == 0);
    const float zeros[4] = {0};
    assert_true(s->quantise(zeros, 4, q) == (float)(127 / 1e-5));
    assert_true(q[0] == 0 && q[3] == 0);
    fill(5);
    double squares = 0, sum = 0;
    for (int i = 0; i < 100; i++) squares += (double)x[i] * (double)x[i];
    s->norm(x, y, 1e-5f, 100, got);
    for (int i = 0; i < 100; i++) {
        const double exact = (double)x[i] / sqrt(squares / 100 + 1e-5) * (double)y[i];
        assert_true(fabs((double)got[i] - exact) <= 1e-6 * fabs(exact));
    }
    memcpy(got, x, sizeof x);
    s->softmax(got, 300);
    for (int i = 0; i < 300; i++) sum += exp((double)x[i]);
    for (int i = 0; i < 300; i++)
        assert_true(fabs((double)got[i] - exp((double)x[i]) / sum) <= 1e-6 * (double)got[i]);
    for (int i = 0; i < 200; i++) {
        got[i] = (float)(i - 100);
        y[i] = 1;
    }
    s->gate_silu(got, y, 200);
    for (int i = 0; i < 200; i++) {
        const double g = i - 100, exact = g / (1 + exp(-g));
        assert_true(fabs((double)got[i] - exact) <= 1e-6 * fabs(exact) + 1e-34);
    }
}

static void every_half_is_converted_both_ways(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        const float value = tg_lanes_f16((uint16_t)bits);
        const float other = tg_tensor_type_f16((uint16_t)bits);
        assert_memory_equal(&value, &other, sizeof value);
        if (!isnan(value)) assert_int_equal(tg_lanes_to_f16(value), bits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_gives_the_bits_of_the_scalar_one),
        cmocka_unit_test(a_token_that_is_not_finite_has_no_scale),
        cmocka_unit_test(results_are_divided_as_by_a_division),
        cmocka_unit_test(rows_of_numbers_give_the_bits_of_the_scalar_one),
        cmocka_unit_test(halves_that_are_not_finite_are_so_in_every_row),
        cmocka_unit_test(what_is_not_finite_goes_through_gates_and_softmax),
        cmocka_unit_test(many_give_the_bits_of_each_alone),
        cmocka_unit_test(blocks_are_read_as_their_types_say),
        cmocka_unit_test(rows_of_q6_k_of_any_width_give_the_same_everywhere),
        cmocka_unit_test(what_is_computed_is_what_the_header_says),
        cmocka_unit_test(every_half_is_converted_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
