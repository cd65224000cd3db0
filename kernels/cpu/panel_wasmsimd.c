/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <wasm_simd128.h>

#include "kernels/kernel.h"

/*
 * panel_wasmsimd: ternary product, four rows side by side.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * Each 16 of the 64 bytes of a step are four rows and 16 columns, one row in each 32-bit lane.
 * Field f of a lane (bits 1-0 of its bytes for f = 0, then 3-2, 5-4, 7-6) has columns 4f to 4f + 3,
 * and meets these four activations, given to all lanes. Products of 16 bits are added up, two rows
 * in the low half and two in the high half, four lanes for a row; at the end neighbours are added
 * twice, which leaves a row in each lane.
 *
 * Limits: cols a multiple of 16 and below 2^23 (int32 sums). A step adds at most 4 * 256 to a lane
 * of 16 bits, so sums are widened after 31 steps (31744).
 * Source: the layout is ours; fields as in panel_avx512vnni.
 */

enum { STEP_COLUMNS = 16, FLUSH_COLUMNS = 31 * STEP_COLUMNS };

/* Sums of four rows for one column of activations, one a lane. */
static inline v128_t code_sums(const uint8_t *weights, const int8_t *activations, int64_t cols)
{
    const v128_t mask = wasm_i8x16_splat(3);
    v128_t low = wasm_i32x4_splat(0), high = wasm_i32x4_splat(0);

    for (int64_t begin = 0; begin < cols; begin += FLUSH_COLUMNS) {
        const int64_t end = begin + FLUSH_COLUMNS < cols ? begin + FLUSH_COLUMNS : cols;
        v128_t narrow[2] = {wasm_i16x8_splat(0), wasm_i16x8_splat(0)};
        for (int64_t c = begin; c < end; c += STEP_COLUMNS) {
            v128_t bytes = wasm_v128_load(weights + 4 * c);
            for (int f = 0; f < 4; f++) {
                const v128_t codes = wasm_v128_and(bytes, mask);
                const v128_t a = wasm_v128_load32_splat(activations + c + 4 * f);
                narrow[0] = wasm_i16x8_add(narrow[0], wasm_i16x8_extmul_low_i8x16(codes, a));
                narrow[1] = wasm_i16x8_add(narrow[1], wasm_i16x8_extmul_high_i8x16(codes, a));
                bytes = wasm_u8x16_shr(bytes, 2);
            }
        }
        low = wasm_i32x4_add(low, wasm_i32x4_extadd_pairwise_i16x8(narrow[0]));
        high = wasm_i32x4_add(high, wasm_i32x4_extadd_pairwise_i16x8(narrow[1]));
    }
    return wasm_i32x4_add(wasm_i32x4_shuffle(low, high, 0, 2, 4, 6),
                          wasm_i32x4_shuffle(low, high, 1, 3, 5, 7));
}

static int32_t sum_of(const int8_t *activations, int64_t cols)
{
    int32_t sum = 0;

    for (int64_t c = 0; c < cols; c++) sum += activations[c];
    return sum;
}

void tg_kernel_panel_wasmsimd(const struct tg_problem *p)
{
    assert(p->cols % STEP_COLUMNS == 0 && p->cols < 1 << 23);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t b = 0; b < p->batch; b++) {
        const int8_t *activations = p->activations + b * p->cols;
        const int32_t minus = sum_of(activations, p->cols);
        int32_t *results = (int32_t *)p->results + b * p->rows;
        for (int64_t row = p->row_begin / 4 * 4; row < p->row_end; row += 4) {
            const uint8_t *weights = p->weights + row / 16 * (4 * p->cols) + row % 16 * 4;
            int32_t lanes[4];
            /* Steps are 64 bytes apart, which is 4 for each column. */
            wasm_v128_store(lanes, code_sums(weights, activations, p->cols));
            for (int i = 0; i < 4; i++) {
                const int is_ours = p->row_begin <= row + i && row + i < p->row_end;
                if (is_ours) results[row + i] = lanes[i] - minus;
            }
        }
    }
}
