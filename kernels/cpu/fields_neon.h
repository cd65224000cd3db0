/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_FIELDS_NEON_H
#define TG_KERNELS_FIELDS_NEON_H

/*
 * Products of rows of 2-bit codes on NEON: one row, and up to four columns of activations, at a
 * time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * 16 bytes of codes have 64 columns: 16 neighbouring ones in each field, the first in the highest
 * bits, `apart` columns from field to field: 16 where groups have 64 columns and 32 where they have
 * 128, two times 16 bytes. With the dot product instructions a register of codes and one of
 * activations add four products to each of four sums. Without them they are multiplied to 16 bits,
 * two to a lane, and widened in time.
 *
 * Limits: below 2^23 columns (int32 sums). 16 bytes add at most 4 * 256 to a lane of 16 bits, so
 * sums are widened after 31 of them (31744). Only for kernels that are compiled for ARM; elsewhere
 * there is nothing here.
 * Source: the layouts are bitnet.cpp's, arXiv:2502.11880.
 */

#ifdef __ARM_NEON

#include <arm_neon.h>
#include <assert.h>

#include "kernels/op.h"

enum { TG_FIELDS_NEON_COLUMNS = 4, TG_FIELDS_NEON_FLUSH = 31 };

/* The four fields of 16 bytes, each as 16 codes. */
static inline void tg_fields_neon_cut(const uint8_t *weights, int8x16_t codes[4])
{
    const uint8x16_t mask = vdupq_n_u8(3), bytes = vld1q_u8(weights);

    codes[0] = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 6));
    codes[1] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(bytes, 4), mask));
    codes[2] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(bytes, 2), mask));
    codes[3] = vreinterpretq_s8_u8(vandq_u8(bytes, mask));
}

#ifdef __ARM_FEATURE_DOTPROD

/* Sums of so many 16 bytes of a row for `columns` columns, which are `cols` apart. */
static inline __attribute__((always_inline)) void tg_fields_neon_sums(int columns, int apart,
                                                                      const uint8_t *weights,
                                                                      const int8_t *activations,
                                                                      int64_t cols, int32_t *sums)
{
    int32x4_t wide[TG_FIELDS_NEON_COLUMNS];

    for (int b = 0; b < columns; b++) wide[b] = vdupq_n_s32(0);
    for (int64_t c = 0; c < cols; c += 64) {
        const int8_t *with = activations + c / (4 * apart) * (4 * apart) + c / 4 % apart;
        int8x16_t codes[4];
        tg_fields_neon_cut(weights + c / 4, codes);
        for (int b = 0; b < columns; b++) {
            for (int f = 0; f < 4; f++) {
                const int8x16_t a = vld1q_s8(with + b * cols + apart * f);
                wide[b] = vdotq_s32(wide[b], codes[f], a);
            }
        }
    }
    for (int b = 0; b < columns; b++) sums[b] = vaddvq_s32(wide[b]);
}

#else

static inline __attribute__((always_inline)) void tg_fields_neon_sums(int columns, int apart,
                                                                      const uint8_t *weights,
                                                                      const int8_t *activations,
                                                                      int64_t cols, int32_t *sums)
{
    int32x4_t wide[TG_FIELDS_NEON_COLUMNS];
    int64_t c = 0;

    for (int b = 0; b < columns; b++) wide[b] = vdupq_n_s32(0);
    while (c < cols) {
        const int64_t most = c + 64 * TG_FIELDS_NEON_FLUSH, end = most < cols ? most : cols;
        int16x8_t narrow[TG_FIELDS_NEON_COLUMNS][2];
        for (int b = 0; b < columns; b++) narrow[b][0] = narrow[b][1] = vdupq_n_s16(0);
        for (; c < end; c += 64) {
            const int8_t *with = activations + c / (4 * apart) * (4 * apart) + c / 4 % apart;
            int8x16_t codes[4];
            tg_fields_neon_cut(weights + c / 4, codes);
            for (int b = 0; b < columns; b++) {
                for (int f = 0; f < 4; f++) {
                    const int8x16_t a = vld1q_s8(with + b * cols + apart * f);
                    narrow[b][0] = vmlal_s8(narrow[b][0], vget_low_s8(codes[f]), vget_low_s8(a));
                    narrow[b][1] = vmlal_high_s8(narrow[b][1], codes[f], a);
                }
            }
        }
        for (int b = 0; b < columns; b++) {
            wide[b] = vpadalq_s16(vpadalq_s16(wide[b], narrow[b][0]), narrow[b][1]);
        }
    }
    for (int b = 0; b < columns; b++) sums[b] = vaddvq_s32(wide[b]);
}

#endif

/* The sum of one column of activations, a multiple of 16. */
static inline int32_t tg_fields_neon_activation_sum(const int8_t *activations, int64_t cols)
{
    int32x4_t sum = vdupq_n_s32(0);

    for (int64_t c = 0; c < cols; c += 16) {
        sum = vpadalq_s16(sum, vpaddlq_s8(vld1q_s8(activations + c)));
    }
    return vaddvq_s32(sum);
}

/* All rows of the call for `columns` (1, 2 or 4) columns from `first`. */
static inline __attribute__((always_inline)) void
tg_fields_neon_tile(int columns, int apart, const struct tg_problem *p, int64_t first)
{
    const int8_t *activations = p->activations + first * p->cols;
    int32_t *results = (int32_t *)p->results + first * p->rows;
    int32_t minus[TG_FIELDS_NEON_COLUMNS], sums[TG_FIELDS_NEON_COLUMNS];

    for (int b = 0; b < columns; b++) {
        minus[b] = tg_fields_neon_activation_sum(activations + b * p->cols, p->cols);
    }
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        tg_fields_neon_sums(columns, apart, p->weights + r * (p->cols / 4), activations, p->cols,
                            sums);
        for (int b = 0; b < columns; b++) results[b * p->rows + r] = sums[b] - minus[b];
    }
}

/* The whole call; `apart` is 16 or 32, a constant. */
static inline __attribute__((always_inline)) void
tg_fields_neon_multiply(int apart, const struct tg_problem *p)
{
    int64_t b = 0;

    assert(p->cols % (4 * apart) == 0 && p->cols < 1 << 23);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (; b + 4 <= p->batch; b += 4) tg_fields_neon_tile(4, apart, p, b);
    for (; b + 2 <= p->batch; b += 2) tg_fields_neon_tile(2, apart, p, b);
    for (; b < p->batch; b++) tg_fields_neon_tile(1, apart, p, b);
}

#endif
#endif
