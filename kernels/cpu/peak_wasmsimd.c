/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <wasm_simd128.h>

#include "kernels/peak.h"

/*
 * peak_wasmsimd: 16 bytes at a time. A multiply-add of int8 is a multiplication to 16-bit lanes and
 * an addition. What is added to a lane in a step is at most 254, so lanes are widened after at most
 * 128 steps (32512), which is as seldom as an exact kernel can.
 */

enum { LOADS = 2, STEP = 16 * LOADS, STEPS_MOST = 128 };

uint64_t tg_peak_read_wasmsimd(const uint64_t *from, int64_t words)
{
    v128_t sums[4];
    uint64_t sum;
    int64_t i = 0;

    for (int k = 0; k < 4; k++) sums[k] = wasm_i64x2_splat(0);
    for (; i + 8 <= words; i += 8) {
        for (int k = 0; k < 4; k++) {
            sums[k] = wasm_v128_xor(sums[k], wasm_v128_load(from + i + 2 * k));
        }
    }
    for (int k = 1; k < 4; k++) sums[0] = wasm_v128_xor(sums[0], sums[k]);
    sum = (uint64_t)(wasm_i64x2_extract_lane(sums[0], 0) ^ wasm_i64x2_extract_lane(sums[0], 1));
    for (; i < words; i++) sum ^= from[i];
    return sum;
}

void tg_peak_write_wasmsimd(uint64_t *to, int64_t words, uint64_t value, int is_past)
{
    const v128_t wide = wasm_i64x2_splat((int64_t)value);
    int64_t i = 0;

    (void)is_past;
    for (; i + 2 <= words; i += 2) wasm_v128_store(to + i, wide);
    for (; i < words; i++) to[i] = value;
}

/* The sum over all lanes of a pass, or of the part of it that 16 bits hold. */
static int64_t pass_sum(const v128_t codes[2][2], const int8_t *activations, int64_t columns)
{
    v128_t narrow[2][LOADS][2];
    v128_t wide = wasm_i32x4_splat(0);

    for (int i = 0; i < 2 * LOADS * 2; i++) narrow[i / 4][i / 2 % 2][i % 2] = wasm_i16x8_splat(0);
    for (int64_t c = 0; c < columns; c += STEP) {
        for (int k = 0; k < LOADS; k++) {
            const v128_t a = wasm_v128_load(activations + c + 16 * k);
            for (int j = 0; j < 2; j++) {
                v128_t *to = narrow[j][k];
                to[0] = wasm_i16x8_add(to[0], wasm_i16x8_extmul_low_i8x16(codes[j][k], a));
                to[1] = wasm_i16x8_add(to[1], wasm_i16x8_extmul_high_i8x16(codes[j][k], a));
            }
        }
    }
    for (int i = 0; i < 2 * LOADS * 2; i++) {
        wide = wasm_i32x4_add(wide,
                              wasm_i32x4_extadd_pairwise_i16x8(narrow[i / 4][i / 2 % 2][i % 2]));
    }
    return (int64_t)wasm_i32x4_extract_lane(wide, 0) + wasm_i32x4_extract_lane(wide, 1) +
           wasm_i32x4_extract_lane(wide, 2) + wasm_i32x4_extract_lane(wide, 3);
}

int64_t tg_peak_dot_wasmsimd(const uint8_t codes[2][32], const int8_t *activations, int64_t columns,
                             int64_t passes)
{
    v128_t both[2][2];
    int64_t sum = 0;

    assert(columns % TG_PEAK_COLUMNS == 0 && columns <= 16 * TG_PEAK_COLUMNS);
    for (int i = 0; i < 4; i++) {
        both[i / 2][i % 2] = wasm_v128_load(codes[i / 2] + 16 * (i % 2));
    }
    for (int64_t pass = 0; pass < passes; pass++) {
        for (int64_t c = 0; c < columns; c += STEP * STEPS_MOST) {
            const int64_t left = columns - c;
            sum += pass_sum((const v128_t(*)[2])both, activations + c,
                            left < STEP * STEPS_MOST ? left : STEP * STEPS_MOST);
        }
    }
    return sum;
}
