/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>
#include <assert.h>

#include "kernels/kernel.h"

/*
 * panel_i8mm: ternary product, the 16 rows of a panel and up to four columns of activations at
 * once.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * The matrix instruction multiplies two rows of eight codes by two columns of eight activations and
 * adds to four sums. 16 bytes of codes are four rows, one in each 32-bit lane; field f of a lane
 * (bits 1-0 of its bytes for f = 0, then 3-2, 5-4, 7-6) has columns 4f to 4f + 3. So two fields, of
 * which the lanes are taken in turn, are two rows of eight codes, and the other lanes two more. An
 * odd column of activations is multiplied twice, and stored once.
 *
 * Limits: cols a multiple of 16 and below 2^23 (int32 sums).
 * Source: the layout is ours; tiles as in panel_avx512vnni.
 */

enum { FOURS = 4, PAIRS = 2, STEP_COLUMNS = 16 };

/* The sums of a panel: two rows (first two lanes, last two) and two columns (even lanes, odd). */
struct sums {
    int32x4_t of[PAIRS][FOURS][2];
};

/* The 16 codes of two fields of four rows: rows[h][i] has rows 2i and 2i + 1, columns 8h to 8h + 7.
 */
static inline void cut(const uint8_t *weights, int8x16_t rows[2][2])
{
    const uint8x16_t mask = vdupq_n_u8(3);
    uint8x16_t bytes = vld1q_u8(weights);

    for (int h = 0; h < 2; h++) {
        const int32x4_t even = vreinterpretq_s32_u8(vandq_u8(bytes, mask));
        const int32x4_t odd = vreinterpretq_s32_u8(vandq_u8(vshrq_n_u8(bytes, 2), mask));
        rows[h][0] = vreinterpretq_s8_s32(vzip1q_s32(even, odd));
        rows[h][1] = vreinterpretq_s8_s32(vzip2q_s32(even, odd));
        bytes = vshrq_n_u8(bytes, 4);
    }
}

/* Sums of a panel for so many pairs of columns, whose second is `second` bytes behind the first. */
static inline __attribute__((always_inline)) void code_sums(int pairs, const uint8_t *weights,
                                                            const int8_t *activations, int64_t cols,
                                                            int64_t second, struct sums *sums)
{
    for (int b = 0; b < pairs; b++) {
        for (int i = 0; i < FOURS; i++) sums->of[b][i][0] = sums->of[b][i][1] = vdupq_n_s32(0);
    }
    for (int64_t c = 0; c < cols; c += STEP_COLUMNS) {
        int8x16_t both[PAIRS][2];
        for (int b = 0; b < pairs; b++) {
            const int8_t *from = activations + 2 * b * cols + c;
            const int8x16_t first = vld1q_s8(from), last = vld1q_s8(from + second);
            both[b][0] = vcombine_s8(vget_low_s8(first), vget_low_s8(last));
            both[b][1] = vcombine_s8(vget_high_s8(first), vget_high_s8(last));
        }
        for (int i = 0; i < FOURS; i++) {
            int8x16_t rows[2][2];
            cut(weights + 4 * c + 16 * i, rows);
            for (int b = 0; b < pairs; b++) {
                int32x4_t *of = sums->of[b][i];
                for (int h = 0; h < 2; h++) {
                    of[0] = vmmlaq_s32(of[0], rows[h][0], both[b][h]);
                    of[1] = vmmlaq_s32(of[1], rows[h][1], both[b][h]);
                }
            }
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

/* Stores the sums of two rows from `row` on, those that are of the call, for one or two columns. */
static inline void store(const struct tg_problem *p, int64_t b, int columns, int64_t row,
                         int32x4_t sums, const int32_t minus[2])
{
    int32_t lanes[4];

    vst1q_s32(lanes, sums);
    for (int i = 0; i < 2; i++) {
        if (row + i < p->row_begin || p->row_end <= row + i) continue;
        for (int j = 0; j < columns; j++) {
            ((int32_t *)p->results)[(b + j) * p->rows + row + i] = lanes[2 * i + j] - minus[j];
        }
    }
}

/* All rows of the call for `columns` (1, 2 or 4) columns from `first`. */
static inline __attribute__((always_inline)) void tile(int columns, const struct tg_problem *p,
                                                       int64_t first)
{
    const int pairs = (columns + 1) / 2, stored = columns == 1 ? 1 : 2;
    const int64_t second = columns == 1 ? 0 : p->cols;
    const int8_t *activations = p->activations + first * p->cols;
    int32_t minus[2 * PAIRS];

    for (int b = 0; b < columns; b++) minus[b] = sum_of(activations + b * p->cols, p->cols);
    for (int64_t row = p->row_begin / 16 * 16; row < p->row_end; row += 16) {
        const uint8_t *weights = p->weights + row / 16 * (4 * p->cols);
        struct sums sums;
        code_sums(pairs, weights, activations, p->cols, second, &sums);
        for (int b = 0; b < pairs; b++) {
            for (int i = 0; i < 2 * FOURS; i++) {
                store(p, first + 2 * b, stored, row + 2 * i, sums.of[b][i / 2][i % 2],
                      minus + 2 * b);
            }
        }
    }
}

void tg_kernel_panel_i8mm(const struct tg_problem *p)
{
    int64_t b = 0;

    assert(p->cols % STEP_COLUMNS == 0 && p->cols < 1 << 23);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (; b + 4 <= p->batch; b += 4) tile(4, p, b);
    for (; b + 2 <= p->batch; b += 2) tile(2, p, b);
    for (; b < p->batch; b++) tile(1, p, b);
}
