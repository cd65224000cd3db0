/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>
#include <assert.h>

#include "kernels/peak.h"

/*
 * peak_neon: 16 bytes at a time; one stream, which hardware prefetchers know best.
 *
 * A multiply-add of int8 is a multiplication to 16-bit lanes with an addition. What is added to a
 * lane in a step is at most 254, so lanes are widened after at most 128 steps (32512), which is as
 * seldom as an exact kernel can. Eight accumulators hide the latency.
 */

enum { LOADS = 2, STEP = 16 * LOADS, STEPS_MOST = 128 };

uint64_t tg_peak_read_neon(const uint64_t *from, int64_t words)
{
    uint64x2_t sums[8];
    uint64_t sum;
    int64_t i = 0;

    for (int k = 0; k < 8; k++) sums[k] = vdupq_n_u64(0);
    for (; i + 16 <= words; i += 16) {
        for (int k = 0; k < 8; k++) sums[k] = veorq_u64(sums[k], vld1q_u64(from + i + 2 * k));
    }
    for (int k = 1; k < 8; k++) sums[0] = veorq_u64(sums[0], sums[k]);
    sum = vgetq_lane_u64(sums[0], 0) ^ vgetq_lane_u64(sums[0], 1);
    for (; i < words; i++) sum ^= from[i];
    return sum;
}

void tg_peak_write_neon(uint64_t *to, int64_t words, uint64_t value, int is_past)
{
    const uint64x2_t wide = vdupq_n_u64(value);
    int64_t i = 0;

    (void)is_past;
    for (; i + 2 <= words; i += 2) vst1q_u64(to + i, wide);
    for (; i < words; i++) to[i] = value;
}

/* The sum over all lanes of a pass, or of the part of it that 16 bits hold. */
static int64_t pass_sum(const int8x16_t codes[2][2], const int8_t *activations, int64_t columns)
{
    int16x8_t narrow[2][LOADS][2];
    int64_t sum = 0;

    for (int i = 0; i < 2 * LOADS * 2; i++) narrow[i / 4][i / 2 % 2][i % 2] = vdupq_n_s16(0);
    for (int64_t c = 0; c < columns; c += STEP) {
        for (int k = 0; k < LOADS; k++) {
            const int8x16_t a = vld1q_s8(activations + c + 16 * k);
            for (int j = 0; j < 2; j++) {
                int16x8_t *to = narrow[j][k];
                to[0] = vmlal_s8(to[0], vget_low_s8(codes[j][k]), vget_low_s8(a));
                to[1] = vmlal_high_s8(to[1], codes[j][k], a);
            }
        }
    }
    for (int i = 0; i < 2 * LOADS * 2; i++) sum += vaddlvq_s16(narrow[i / 4][i / 2 % 2][i % 2]);
    return sum;
}

int64_t tg_peak_dot_neon(const uint8_t codes[2][32], const int8_t *activations, int64_t columns,
                         int64_t passes)
{
    int8x16_t both[2][2];
    int64_t sum = 0;

    assert(columns % TG_PEAK_COLUMNS == 0 && columns <= 16 * TG_PEAK_COLUMNS);
    for (int i = 0; i < 4; i++) {
        both[i / 2][i % 2] = vreinterpretq_s8_u8(vld1q_u8(codes[i / 2] + 16 * (i % 2)));
    }
    for (int64_t pass = 0; pass < passes; pass++) {
        for (int64_t c = 0; c < columns; c += STEP * STEPS_MOST) {
            const int64_t left = columns - c;
            sum += pass_sum((const int8x16_t(*)[2])both, activations + c,
                            left < STEP * STEPS_MOST ? left : STEP * STEPS_MOST);
        }
    }
    return sum;
}
