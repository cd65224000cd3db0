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
 * mask, and meets the 32 activations of the one group below and of the other above. They are put in
 * that order once, on the stack, for all rows of the call:
 *
 *   codes          bytes 0..31          bytes 32..63         ordered       times
 *   & 11000000     columns   0.. 31     columns 128..159       0.. 63     64
 *   & 00110000     columns  32.. 63     columns 160..191      64..127     16
 *   & 00001100     columns  64.. 95     columns 192..223     128..191      4
 *   & 00000011     columns  96..127     columns 224..255     192..255      1
 *
 * Each field has its own accumulator, so all terms of one have the same scale. At the end of the
 * rows they are brought to 64, added, and divided by one exact shift. An odd last group is loaded
 * below zeros. Four rows at once are four streams, which hardware prefetchers lose from memory; so
 * the bytes to come are prefetched as the one stream that they are.
 *
 * Limits: cols a multiple of 128, at most 2^17: 64 * 2 * 127 * 2^17 is the largest sum before the
 * shift, and below 2^31; the ordered activations are 128 KiB of stack, one column of that limit.
 * Source: the layout is bitnet.cpp's, arXiv:2502.11880; masks and scales in place of shifts are
 * ours.
 */

enum { FIELDS = 4, TILE_ROWS = 4, TILE_COLUMNS = 8, AHEAD_BYTES = 8192, ORDERED_BYTES = 1 << 17 };

/*
 * The accumulators of some rows. They are vectors of int as dpbusd gives them, not of long long as
 * __m512i is: gcc 12 copies an accumulator twice in each step when its type changes in the loop.
 */
struct fields {
    __v16si of[TILE_ROWS][FIELDS];
};

/*
 * Adds one group of 128 columns, or two, of `rows` rows; all but the pointers are constants. A
 * row's fields are cut first and multiplied then: where the two alternate, as compilers arrange a
 * plain `and`, Zen 4 is 5 to 8 % slower. gcc 12 moves the masked `and` less; look at its order
 * after a change.
 */
static inline __attribute__((always_inline)) void
add_groups(int groups, int rows, const uint8_t *weights, int64_t row_bytes, const int8_t *ordered,
           struct fields *sums)
{
    __m512i codes[TILE_ROWS], both[FIELDS];

    for (int i = 0; i < rows; i++) {
        codes[i] = _mm512_maskz_loadu_epi64(groups == 2 ? 0xff : 0x0f, weights + i * row_bytes);
    }
    for (int f = 0; f < FIELDS; f++) both[f] = _mm512_loadu_si512(ordered + 64 * f);
    for (int i = 0; i < rows; i++) {
        __m512i field[FIELDS];
        for (int f = 0; f < FIELDS; f++) {
            const __m512i mask = _mm512_set1_epi8((char)(0xc0 >> 2 * f));
            field[f] = _mm512_maskz_and_epi64(0xff, codes[i], mask);
        }
        for (int f = 0; f < FIELDS; f++) {
            sums->of[i][f] = (__v16si)_mm512_dpbusd_epi32((__m512i)sums->of[i][f], field[f],
                                                          both[f]);
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
static inline __attribute__((always_inline)) __m128i code_sums(int rows, const uint8_t *weights,
                                                               const int8_t *ordered, int64_t cols)
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
        add_groups(2, rows, from, row_bytes, ordered + c, &sums);
    }
    if (c < cols) add_groups(1, rows, weights + c / 4, row_bytes, ordered + c, &sums);
    return row_sums(&sums);
}

/* Puts one column of activations in the order in which fields meet them; returns their sum. */
static int32_t order(const int8_t *activations, int64_t cols, int8_t *ordered)
{
    __m512i sums[FIELDS] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                            _mm512_setzero_si512()};

    for (int64_t c = 0; c < cols; c += 256) {
        for (int f = 0; f < FIELDS; f++) {
            const __m256i *from = (const __m256i *)(activations + c + 32 * f);
            const __m256i first = _mm256_loadu_si256(from);
            const __m256i second = c + 256 <= cols ? _mm256_loadu_si256(from + 4)
                                                   : _mm256_setzero_si256();
            const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
            _mm512_storeu_si512(ordered + c + 64 * f, both);
            sums[f] = _mm512_dpbusd_epi32(sums[f], _mm512_set1_epi8(1), both);
        }
    }
    return _mm512_reduce_add_epi32(
        _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3])));
}

/* All rows of the call for `columns` columns from `first`, as many as fit when ordered. */
static void tile(const struct tg_problem *p, int64_t first, int64_t columns, int64_t ordered_bytes)
{
    const int64_t row_bytes = p->cols / 4;
    int32_t *results = (int32_t *)p->results + first * p->rows;
    int32_t minus[TILE_COLUMNS];
    _Alignas(64) int8_t ordered[ORDERED_BYTES];
    int64_t r = p->row_begin;

    for (int64_t b = 0; b < columns; b++) {
        const int8_t *activations = p->activations + (first + b) * p->cols;
        minus[b] = order(activations, p->cols, ordered + b * ordered_bytes);
    }
    for (; r + TILE_ROWS <= p->row_end; r += TILE_ROWS) {
        const uint8_t *weights = p->weights + r * row_bytes;
        for (int64_t b = 0; b < columns; b++) {
            const __m128i sums = code_sums(TILE_ROWS, weights, ordered + b * ordered_bytes,
                                           p->cols);
            _mm_storeu_si128((__m128i *)(results + b * p->rows + r),
                             _mm_sub_epi32(sums, _mm_set1_epi32(minus[b])));
        }
    }
    for (; r < p->row_end; r++) {
        const uint8_t *weights = p->weights + r * row_bytes;
        for (int64_t b = 0; b < columns; b++) {
            const __m128i sums = code_sums(1, weights, ordered + b * ordered_bytes, p->cols);
            results[b * p->rows + r] = _mm_cvtsi128_si32(sums) - minus[b];
        }
    }
}

void tg_kernel_i2s_avx512vnni(const struct tg_problem *p)
{
    const int64_t ordered_bytes = (p->cols + 255) / 256 * 256;
    int64_t at_once = TILE_COLUMNS;

    assert(p->cols % 128 == 0 && p->cols <= 1 << 17);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    while (at_once * ordered_bytes > ORDERED_BYTES) at_once /= 2;
    for (int64_t b = 0; b < p->batch; b += at_once) {
        tile(p, b, p->batch - b < at_once ? p->batch - b : at_once, ordered_bytes);
    }
}
