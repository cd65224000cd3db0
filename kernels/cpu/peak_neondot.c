/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>
#include <assert.h>

#include "kernels/peak.h"

/*
 * peak_neondot: the dot product instruction adds four products to each of four sums. Twelve
 * accumulators, for 2 codes times 6 loads of activations, hide its latency. A step adds at most 4 *
 * 254 to a lane, so that each lane stays below 2^31 in 1000 passes. Reading and writing are those
 * of NEON.
 */

enum { LOADS = 6, STEP = 16 * LOADS };

uint64_t tg_peak_read_neondot(const uint64_t *from, int64_t words)
{
    return tg_peak_read_neon(from, words);
}

void tg_peak_write_neondot(uint64_t *to, int64_t words, uint64_t value, int is_past)
{
    tg_peak_write_neon(to, words, value, is_past);
}

int64_t tg_peak_dot_neondot(const uint8_t codes[2][32], const int8_t *activations, int64_t columns,
                            int64_t passes)
{
    int8x16_t both[2][2];
    int32x4_t sums[2][LOADS];
    int64_t sum = 0;

    assert(columns % TG_PEAK_COLUMNS == 0 && columns <= 16 * TG_PEAK_COLUMNS && passes <= 1000);
    for (int i = 0; i < 4; i++) {
        both[i / 2][i % 2] = vreinterpretq_s8_u8(vld1q_u8(codes[i / 2] + 16 * (i % 2)));
    }
    for (int i = 0; i < 2 * LOADS; i++) sums[i / LOADS][i % LOADS] = vdupq_n_s32(0);
    for (int64_t pass = 0; pass < passes; pass++) {
        for (int64_t c = 0; c < columns; c += STEP) {
            for (int k = 0; k < LOADS; k++) {
                const int8x16_t a = vld1q_s8(activations + c + 16 * k);
                for (int j = 0; j < 2; j++) sums[j][k] = vdotq_s32(sums[j][k], both[j][k % 2], a);
            }
        }
    }
    for (int i = 0; i < 2 * LOADS; i++) sum += vaddlvq_s32(sums[i / LOADS][i % LOADS]);
    return sum;
}
