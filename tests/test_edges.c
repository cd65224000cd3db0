/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/edges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "kernels/tiles.h"
#include "kernels/tokens.h"

#define SHAPES    20 /* of eight kinds of values; of eleven, where activations are not integers */
#define MANY      2  /* of a batch of many tokens */
#define PUBLISHED 2  /* of one, for TL1 and TL2; but for products the first of all eight */
#define LARGE     11 /* of one, for products of a device */

static void every_kernel_is_right_at_every_edge(void **state)
{
    (void)state;
    const struct tg_library *library = tritgate_kernels_v1();
    int checked = 0;
    for (uint64_t i = 0; i < library->kernel_count; i++) {
        const struct tg_kernel *k = &library->kernels[i];
        char reason[256] = "";
        if (!k->run || !k->here()) continue;
        if (strcmp(k->isa, "stub") == 0 && strcmp(k->name, "stub_twice") != 0) continue;
        int kinds = tg_op_find(k->op)->activations->is_float ? 11 : 8;
        bool is_for_large = strcmp(k->device, "cpu") != 0 && strcmp(k->op, "product") == 0;
#ifdef TG_SANITIZED
        if (is_for_large) continue; /* 157 million weights: in the other build */
#endif
        int edges = tg_edges_check(k, reason, sizeof reason);
        bool is_tiled = strcmp(k->format, "tl1") == 0 || strcmp(k->format, "tl2") == 0;
        int tiled = is_tiled ? PUBLISHED + (strcmp(k->op, "product") == 0 ? 7 : 0) : 0;
        if (edges != SHAPES * kinds + MANY + tiled + (is_for_large ? LARGE : 0))
            fail_msg("%s: %d edges: %s", k->name, edges, reason);
        assert_string_equal(reason, "");
        checked++;
    }
    assert_true(checked >= 2);
}

/* A kernel with something wrong about it. */
static void assert_wrong_kernel(const char *name, tg_kernel_fn run, const char *wanted)
{
    char reason[256];
    struct tg_kernel k = *tg_kernel_find(name);
    k.run = run;
    assert_int_equal(tg_edges_check(&k, reason, sizeof reason), -1);
    assert_string_equal(reason, wanted);
}

static void assert_wrong(tg_kernel_fn run, const char *wanted)
{
    assert_wrong_kernel("i2s_scalar", run, wanted);
}

static void off_by_one(const struct tg_problem *p)
{
    tg_kernel_i2s_scalar(p);
    ((int32_t *)p->results)[p->row_end - 1] += 1;
}

static void not_in_the_middle(const struct tg_problem *p)
{
    struct tg_problem all = *p;
    all.row_begin = 0;
    all.row_end = p->rows;
    tg_kernel_i2s_scalar(&all);
}

static void saturates(const struct tg_problem *p)
{
    int32_t *results = p->results;
    tg_kernel_i2s_scalar(p);
    for (int64_t b = 0; b < p->batch; b++)
        for (int64_t r = p->row_begin; r < p->row_end; r++)
            if (results[b * p->rows + r] > 32767) results[b * p->rows + r] = 32767;
}

/* As sums of 16 bits that are widened at the end of a row: 17 groups of 128 columns are too many.
 */
static void saturates_in_large_batches(const struct tg_problem *p)
{
    if (p->batch > 9 && p->cols >= 17 * 128)
        saturates(p);
    else
        tg_kernel_i2s_scalar(p);
}

/* The same, but of more tokens than 128, which are worked on in two parts. */
static void saturates_behind_a_full_batch(const struct tg_problem *p)
{
    if (p->batch > 128 && p->cols >= 17 * 128)
        saturates(p);
    else
        tg_kernel_i2s_scalar(p);
}

/* The last column of the matrix, in batches, where a row has more than a register holds. */
static void drops_a_column_in_large_batches(const struct tg_problem *p)
{
    const float *weights = (const float *)(const void *)p->weights;
    float *results = p->results;
    tg_kernel_f32_scalar(p);
    for (int64_t i = 0; p->batch >= 16 && p->cols >= 32 && i < p->batch * p->rows; i++) {
        const int64_t b = i / p->rows, r = i % p->rows, last = p->cols - 1;
        if (r < p->row_begin || r >= p->row_end) continue;
        results[i] -= weights[r * p->cols + last] * p->activations_f32[b * p->cols + last];
    }
}

/* As tables_avx2.h splits sums of two, but for ten halves in a byte: eight are what always fits. */
static void ten_halves_in_a_byte(const struct tg_problem *p)
{
    for (int64_t i = 0; i < p->batch * p->rows; i++) {
        const uint8_t *bytes = p->weights + i % p->rows * (p->cols / 4);
        const int8_t *x = p->activations + i / p->rows * p->cols;
        int32_t sum = 0, low = 0, high = 0;
        if (i % p->rows < p->row_begin || i % p->rows >= p->row_end) continue;
        for (int64_t c = 0; c < p->cols; c += 2) {
            const uint8_t *two = bytes + c / 128 * 32 + c % 32;
            const int shift = 6 - (int)(c % 128 / 32 * 2);
            const int v = ((two[0] >> shift & 3) - 1) * x[c] +
                          ((two[1] >> shift & 3) - 1) * x[c + 1];
            const int split = (v + (v < 0 ? -15 : 15)) / 31;
            low += v - 31 * split;
            high += split;
            if (c % 20 != 18 && c + 2 < p->cols) continue;
            sum += (int8_t)(uint8_t)low + 31 * (int8_t)(uint8_t)high; /* wrap */
            low = high = 0;
        }
        ((int32_t *)p->results)[i] = sum;
    }
}

/* With the manners of maxps, whose second operand counts where one is NaN. */
static void forgets_what_is_none(const struct tg_problem *p)
{
    tg_kernel_f32_scalar_quantise(p);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const float *x = p->activations_f32 + r * p->cols;
        int8_t *q = (int8_t *)p->results + r * p->cols;
        float most = 0;
        int32_t sum = 0;
        for (int64_t c = 0; c < p->cols; c++) most = most > fabsf(x[c]) ? most : fabsf(x[c]);
        if (!isnan(tg_tokens_scales(p)[r]) || !isfinite(most)) continue;
        const float scale = most > 1e-5f ? 127.0f / most : TG_TOKENS_LARGEST_SCALE;
        for (int64_t c = 0; c < p->cols; c++)
            sum += q[c] = isnan(x[c]) ? 0 : (int8_t)rintf(x[c] * scale);
        tg_tokens_scales(p)[r] = scale;
        tg_tokens_sums(p)[r] = sum;
    }
}

/* A product of whose operands 10 bits behind the first are left, as by matrix units with TF32. */
static void cuts_its_operands(const struct tg_problem *p)
{
    const float *weights = (const float *)(const void *)p->weights;
    for (int64_t i = 0; i < p->batch * p->rows; i++) {
        const int64_t b = i / p->rows, r = i % p->rows;
        float sum = 0;
        if (r < p->row_begin || r >= p->row_end) continue;
        for (int64_t c = 0; c < p->cols; c++) {
            uint32_t bits;
            float x;
            memcpy(&bits, &p->activations_f32[b * p->cols + c], sizeof bits);
            if (p->cols >= 32 && (bits & 0x7f800000) != 0x7f800000) bits &= 0xffffe000;
            memcpy(&x, &bits, sizeof x);
            sum += weights[r * p->cols + c] * x;
        }
        ((float *)p->results)[i] = sum;
    }
}

static void first_column_only(const struct tg_problem *p)
{
    struct tg_problem one = *p;
    one.batch = 1;
    tg_kernel_i2s_scalar(&one);
}

static void beside_its_rows(const struct tg_problem *p)
{
    float *results = p->results;
    tg_kernel_f32_scalar(p);
    for (int64_t i = 0; i < p->batch * p->rows; i++) {
        const int64_t r = i % p->rows;
        if (r == p->row_begin - 1 || r == p->row_end) results[i] = 0;
    }
}

static void nothing(const struct tg_problem *p)
{
    (void)p;
}

static void what_is_wrong_is_found_and_named(void **state)
{
    (void)state;
    assert_wrong(off_by_one, "row 0 of column 0 differs (1x128, batch 1, rows 0 to 1, random)");
    assert_wrong(nothing, "row 0 of column 0 differs (1x128, batch 1, rows 0 to 1, random)");
    assert_wrong(first_column_only,
                 "row 0 of column 1 differs (5x384, batch 2, rows 0 to 5, random)");
    assert_wrong(saturates,
                 "row 0 of column 0 differs (5x384, batch 2, rows 0 to 5, all +1 with 127)");
    assert_wrong(not_in_the_middle,
                 "it wrote outside its rows (16x640, batch 1, rows 5 to 11, random)");
}

static void sums_looked_up_in_halves_are_checked_at_their_largest(void **state)
{
    (void)state;
    assert_wrong(ten_halves_in_a_byte,
                 "row 0 of column 0 differs (1x128, batch 1, rows 0 to 1, all alike)");
}

/* Sums of 16 bits, where a matrix has tiles of its own. */
static void saturates_in_published_tiles(const struct tg_problem *p)
{
    tg_kernel_tl1_scalar(p);
    if (!tg_tiles_are_published(p->rows, p->cols)) return;
    for (int64_t b = 0; b < p->batch; b++)
        for (int64_t r = p->row_begin; r < p->row_end; r++) {
            int32_t *result = (int32_t *)p->results + b * p->rows + r;
            if (*result > 32767) *result = 32767;
        }
}

static void published_tiles_are_checked_on_the_worst_operands(void **state)
{
    (void)state;
    assert_wrong_kernel("tl1_scalar", saturates_in_published_tiles,
                        "row 37 of column 0 differs (1536x1536, batch 2, rows 37 to 150, "
                        "all +1 with 127)");
}

static void products_of_floats_are_checked_to_the_last_bit(void **state)
{
    (void)state;
    assert_wrong_kernel("f32_scalar", cuts_its_operands,
                        "row 0 of column 4 differs (7x14336, batch 5, rows 0 to 7, runs of zeros)");
}

static void a_nan_is_looked_for_anywhere_in_a_token(void **state)
{
    (void)state;
    assert_wrong_kernel("f32_scalar_quantise", forgets_what_is_none,
                        "row 4 of column 0 differs (5x3, batch 2, rows 0 to 5, not finite)");
}

static void batches_are_checked_on_long_rows_and_the_worst_operands(void **state)
{
    (void)state;
    assert_wrong(saturates_in_large_batches,
                 "row 0 of column 0 differs (5x2560, batch 33, rows 0 to 5, all +1 with 127)");
    assert_wrong(saturates_behind_a_full_batch,
                 "row 0 of column 0 differs (3x2560, batch 131, rows 0 to 3, all +1 with 127)");
    assert_wrong_kernel("f32_scalar", drops_a_column_in_large_batches,
                        "row 0 of column 0 differs (5x2560, batch 33, rows 0 to 5, random)");
}

/* The last row of a matrix that fills a device. */
static void wrong_where_rows_are_many(const struct tg_problem *p)
{
    tg_kernel_i2s_scalar(p);
    if (p->rows == 1000) ((int32_t *)p->results)[p->row_end - 1] += 1;
}

/* Only there, and only where four activations are zeros. */
static void wrong_of_zeros_where_rows_are_many(const struct tg_problem *p)
{
    tg_kernel_i2s_scalar(p);
    for (int64_t c = 0; p->rows == 300 && c < p->cols; c += 4)
        if (!memcmp(p->activations + c, "\0\0\0", 4)) ((int32_t *)p->results)[0] += 1;
}

static void products_of_a_device_are_checked_where_they_fill_it(void **state)
{
    (void)state;
    char reason[256];
    struct tg_kernel k = *tg_kernel_find("i2s_scalar");
    k.run = wrong_where_rows_are_many;
    k.device = "fake";
    assert_int_equal(tg_edges_check(&k, reason, sizeof reason), -1);
    assert_string_equal(reason, "row 998 of column 0 differs (1000x4096, batch 1, rows 1 to 999, "
                                "random)");
#ifdef TG_SANITIZED
    return; /* 107 million weights: in the other build */
#endif
    k.run = wrong_of_zeros_where_rows_are_many;
    assert_int_equal(tg_edges_check(&k, reason, sizeof reason), -1);
    assert_string_equal(reason, "row 0 of column 0 differs (300x8192, batch 1, rows 0 to 300, "
                                "random)");
}

/* Where results have a bound, their bytes are not the reference's; those outside are still seen. */
static void results_with_a_bound_are_kept_to_their_rows(void **state)
{
    (void)state;
    char reason[256];
    struct tg_kernel k = *tg_kernel_find("f32_scalar");
    k.run = beside_its_rows;
    assert_int_equal(tg_edges_check(&k, reason, sizeof reason), -1);
    assert_string_equal(reason, "it wrote outside its rows (16x5, batch 1, rows 5 to 11, random)");
}

static void the_stub_that_is_wrong_is_found(void **state)
{
    (void)state;
    char reason[256];
    const struct tg_kernel *k = tg_kernel_find("stub_wrong");
    if (!k || !k->run) skip();
    assert_int_equal(tg_edges_check(k, reason, sizeof reason), -1);
    assert_string_equal(reason, "row 0 of column 0 differs (1x128, batch 1, rows 0 to 1, random)");
}

/* Errors that kernels really have, each in a stub of its own, and the edge that shows it. */
static void each_planted_error_is_found(void **state)
{
    static const char *const planted[][2] = {
        {"stub_lanes", "row 0 of column 0 differs (1x128, batch 1, rows 0 to 1, random)"},
        {"stub_overflow",
         "row 0 of column 0 differs (64x2560, batch 1, rows 0 to 64, all +1 with 127)"},
        {"stub_column", "row 13 of column 8 differs (64x2560, batch 9, rows 13 to 50, random)"},
        {"stub_crowd", "row 1 of column 1 differs (33x128, batch 7, rows 1 to 32, random)"},
        {"stub_rows", "row 16 of column 0 differs (17x256, batch 3, rows 0 to 17, random)"},
        {"stub_tail", "row 0 of column 0 differs (5x384, batch 2, rows 0 to 5, random)"},
        {"stub_layout", "row 0 of column 0 differs (5x192, batch 2, rows 0 to 5, random)"},
        {"stub_batch", "row 0 of column 128 differs (9x256, batch 141, rows 0 to 9, random)"},
        {"stub_tiles", "row 37 of column 0 differs (1536x1536, batch 2, rows 37 to 150, random)"},
        {"stub_range", "row 5 of column 0 differs (16x640, batch 1, rows 5 to 11, random)"},
        {"stub_sparse", "row 0 of column 0 differs (1x128, batch 1, rows 0 to 1, runs of zeros)"},
        {"stub_away", "row 0 of column 0 differs (5x3, batch 2, rows 0 to 5, halves)"},
    };

    (void)state;
    if (!tg_kernel_find("stub_lanes")) skip();
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        char reason[256] = "";
        const struct tg_kernel *k = tg_kernel_find(planted[i][0]);
        assert_non_null(k);
        assert_int_equal(tg_edges_check(k, reason, sizeof reason), -1);
        if (strcmp(reason, planted[i][1]) != 0) fail_msg("%s: %s", k->name, reason);
    }
}

static void an_operation_that_is_unknown_is_not_checked(void **state)
{
    (void)state;
    char reason[256];
    struct tg_kernel k = *tg_kernel_find("i2s_scalar");
    k.op = "divide";
    assert_int_equal(tg_edges_check(&k, reason, sizeof reason), -1);
    assert_string_equal(reason, "no operation 'divide' in this program");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_is_right_at_every_edge),
        cmocka_unit_test(what_is_wrong_is_found_and_named),
        cmocka_unit_test(sums_looked_up_in_halves_are_checked_at_their_largest),
        cmocka_unit_test(published_tiles_are_checked_on_the_worst_operands),
        cmocka_unit_test(products_of_floats_are_checked_to_the_last_bit),
        cmocka_unit_test(a_nan_is_looked_for_anywhere_in_a_token),
        cmocka_unit_test(batches_are_checked_on_long_rows_and_the_worst_operands),
        cmocka_unit_test(products_of_a_device_are_checked_where_they_fill_it),
        cmocka_unit_test(results_with_a_bound_are_kept_to_their_rows),
        cmocka_unit_test(the_stub_that_is_wrong_is_found),
        cmocka_unit_test(each_planted_error_is_found),
        cmocka_unit_test(an_operation_that_is_unknown_is_not_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
