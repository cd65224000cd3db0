/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "kernels/fill.h"
#include "kernels/kernel.h"
#include "worker/model/choose.h"
#include "worker/probe/edges.h"

/*
 * CUDA kernels on a processor (tests/emulated/cuda_runtime.h): those of the instruction set `cuda`,
 * as a chip of 9.0 has them, and the product of one token also as one of 7.5. The build says which
 * there are: TG_EMULATED is X(name) for each.
 */

#define X(name) void tg_emulated_##name(const struct tg_problem *p);
TG_EMULATED
#undef X
void tg_emulated_75_i2s_cuda(const struct tg_problem *p);
int32_t tg_emulated_decode_head(const uint16_t *weights, const float *x, int rows, int cols,
                                float *logits);
float tg_emulated_token_round(const float *x, const float *norm, int8_t *q);
float tg_emulated_token_gate(int is_squared_relu, float gate, float up);

static const struct emulated {
    const char *name;
    tg_kernel_fn run;
} kernels[] = {
#define X(name) {#name, tg_emulated_##name},
    TG_EMULATED
#undef X
    {"i2s_cuda", tg_emulated_75_i2s_cuda},
};

static void kernels_of_a_device_are_right_at_every_edge(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        char reason[256];
        const struct tg_kernel *listed = tg_kernel_find(kernels[i].name);
        assert_non_null(listed);
        struct tg_kernel k = *listed;
        k.run = kernels[i].run;
        k.device = "cpu";
        if (tg_edges_check(&k, reason, sizeof reason) < 0)
            fail_msg("%s: %s", kernels[i].name, reason);
    }
}

/* The first of its rows whose result differs from that of the scalar kernel, or -1. */
static int64_t differs(tg_kernel_fn run, int64_t rows, int64_t cols)
{
    const struct tg_kernel *scalar = tg_kernel_find("i2s_scalar");
    int8_t *ternary = malloc((size_t)(rows * cols)), *activations = malloc((size_t)cols);
    uint8_t *packed = malloc((size_t)scalar->packed_bytes(rows, cols));
    int32_t *results = malloc((size_t)rows * sizeof *results);
    int32_t *wanted = malloc((size_t)rows * sizeof *wanted);
    struct tg_problem p = {.rows = rows, .cols = cols, .batch = 1, .row_end = rows};
    int64_t row = 0;

    assert_true(ternary && activations && packed && results && wanted);
    tg_fill_ternary((uint64_t)rows, ternary, (size_t)(rows * cols));
    tg_fill_int8((uint64_t)cols, activations, (size_t)cols);
    scalar->pack(ternary, rows, cols, packed);
    p.weights = packed;
    p.activations = activations;
    p.results = results;
    run(&p);
    p.results = wanted;
    scalar->run(&p);
    while (row < rows && results[row] == wanted[row]) row++;
    free(ternary);
    free(activations);
    free(packed);
    free(results);
    free(wanted);
    return row < rows ? row : -1;
}

/* Rows for one block of every form and for several, columns from the fewest to more than fit. */
static void a_token_is_right_in_every_form(void **state)
{
    static const int64_t rows[] = {5, 62, 125, 230};
    static const int64_t cols[] = {128, 2560, 3584, 4096, 5120, 8192, 12288, 16384, 24576, 24704};
    static const tg_kernel_fn runs[] = {tg_emulated_i2s_cuda, tg_emulated_75_i2s_cuda};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t j = 0; j < sizeof cols / sizeof *cols; j++) {
            for (size_t k = 0; k < 2; k++) {
                const int64_t row = differs(runs[k], rows[i], cols[j]);
                if (row >= 0)
                    fail_msg("row %d of %dx%d differs, chip %s", (int)row, (int)rows[i],
                             (int)cols[j], k ? "7.5" : "9.0");
            }
        }
    }
}

/* Logits are the first column of the weights, in f16, and so may be anything. */
static void a_device_chooses_as_the_host_does(void **state)
{
    enum { COLS = 8, MOST = 200, ONE = 0x3c00, TWO = 0x4000, INFINITE = 0x7c00, NONE = 0x7e00 };
    static const struct {
        int rows;
        uint16_t usual, odd; /* the odd ones are rows 150 and 170, or the last */
        int32_t wanted;
    } heads[] = {
        {MOST, ONE, TWO, 150},
        {MOST, TWO, ONE, 0},
        {MOST, NONE, ONE, 150},
        {MOST, ONE, NONE, 0},
        {MOST, NONE, NONE, 0},
        {MOST, NONE, INFINITE, 150},
        {MOST, NONE, INFINITE | 0x8000, 0},
        {3, NONE, ONE, 2},
        {1, NONE, NONE, 0},
    };
    static const float x[COLS] = {1};
    static _Alignas(16) uint16_t weights[MOST * COLS];
    static float logits[MOST];
    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        const int rows = heads[i].rows;
        for (int r = 0; r < rows; r++)
            weights[r * COLS] = r == 150 || r == 170 || r == rows - 1 ? heads[i].odd
                                                                      : heads[i].usual;
        const int32_t chosen = tg_emulated_decode_head(weights, x, rows, COLS, logits);
        assert_int_equal(chosen, heads[i].wanted);
        assert_int_equal(tg_choose_best(logits, rows), chosen);
    }
}

static void a_token_that_is_not_finite_has_no_scale(void **state)
{
    enum { COLS = 512 };
    static const float none[] = {NAN, INFINITY, -INFINITY};
    static const int places[] = {0, 5, 257, COLS - 1};
    static _Alignas(16) float numbers[2][COLS];
    static _Alignas(16) int8_t q[COLS];
    (void)state;
    for (int i = 0; i < 2 * COLS; i++) numbers[i / COLS][i % COLS] = (float)(i % 7 - 3) / 2;
    assert_true(isfinite(tg_emulated_token_round(numbers[0], numbers[1], q)));
    for (int k = 0; k < 2 * 3 * 4; k++) {
        float *at = &numbers[k % 2][places[k / 6]], kept = *at;
        *at = none[k / 2 % 3];
        if (!isnan(tg_emulated_token_round(numbers[0], numbers[1], q)))
            fail_msg("number %d of the %s is %g", places[k / 6], k % 2 ? "norm" : "token",
                     (double)*at);
        *at = kept;
    }
    assert_true(isnan(tg_emulated_token_gate(0, NAN, 1)));
    assert_true(isnan(tg_emulated_token_gate(1, NAN, 1)));
    assert_true(tg_emulated_token_gate(1, -2, 1) == 0 && tg_emulated_token_gate(1, 2, 1) == 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_of_a_device_are_right_at_every_edge),
        cmocka_unit_test(a_token_is_right_in_every_form),
        cmocka_unit_test(a_device_chooses_as_the_host_does),
        cmocka_unit_test(a_token_that_is_not_finite_has_no_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
