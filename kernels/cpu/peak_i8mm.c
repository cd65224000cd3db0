/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>
#include <assert.h>

#include "kernels/peak.h"

/*
 * peak_i8mm: the matrix instruction multiplies two rows of eight codes by two columns of eight
 * activations, and adds to four sums. The rows are eight of each of the two codes, the columns are
 * eight activations and the eight that are 32 further on, which meet the same codes; so every sum
 * counts. Twelve accumulators hide the latency. A step adds at most 8 * 254 to a lane, so that each
 * lane stays below 2^31 in 1000 passes. Reading and writing are those of NEON.
 */

enum { PARTS = 4, TIMES = 3, STEP = 64 * TIMES };

uint64_t tg_peak_read_i8mm(const uint64_t *from, int64_t words)
{
    return tg_peak_read_neon(from, words);
}

void tg_peak_write_i8mm(uint64_t *to, int64_t words, uint64_t value, int is_past)
{
    tg_peak_write_neon(to, words, value, is_past);
}

/* Adds 64 columns, from which 8 on are columns[u] with those that are 32 further on. */
static inline void add(const int8x16_t rows[PARTS], const int8_t *activations,
                       int32x4_t sums[PARTS])
{
    for (int u = 0; u < PARTS; u += 2) {
        const int64x2_t near = vreinterpretq_s64_s8(vld1q_s8(activations + 8 * u));
        const int64x2_t far = vreinterpretq_s64_s8(vld1q_s8(activations + 8 * u + 32));
        const int8x16_t first = vreinterpretq_s8_s64(vzip1q_s64(near, far));
        const int8x16_t second = vreinterpretq_s8_s64(vzip2q_s64(near, far));
        sums[u] = vmmlaq_s32(sums[u], rows[u], first);
        sums[u + 1] = vmmlaq_s32(sums[u + 1], rows[u + 1], second);
    }
}

int64_t tg_peak_dot_i8mm(const uint8_t codes[2][32], const int8_t *activations, int64_t columns,
                         int64_t passes)
{
    int8x16_t rows[PARTS];
    int32x4_t sums[TIMES][PARTS];
    int64_t sum = 0;

    assert(columns % TG_PEAK_COLUMNS == 0 && columns <= 16 * TG_PEAK_COLUMNS && passes <= 1000);
    for (int u = 0; u < PARTS; u++) {
        rows[u] = vreinterpretq_s8_u8(
            vcombine_u8(vld1_u8(codes[0] + 8 * u), vld1_u8(codes[1] + 8 * u)));
    }
    for (int i = 0; i < TIMES * PARTS; i++) sums[i / PARTS][i % PARTS] = vdupq_n_s32(0);
    for (int64_t pass = 0; pass < passes; pass++) {
        for (int64_t c = 0; c < columns; c += STEP) {
            for (int i = 0; i < TIMES; i++) add(rows, activations + c + 64 * i, sums[i]);
        }
    }
    for (int i = 0; i < TIMES * PARTS; i++) sum += vaddlvq_s32(sums[i / PARTS][i % PARTS]);
    return sum;
}
