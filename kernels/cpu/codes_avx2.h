/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CODES_AVX2_H
#define TG_KERNELS_CODES_AVX2_H

/*
 * Products of 32 rows that were cut into codes of one byte, 0 to 2, with many columns of
 * activations on AVX2. Tables of sums are made for one column; codes are cut for all.
 *
 *   codes     128 bytes a step of four matrix columns: four a row, of rows 0 to 3 and 8 to 11, then
 *             4 to 7 and 12 to 15, and the same of rows 16 to 31
 *   ordered   16 bytes a step: these four columns of four columns of activations
 *
 * That is the order in which unpacking leaves rows that lie as those of TL1 and TL2 do. maddubs
 * multiplies four codes of eight rows with four activations, given to all, and adds neighbours in
 * 16-bit lanes. Half of the rows meet four columns of activations at a time, which is eight sums.
 *
 * Limits: activations of any size: a step adds at most 512 to a lane in size, and 16-bit sums are
 * widened after 60 steps (30720). Only for kernels that are compiled for AVX2; elsewhere there is
 * nothing here.
 * Source: as kernels/cpu/panel_avx2.c.
 */

#ifdef __AVX2__

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/cpu/tables_avx2.h"
#include "kernels/op.h"

enum {
    TG_CODES_STEP_COLUMNS = 4,
    TG_CODES_STEP_BYTES = 128,
    TG_CODES_ORDERED_BYTES = 16, /* of a step of four columns of activations */
    TG_CODES_TILE_COLUMNS = 4,
    TG_CODES_FLUSH_STEPS = 60
};

/* Four vectors of 32 rows, which are bytes, as four bytes a row in the order above. */
static inline void tg_codes_avx2_turn(const __m256i rows[4], __m256i turned[4])
{
    const __m256i low01 = _mm256_unpacklo_epi8(rows[0], rows[1]);
    const __m256i low23 = _mm256_unpacklo_epi8(rows[2], rows[3]);
    const __m256i high01 = _mm256_unpackhi_epi8(rows[0], rows[1]);
    const __m256i high23 = _mm256_unpackhi_epi8(rows[2], rows[3]);

    turned[0] = _mm256_unpacklo_epi16(low01, low23);
    turned[1] = _mm256_unpackhi_epi16(low01, low23);
    turned[2] = _mm256_unpacklo_epi16(high01, high23);
    turned[3] = _mm256_unpackhi_epi16(high01, high23);
}

/*
 * Sums of 16 rows for `columns` columns, a constant: sums[0] has rows 0 to 3 and 8 to 11. Those of
 * 16 bits are vectors of short: gcc 12 copies those whose type changes in the loop.
 */
static inline __attribute__((always_inline)) void
tg_codes_avx2_sums(int columns, const uint8_t *codes, const int8_t *ordered, int64_t steps,
                   __m256i sums[2][TG_CODES_TILE_COLUMNS])
{
    for (int i = 0; i < 2 * columns; i++) sums[i / columns][i % columns] = _mm256_setzero_si256();
    for (int64_t begin = 0; begin < steps; begin += TG_CODES_FLUSH_STEPS) {
        const int64_t left = steps - begin;
        const int64_t end = begin + (left < TG_CODES_FLUSH_STEPS ? left : TG_CODES_FLUSH_STEPS);
        __v16hi narrow[2][TG_CODES_TILE_COLUMNS] = {0};
        for (int64_t s = begin; s < end; s++) {
            const __m256i *at = (const __m256i *)(codes + TG_CODES_STEP_BYTES * s);
            const __m256i both[2] = {_mm256_load_si256(at), _mm256_load_si256(at + 1)};
            for (int b = 0; b < columns; b++) {
                int32_t four;
                memcpy(&four, ordered + TG_CODES_ORDERED_BYTES * s + 4 * b, sizeof four);
                const __m256i with = _mm256_set1_epi32(four);
                for (int i = 0; i < 2; i++) {
                    narrow[i][b] += (__v16hi)_mm256_maddubs_epi16(both[i], with);
                }
            }
        }
        for (int i = 0; i < 2 * columns; i++) {
            __m256i *sum = &sums[i / columns][i % columns];
            const __m256i sixteen = (__m256i)narrow[i / columns][i % columns];
            const __m256i pairs = _mm256_madd_epi16(sixteen, _mm256_set1_epi16(1));
            *sum = _mm256_add_epi32(*sum, pairs);
        }
    }
}

/*
 * Makes the results of 32 rows from `row` on for `columns` (1, 2 or 4) columns from b on, or adds
 * to them where the codes are not the first of their row; the first take `minus` away.
 */
static inline __attribute__((always_inline)) void
tg_codes_avx2_multiply(int columns, const struct tg_problem *p, int64_t b, int64_t row,
                       const uint8_t *codes, const int8_t *ordered, int64_t steps, int is_first,
                       const int32_t *minus)
{
    for (int half = 0; half < 2; half++) {
        __m256i sums[2][TG_CODES_TILE_COLUMNS];
        tg_codes_avx2_sums(columns, codes + 64 * half, ordered, steps, sums);
        for (int j = 0; j < columns; j++) {
            const __m256i less = _mm256_set1_epi32(is_first ? minus[j] : 0);
            const __m256i first = _mm256_permute2x128_si256(sums[0][j], sums[1][j], 0x20);
            const __m256i second = _mm256_permute2x128_si256(sums[0][j], sums[1][j], 0x31);
            const int64_t at = row + 16 * half;
            tg_tables_avx2_store(p, b + j, at, is_first, _mm256_sub_epi32(first, less));
            tg_tables_avx2_store(p, b + j, at + 8, is_first, _mm256_sub_epi32(second, less));
        }
    }
}

#endif
#endif
