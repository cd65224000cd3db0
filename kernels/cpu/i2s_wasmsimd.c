/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <wasm_simd128.h>

#include "kernels/kernel.h"

/*
 * i2s_wasmsimd: ternary product, 128 weights at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * 16 bytes of codes have 64 columns: 16 neighbouring ones in each field, the first in the highest
 * bits, 32 columns from field to field. Codes and activations are multiplied to 16 bits, in two
 * halves that are summed apart, and widened in time. Up to four columns of activations share the
 * fields.
 *
 * Limits: cols a multiple of 128 and below 2^23 (int32 sums). 16 bytes add at most 4 * 256 to a
 * lane of 16 bits, so sums are widened after at most 31 of them: here 15 groups (30720). Source:
 * the layout is bitnet.cpp's, arXiv:2502.11880.
 */

enum { GROUP_COLS = 128, APART = 32, COLUMNS = 4, FLUSH_COLS = 15 * GROUP_COLS };

static inline int32_t lane_sum(v128_t v)
{
    return wasm_i32x4_extract_lane(v, 0) + wasm_i32x4_extract_lane(v, 1) +
           wasm_i32x4_extract_lane(v, 2) + wasm_i32x4_extract_lane(v, 3);
}

/* Adds 16 bytes for `columns` columns of activations, which are cols apart. */
static inline __attribute__((always_inline)) void add_half(int columns, const uint8_t *weights,
                                                           const int8_t *activations, int64_t cols,
                                                           v128_t narrow[COLUMNS][2])
{
    const v128_t mask = wasm_i8x16_splat(3), bytes = wasm_v128_load(weights);
    const v128_t codes[4] = {
        wasm_u8x16_shr(bytes, 6), wasm_v128_and(wasm_u8x16_shr(bytes, 4), mask),
        wasm_v128_and(wasm_u8x16_shr(bytes, 2), mask), wasm_v128_and(bytes, mask)};

    for (int b = 0; b < columns; b++) {
        for (int f = 0; f < 4; f++) {
            const v128_t a = wasm_v128_load(activations + b * cols + APART * f);
            const v128_t low = wasm_i16x8_extmul_low_i8x16(codes[f], a);
            const v128_t high = wasm_i16x8_extmul_high_i8x16(codes[f], a);
            narrow[b][0] = wasm_i16x8_add(narrow[b][0], low);
            narrow[b][1] = wasm_i16x8_add(narrow[b][1], high);
        }
    }
}

/* Sums of code times activation of one row with `columns` (1, 2 or 4) columns. */
static inline __attribute__((always_inline)) void code_sums(int columns, const uint8_t *weights,
                                                            const int8_t *activations, int64_t cols,
                                                            int32_t *sums)
{
    v128_t wide[COLUMNS];

    for (int b = 0; b < columns; b++) wide[b] = wasm_i32x4_splat(0);
    for (int64_t begin = 0; begin < cols; begin += FLUSH_COLS) {
        const int64_t end = begin + FLUSH_COLS < cols ? begin + FLUSH_COLS : cols;
        v128_t narrow[COLUMNS][2];
        for (int b = 0; b < columns; b++) narrow[b][0] = narrow[b][1] = wasm_i16x8_splat(0);
        for (int64_t c = begin; c < end; c += GROUP_COLS) {
            add_half(columns, weights + c / 4, activations + c, cols, narrow);
            add_half(columns, weights + c / 4 + 16, activations + c + 16, cols, narrow);
        }
        for (int b = 0; b < columns; b++) {
            for (int i = 0; i < 2; i++) {
                const v128_t pairs = wasm_i32x4_extadd_pairwise_i16x8(narrow[b][i]);
                wide[b] = wasm_i32x4_add(wide[b], pairs);
            }
        }
    }
    for (int b = 0; b < columns; b++) sums[b] = lane_sum(wide[b]);
}

static int32_t activation_sum(const int8_t *activations, int64_t cols)
{
    v128_t sum = wasm_i32x4_splat(0);

    for (int64_t c = 0; c < cols; c += 16) {
        const v128_t pairs = wasm_i16x8_extadd_pairwise_i8x16(wasm_v128_load(activations + c));
        sum = wasm_i32x4_add(sum, wasm_i32x4_extadd_pairwise_i16x8(pairs));
    }
    return lane_sum(sum);
}

/* All rows of the call for `columns` (1, 2 or 4) columns from `first`. */
static inline __attribute__((always_inline)) void tile(int columns, const struct tg_problem *p,
                                                       int64_t first)
{
    const int8_t *activations = p->activations + first * p->cols;
    int32_t *results = (int32_t *)p->results + first * p->rows;
    int32_t minus[COLUMNS], sums[COLUMNS];

    for (int b = 0; b < columns; b++) {
        minus[b] = activation_sum(activations + b * p->cols, p->cols);
    }
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        code_sums(columns, p->weights + r * (p->cols / 4), activations, p->cols, sums);
        for (int b = 0; b < columns; b++) results[b * p->rows + r] = sums[b] - minus[b];
    }
}

void tg_kernel_i2s_wasmsimd(const struct tg_problem *p)
{
    int64_t b = 0;

    assert(p->cols % GROUP_COLS == 0 && p->cols < 1 << 23);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (; b + 4 <= p->batch; b += 4) tile(4, p, b);
    for (; b + 2 <= p->batch; b += 2) tile(2, p, b);
    for (; b < p->batch; b++) tile(1, p, b);
}
