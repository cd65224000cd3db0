/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/ahead.h"
#include "kernels/cpu/fields_avx2.h"
#include "kernels/kernel.h"

/*
 * tq1_avx2: ternary product, 32 digits at a time, found by comparing.
 *
 *   results[b][r] = sum over c of digit[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * The first digit of a byte x is the part of 3x above 255: 1 from 86 on, 2 from 171 on; the next is
 * the first of 3x modulo 256. AVX2 compares signed bytes, so x has 128 taken away; three times that
 * is three times x with 128 taken away, modulo 256. Comparing gives -1, so what is summed is the
 * absolute value of two comparisons. maddubs multiplies digits with activations and adds neighbours
 * in 16-bit lanes.
 *
 * A block of 256 columns is 32 bytes, with the columns 32 k to 32 k + 31 in digit k, 16 bytes with
 * 160 + 16 k to 175 + 16 k, and 4 bytes with 240 + 4 k to 243 + 4 k, of which digit 4 is no weight;
 * a scale that is left out follows. The last 20 bytes are put together, and so are their
 * activations for each digit; the other 12 of the register meet zeros.
 *
 * Limits: cols a multiple of 256 and below 2^23 (int32 sums). A block adds 10 products of pairs of
 * at most 512 in size to a lane, so sums are widened after 6 blocks (30720).
 * Source: the layout is ggml's; digits by comparing are ours.
 */

enum { DIGITS = 5, BLOCK_COLS = 256, BLOCK_BYTES = 54, FLUSH_BLOCKS = 6 };

/* Takes the first digit out of bytes less 128, and moves the others up. */
static inline __m256i digit(__m256i *bytes)
{
    const __m256i not_0 = _mm256_cmpgt_epi8(*bytes, _mm256_set1_epi8(85 - 128));
    const __m256i is_2 = _mm256_cmpgt_epi8(*bytes, _mm256_set1_epi8(170 - 128));

    *bytes = _mm256_add_epi8(*bytes, _mm256_add_epi8(*bytes, *bytes));
    return _mm256_abs_epi8(_mm256_add_epi8(not_0, is_2));
}

/* The activations of digit k of the last 20 bytes of a block: 16, 4, and no more. */
static inline __m256i last_activations(const int8_t *activations, int k)
{
    const __m128i sixteen = _mm_loadu_si128((const __m128i *)(activations + 160 + 16 * k));
    int32_t four = 0;

    if (k < 4) memcpy(&four, activations + 240 + 4 * k, sizeof four);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(sixteen), _mm_cvtsi32_si128(four), 1);
}

/* Adds a block of a row for `columns` columns, a constant. */
static inline __attribute__((always_inline)) void add_block(int columns, const uint8_t *weights,
                                                            const int8_t *activations, int64_t cols,
                                                            __m256i *narrow)
{
    const __m256i middle = _mm256_set1_epi8(-128);
    const __m128i sixteen = _mm_loadu_si128((const __m128i *)(weights + 32));
    int32_t four;

    memcpy(&four, weights + 48, sizeof four);
    const __m256i last20 = _mm256_inserti128_si256(_mm256_castsi128_si256(sixteen),
                                                   _mm_cvtsi32_si128(four), 1);
    __m256i first = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)weights), middle);
    __m256i last = _mm256_xor_si256(last20, middle);

    for (int k = 0; k < DIGITS; k++) {
        const __m256i digits = digit(&first), last_digits = digit(&last);
        for (int b = 0; b < columns; b++) {
            const int8_t *a = activations + b * cols;
            const __m256i sum = tg_fields_avx2_products(digits, a + 32 * k);
            const __m256i more = _mm256_maddubs_epi16(last_digits, last_activations(a, k));
            narrow[b] = _mm256_add_epi16(narrow[b], _mm256_add_epi16(sum, more));
        }
    }
}

static inline __attribute__((always_inline)) void
row(int columns, const uint8_t *weights, const int8_t *activations, int64_t cols, int32_t *sums)
{
    const int64_t blocks = cols / BLOCK_COLS;
    __m256i wide[TG_FIELDS_AVX2_COLUMNS];

    for (int b = 0; b < columns; b++) wide[b] = _mm256_setzero_si256();
    for (int64_t begin = 0; begin < blocks; begin += FLUSH_BLOCKS) {
        const int64_t end = begin + FLUSH_BLOCKS < blocks ? begin + FLUSH_BLOCKS : blocks;
        __m256i narrow[TG_FIELDS_AVX2_COLUMNS];
        for (int b = 0; b < columns; b++) narrow[b] = _mm256_setzero_si256();
        for (int64_t n = begin; n < end; n++) {
            const uint8_t *from = weights + BLOCK_BYTES * n;
            tg_ahead_fetch(from);
            add_block(columns, from, activations + BLOCK_COLS * n, cols, narrow);
        }
        for (int b = 0; b < columns; b++) {
            const __m256i pairs = _mm256_madd_epi16(narrow[b], _mm256_set1_epi16(1));
            wide[b] = _mm256_add_epi32(wide[b], pairs);
        }
    }
    for (int b = 0; b < columns; b++) sums[b] = tg_fields_avx2_lane_sum(wide[b]);
}

void tg_kernel_tq1_avx2(const struct tg_problem *p)
{
    assert(p->cols % BLOCK_COLS == 0);
    tg_fields_avx2_multiply(p, p->cols / BLOCK_COLS * BLOCK_BYTES, row);
}
