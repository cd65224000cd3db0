/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_DIGITS_AVX2_H
#define TG_KERNELS_DIGITS_AVX2_H

/*
 * Products of TQ1_0 with 256 bits, eight rows at a time, digits of 32 bytes in pairs.
 *
 *   results[b][r] = sum over c of digit[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * A byte is a fraction of 256 to the base of three. Nine times it has the first two digits above
 * 255, as a number from 0 to 8, and below 256 the fraction of the others. maddubs multiplies the
 * even bytes without a mask, and the odd ones, to 16 bits each, and then the lower halves of
 * these. The upper halves of both are brought into one register, in which pshufb looks up the first
 * digit of a pair, and the second. The fifth digit is what three times the last fraction has above
 * 255.
 *
 * A block of 256 columns is 32 bytes, with the columns 32 k to 32 k + 31 in digit k, 16 bytes with
 * 160 + 16 k to 175 + 16 k, and 4 bytes with 240 + 4 k to 243 + 4 k, of which digit 4 is no weight;
 * a scale that is left out follows. So that registers are full, the 32 bytes are summed of one row,
 * the 16 of two rows, and the 4 of eight, which meet the same activations.
 *
 * Only for kernels that are compiled for AVX2; elsewhere there is nothing here.
 * Source: the layout is ggml's; digits in pairs are ours.
 */

#ifdef __AVX2__

#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/ahead.h"
#include "kernels/cpu/fields_avx2.h"
#include "kernels/op.h"

enum {
    TG_DIGITS = 5,
    TG_DIGITS_BLOCK_COLS = 256,
    TG_DIGITS_BLOCK_BYTES = 54,
    TG_DIGITS_ROWS = 8,
    TG_DIGITS_HALF_ROWS = 4,
    TG_DIGITS_COLUMNS = 4
};

/* The rows of which a register has bytes of a block: 32 of one, 16 of two, or 4 of eight. */
enum tg_digits_part { TG_DIGITS_ONE, TG_DIGITS_TWO, TG_DIGITS_EIGHT };

/* Registers that have a part of eight rows, and the digits of its bytes that are weights. */
static inline int tg_digits_registers(enum tg_digits_part part)
{
    return part == TG_DIGITS_ONE ? TG_DIGITS_ROWS : part == TG_DIGITS_TWO ? TG_DIGITS_HALF_ROWS : 1;
}

static inline int tg_digits_count(enum tg_digits_part part)
{
    return part == TG_DIGITS_EIGHT ? TG_DIGITS - 1 : TG_DIGITS;
}

/*
 * Sums of a part of eight rows for `columns` (1, 2 or 4) columns, which are `cols` apart. The part
 * and `columns` are constants. Register i has row i, or rows i and i + 4, or all.
 */
typedef void (*tg_digits_part_fn)(enum tg_digits_part part, int columns, const uint8_t *const *rows,
                                  const int8_t *activations, int64_t cols,
                                  __m256i (*sums)[TG_DIGITS_COLUMNS]);

/* The bytes of a part that are in block n. */
static inline __attribute__((always_inline)) __m256i
tg_digits_bytes(enum tg_digits_part part, const uint8_t *const *rows, int64_t n)
{
    const int64_t at = TG_DIGITS_BLOCK_BYTES * n;
    int32_t four[TG_DIGITS_ROWS];

    if (part == TG_DIGITS_ONE) {
        tg_ahead_fetch(rows[0] + at);
        return _mm256_loadu_si256((const __m256i *)(rows[0] + at));
    }
    if (part == TG_DIGITS_TWO) {
        const __m128i first = _mm_loadu_si128((const __m128i *)(rows[0] + at + 32));
        const __m128i second = _mm_loadu_si128(
            (const __m128i *)(rows[TG_DIGITS_HALF_ROWS] + at + 32));
        return _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
    }
    for (int i = 0; i < TG_DIGITS_ROWS; i++) memcpy(&four[i], rows[i] + at + 48, sizeof four[i]);
    return _mm256_setr_epi32(four[0], four[1], four[2], four[3], four[4], four[5], four[6],
                             four[7]);
}

/* The activations of a block that meet digit k of a part. */
static inline __attribute__((always_inline)) __m256i
tg_digits_activations(enum tg_digits_part part, const int8_t *block, int k)
{
    int32_t four;

    if (part == TG_DIGITS_ONE) return _mm256_loadu_si256((const __m256i *)(block + 32 * k));
    if (part == TG_DIGITS_TWO) {
        const __m128i *sixteen = (const __m128i *)(block + 160 + 16 * k);
        return _mm256_broadcastsi128_si256(_mm_loadu_si128(sixteen));
    }
    memcpy(&four, block + 240 + 4 * k, sizeof four);
    return _mm256_set1_epi32(four);
}

/* What even and odd bytes have above 255, each in its place. */
static inline __m256i tg_digits_above_255(__m256i even, __m256i odd)
{
    return _mm256_or_si256(_mm256_srli_epi16(even, 8),
                           _mm256_and_si256(odd, _mm256_set1_epi16((short)0xff00)));
}

/* Digits 0 and 1 of bytes as numbers from 0 to 8, digits 2 and 3, and digit 4. */
struct tg_digits {
    __m256i first, second, last;
};

static inline __attribute__((always_inline)) struct tg_digits
tg_digits_cut(enum tg_digits_part part, __m256i bytes)
{
    const __m256i nine = _mm256_set1_epi16(9), three = _mm256_set1_epi16(3);
    const __m256i even = _mm256_maddubs_epi16(bytes, nine);
    const __m256i odd = _mm256_maddubs_epi16(bytes, _mm256_set1_epi16(9 << 8));
    const __m256i next_even = _mm256_maddubs_epi16(even, nine);
    const __m256i next_odd = _mm256_maddubs_epi16(odd, nine);
    struct tg_digits digits = {
        tg_digits_above_255(even, odd), tg_digits_above_255(next_even, next_odd), {0}};

    if (part != TG_DIGITS_EIGHT) {
        digits.last = tg_digits_above_255(_mm256_maddubs_epi16(next_even, three),
                                          _mm256_maddubs_epi16(next_odd, three));
    }
    return digits;
}

/* The digits, one a byte. */
static inline __attribute__((always_inline)) void tg_digits_codes(struct tg_digits digits,
                                                                  __m256i codes[TG_DIGITS])
{
    const __m256i high = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0));
    const __m256i low = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0));

    codes[0] = _mm256_shuffle_epi8(high, digits.first);
    codes[1] = _mm256_shuffle_epi8(low, digits.first);
    codes[2] = _mm256_shuffle_epi8(high, digits.second);
    codes[3] = _mm256_shuffle_epi8(low, digits.second);
    codes[4] = digits.last;
}

/* The sums of eight rows for `columns` columns: a row a lane. */
static inline __attribute__((always_inline)) void
tg_digits_eight_rows(int columns, tg_digits_part_fn part_sums,
                     const uint8_t *const rows[TG_DIGITS_ROWS], const int8_t *activations,
                     int64_t cols, __m256i results[TG_DIGITS_COLUMNS])
{
    __m256i one[TG_DIGITS_ROWS][TG_DIGITS_COLUMNS], two[TG_DIGITS_HALF_ROWS][TG_DIGITS_COLUMNS],
        eight[1][TG_DIGITS_COLUMNS];

    part_sums(TG_DIGITS_ONE, columns, rows, activations, cols, one);
    part_sums(TG_DIGITS_TWO, columns, rows, activations, cols, two);
    part_sums(TG_DIGITS_EIGHT, columns, rows, activations, cols, eight);
    for (int b = 0; b < columns; b++) {
        for (int i = 0; i < TG_DIGITS_HALF_ROWS; i++) {
            const __m256i first = one[i][b], second = one[i + TG_DIGITS_HALF_ROWS][b];
            const __m256i both = _mm256_add_epi32(_mm256_permute2x128_si256(first, second, 0x20),
                                                  _mm256_permute2x128_si256(first, second, 0x31));
            two[i][b] = _mm256_add_epi32(two[i][b], both);
        }
        const __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(two[0][b], two[1][b]),
                                              _mm256_hadd_epi32(two[2][b], two[3][b]));
        results[b] = _mm256_add_epi32(eight[0][b], all);
    }
}

/* All rows of the call for `columns` (1, 2 or 4) columns from `first`. */
static inline __attribute__((always_inline)) void
tg_digits_tile(int columns, const struct tg_problem *p, tg_digits_part_fn part_sums, int64_t first)
{
    const int64_t row_bytes = p->cols / TG_DIGITS_BLOCK_COLS * TG_DIGITS_BLOCK_BYTES;
    const int8_t *activations = p->activations + first * p->cols;
    int32_t minus[TG_DIGITS_COLUMNS], lanes[TG_DIGITS_ROWS];

    for (int b = 0; b < columns; b++) {
        minus[b] = tg_fields_avx2_activation_sum(activations + b * p->cols, p->cols);
    }
    for (int64_t r = p->row_begin; r < p->row_end; r += TG_DIGITS_ROWS) {
        const int64_t count = p->row_end - r < TG_DIGITS_ROWS ? p->row_end - r : TG_DIGITS_ROWS;
        const uint8_t *rows[TG_DIGITS_ROWS];
        __m256i sums[TG_DIGITS_COLUMNS];
        for (int i = 0; i < TG_DIGITS_ROWS;
             i++) { /* the last stands in for those that are not there */
            rows[i] = p->weights + (r + (i < count ? i : count - 1)) * row_bytes;
        }
        tg_digits_eight_rows(columns, part_sums, rows, activations, p->cols, sums);
        for (int b = 0; b < columns; b++) {
            const __m256i results = _mm256_sub_epi32(sums[b], _mm256_set1_epi32(minus[b]));
            int32_t *to = (int32_t *)p->results + (first + b) * p->rows + r;
            _mm256_storeu_si256((__m256i *)lanes, results);
            memcpy(to, lanes, (size_t)count * sizeof *to);
        }
    }
}

/* The whole call. */
static inline __attribute__((always_inline)) void tg_digits_multiply(const struct tg_problem *p,
                                                                     tg_digits_part_fn part_sums)
{
    int64_t b = 0;

    assert(p->cols % TG_DIGITS_BLOCK_COLS == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (; b + 4 <= p->batch; b += 4) tg_digits_tile(4, p, part_sums, b);
    for (; b + 2 <= p->batch; b += 2) tg_digits_tile(2, p, part_sums, b);
    for (; b < p->batch; b++) tg_digits_tile(1, p, part_sums, b);
}

#endif
#endif
