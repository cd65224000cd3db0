/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/kernel.h"

/*
 * i2s_avx512vnni: ternary product without a shift, four rows at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * 64 bytes of codes are two groups of 128 columns. A field is kept where it lies in its byte, by a
 * mask, and meets the 32 activations of the one group below and of the other above; the four rows
 * share each such pair:
 *
 *   codes          bytes 0..31          bytes 32..63         times
 *   & 11000000     columns   0.. 31     columns 128..159     64
 *   & 00110000     columns  32.. 63     columns 160..191     16
 *   & 00001100     columns  64.. 95     columns 192..223      4
 *   & 00000011     columns  96..127     columns 224..255      1
 *
 * Each field has its own accumulator, so all terms of one have the same scale. At the end of the
 * rows they are brought to 64, added, and divided by one exact shift. An odd last group is loaded
 * below zeros. Four rows at once are four streams, which hardware prefetchers lose from memory; so
 * the bytes to come are prefetched as the one stream that they are.
 *
 * Limits: cols a multiple of 128, at most 2^17: 64 * 2 * 127 * 2^17 is the largest sum before the
 * shift, and below 2^31.
 * Source: the layout is bitnet.cpp's, arXiv:2502.11880; masks and scales in place of shifts are
 * ours.
 */

enum { FIELDS = 4, TILE_ROWS = 4, TILE_COLUMNS = 8, AHEAD_BYTES = 8192 };

/*
 * The accumulators of some rows. They are vectors of int as dpbusd gives them, not of long long as
 * __m512i is: gcc 12 copies an accumulator twice in each step when its type changes in the loop.
 */
struct fields {
    __v16si of[TILE_ROWS][FIELDS];
};

/* Adds one group of 128 columns, or two, of `rows` rows; all but the pointers are constants. */
static inline __attribute__((always_inline)) void
add_groups(int groups, int rows, const uint8_t *weights, int64_t row_bytes,
           const int8_t *activations, struct fields *sums)
{
    const int8_t *above = activations + (groups == 2 ? 128 : 0);
    __m512i codes[TILE_ROWS];

    for (int i = 0; i < rows; i++) {
        codes[i] = _mm512_maskz_loadu_epi64(groups == 2 ? 0xff : 0x0f, weights + i * row_bytes);
    }
    for (int f = 0; f < FIELDS; f++) {
        const __m512i mask = _mm512_set1_epi8((char)(0xc0 >> 2 * f));
        const __m256i first = _mm256_loadu_si256((const __m256i *)(activations + 32 * f));
        const __m256i second = _mm256_loadu_si256((const __m256i *)(above + 32 * f));
        const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
        for (int i = 0; i < rows; i++) {
            sums->of[i][f] = (__v16si)_mm512_dpbusd_epi32((__m512i)sums->of[i][f],
                                                          _mm512_and_si512(codes[i], mask), both);
        }
    }
}

/* All fields of one row, on the scale of the first. */
static inline __m512i joined(const __v16si of[FIELDS])
{
    const __m512i s01 = _mm512_add_epi32((__m512i)of[0], _mm512_slli_epi32((__m512i)of[1], 2));
    const __m512i s23 = _mm512_add_epi32(_mm512_slli_epi32((__m512i)of[2], 4),
                                         _mm512_slli_epi32((__m512i)of[3], 6));
    return _mm512_add_epi32(s01, s23);
}

static inline __m512i add_unpacked32(__m512i a, __m512i b)
{
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}

static inline __m512i add_unpacked64(__m512i a, __m512i b)
{
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* The sum of each row, one a lane. */
static inline __m128i row_sums(const struct fields *sums)
{
    const __m512i rows01 = add_unpacked32(joined(sums->of[0]), joined(sums->of[1]));
    const __m512i rows23 = add_unpacked32(joined(sums->of[2]), joined(sums->of[3]));
    const __m512i quarters = add_unpacked64(rows01, rows23);
    const __m256i halves = _mm256_add_epi32(_mm512_castsi512_si256(quarters),
                                            _mm512_extracti64x4_epi64(quarters, 1));
    const __m128i whole = _mm_add_epi32(_mm256_castsi256_si128(halves),
                                        _mm256_extracti128_si256(halves, 1));
    return _mm_srai_epi32(whole, 6);
}

/* Sums of code times activation of `rows` (1 or 4) neighbouring rows; the other lanes are 0. */
static inline __attribute__((always_inline)) __m128i
code_sums(int rows, const uint8_t *weights, const int8_t *activations, int64_t cols)
{
    const int64_t row_bytes = cols / 4;
    const uint8_t *ahead = weights + AHEAD_BYTES;
    struct fields sums;
    int64_t c = 0;

    for (int i = 0; i < TILE_ROWS; i++) {
        for (int f = 0; f < FIELDS; f++) sums.of[i][f] = (__v16si)_mm512_setzero_si512();
    }
    for (; c + 256 <= cols; c += 256) {
        const uint8_t *from = weights + c / 4;
        for (int i = 0; i < rows; i++) {
            _mm_prefetch((const char *)(ahead + rows * c / 4 + 64 * i), _MM_HINT_T1);
        }
        add_groups(2, rows, from, row_bytes, activations + c, &sums);
    }
    if (c < cols) add_groups(1, rows, weights + c / 4, row_bytes, activations + c, &sums);
    return row_sums(&sums);
}

static int32_t activation_sum(const int8_t *activations, int64_t cols)
{
    __m512i sum = _mm512_setzero_si512();

    for (int64_t c = 0; c < cols; c += 64) {
        const __m512i a = _mm512_loadu_si512(activations + c);
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), a);
    }
    return _mm512_reduce_add_epi32(sum);
}

/* All rows of the call for `columns` (at most TILE_COLUMNS) columns from `first`. */
static void tile(const struct tg_problem *p, int64_t first, int64_t columns)
{
    const int64_t cols = p->cols, row_bytes = cols / 4;
    const int8_t *activations = p->activations + first * cols;
    int32_t *results = (int32_t *)p->results + first * p->rows;
    int32_t minus[TILE_COLUMNS];
    int64_t r = p->row_begin;

    for (int64_t b = 0; b < columns; b++) minus[b] = activation_sum(activations + b * cols, cols);
    for (; r + TILE_ROWS <= p->row_end; r += TILE_ROWS) {
        const uint8_t *weights = p->weights + r * row_bytes;
        for (int64_t b = 0; b < columns; b++) {
            const __m128i sums = code_sums(TILE_ROWS, weights, activations + b * cols, cols);
            _mm_storeu_si128((__m128i *)(results + b * p->rows + r),
                             _mm_sub_epi32(sums, _mm_set1_epi32(minus[b])));
        }
    }
    for (; r < p->row_end; r++) {
        const uint8_t *weights = p->weights + r * row_bytes;
        for (int64_t b = 0; b < columns; b++) {
            const __m128i sums = code_sums(1, weights, activations + b * cols, cols);
            results[b * p->rows + r] = _mm_cvtsi128_si32(sums) - minus[b];
        }
    }
}

void tg_kernel_i2s_avx512vnni(const struct tg_problem *p)
{
    assert(p->cols % 128 == 0 && p->cols <= 1 << 17);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t b = 0; b < p->batch; b += TILE_COLUMNS) {
        tile(p, b, p->batch - b < TILE_COLUMNS ? p->batch - b : TILE_COLUMNS);
    }
}
