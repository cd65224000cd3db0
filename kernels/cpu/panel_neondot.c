/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>
#include <assert.h>

#include "kernels/kernel.h"

/*
 * panel_neondot: ternary product, the 16 rows of a panel side by side.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * 64 bytes of codes are a step: 16 rows and 16 columns; each 16 of them are four rows, one in each
 * 32-bit lane. Field f of a lane (bits 1-0 of its bytes for f = 0, then 3-2, 5-4, 7-6) has columns
 * 4f to 4f + 3, and the dot product instruction takes these four activations from a quarter of one
 * register for all lanes. Up to four columns of activations share the fields.
 *
 * Limits: cols a multiple of 16 and below 2^23 (int32 sums).
 * Source: the layout is ours; the instruction as in panel_avx512vnni.
 */

enum { FOURS = 4, COLUMNS = 4, STEP_COLUMNS = 16 };

/* Adds a step for one column of activations, to the sums of four times four rows. */
static inline void add_step(const int8x16_t fields[FOURS][4], int8x16_t activations,
                            int32x4_t sums[FOURS])
{
    for (int i = 0; i < FOURS; i++) {
        sums[i] = vdotq_laneq_s32(sums[i], fields[i][0], activations, 0);
        sums[i] = vdotq_laneq_s32(sums[i], fields[i][1], activations, 1);
        sums[i] = vdotq_laneq_s32(sums[i], fields[i][2], activations, 2);
        sums[i] = vdotq_laneq_s32(sums[i], fields[i][3], activations, 3);
    }
}

static inline void cut(const uint8_t *weights, int8x16_t fields[4])
{
    const uint8x16_t mask = vdupq_n_u8(3), bytes = vld1q_u8(weights);

    fields[0] = vreinterpretq_s8_u8(vandq_u8(bytes, mask));
    fields[1] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(bytes, 2), mask));
    fields[2] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(bytes, 4), mask));
    fields[3] = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 6));
}

/* Sums of a panel for `columns` columns of activations, which are cols apart. */
static inline __attribute__((always_inline)) void code_sums(int columns, const uint8_t *weights,
                                                            const int8_t *activations, int64_t cols,
                                                            int32x4_t sums[COLUMNS][FOURS])
{
    for (int b = 0; b < columns; b++) {
        for (int i = 0; i < FOURS; i++) sums[b][i] = vdupq_n_s32(0);
    }
    for (int64_t c = 0; c < cols; c += STEP_COLUMNS) {
        int8x16_t fields[FOURS][4];
        for (int i = 0; i < FOURS; i++) cut(weights + 4 * c + 16 * i, fields[i]);
        for (int b = 0; b < columns; b++) {
            add_step((const int8x16_t(*)[4])fields, vld1q_s8(activations + b * cols + c), sums[b]);
        }
    }
}

static int32_t sum_of(const int8_t *activations, int64_t cols)
{
    int32x4_t sum = vdupq_n_s32(0);

    for (int64_t c = 0; c < cols; c += 16) {
        sum = vpadalq_s16(sum, vpaddlq_s8(vld1q_s8(activations + c)));
    }
    return vaddvq_s32(sum);
}

/* Stores the sums of four rows from `row`, those that are of the call. */
static inline void store(const struct tg_problem *p, int64_t b, int64_t row, int32x4_t sums)
{
    int32_t *results = (int32_t *)p->results + b * p->rows;
    int32_t lanes[4];

    vst1q_s32(lanes, sums);
    for (int i = 0; i < 4; i++) {
        if (p->row_begin <= row + i && row + i < p->row_end) results[row + i] = lanes[i];
    }
}

/* All rows of the call for `columns` (1, 2 or 4) columns from `first`. */
static inline __attribute__((always_inline)) void tile(int columns, const struct tg_problem *p,
                                                       int64_t first)
{
    const int8_t *activations = p->activations + first * p->cols;
    int32_t minus[COLUMNS];

    for (int b = 0; b < columns; b++) minus[b] = sum_of(activations + b * p->cols, p->cols);
    for (int64_t row = p->row_begin / 16 * 16; row < p->row_end; row += 16) {
        int32x4_t sums[COLUMNS][FOURS];
        code_sums(columns, p->weights + row / 16 * (4 * p->cols), activations, p->cols, sums);
        for (int b = 0; b < columns; b++) {
            for (int i = 0; i < FOURS; i++) {
                store(p, first + b, row + 4 * i, vsubq_s32(sums[b][i], vdupq_n_s32(minus[b])));
            }
        }
    }
}

void tg_kernel_panel_neondot(const struct tg_problem *p)
{
    int64_t b = 0;

    assert(p->cols % STEP_COLUMNS == 0 && p->cols < 1 << 23);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (; b + 4 <= p->batch; b += 4) tile(4, p, b);
    for (; b + 2 <= p->batch; b += 2) tile(2, p, b);
    for (; b < p->batch; b++) tile(1, p, b);
}
