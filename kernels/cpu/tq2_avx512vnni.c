/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/kernel.h"

/*
 * tq2_avx512vnni: ternary product without a shift, four rows at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * The codes of a block of 256 columns are the first 64 of its 66 bytes; the scale behind them is
 * never loaded. A field is kept where it lies in its byte, by a mask, and meets the 32 activations
 * of the first 128 columns below and of the others above. They are put in that order once, on the
 * stack, for all rows of the call:
 *
 *   codes          bytes 0..31          bytes 32..63         ordered       times
 *   & 00000011     columns   0.. 31     columns 128..159       0.. 63      1
 *   & 00001100     columns  32.. 63     columns 160..191      64..127      4
 *   & 00110000     columns  64.. 95     columns 192..223     128..191     16
 *   & 11000000     columns  96..127     columns 224..255     192..255     64
 *
 * Each field has its own accumulator, so all terms of one have the same scale. At the end of the
 * rows they are brought to 64, added, and divided by one exact shift. Blocks of 66 bytes make most
 * loads cross a cache line. Four rows at once are four streams, which hardware prefetchers lose
 * from memory; so the bytes to come are prefetched as the one stream that they are.
 *
 * Limits: cols a multiple of 256, at most 2^17: 64 * 2 * 128 * 2^17 is the largest sum before the
 * shift; all is modulo 2^32, and 2^31 is only reached from below. The ordered activations are 128
 * KiB of stack, one column of that limit.
 * Source: the layout is ggml's; masks and scales in place of shifts are ours.
 */

enum { FIELDS = 4, TILE_ROWS = 4, TILE_COLUMNS = 8, AHEAD_BYTES = 8192, ORDERED_BYTES = 1 << 17 };
enum { BLOCK_COLS = 256, BLOCK_BYTES = 66 };

/* The accumulators of some rows, as dpbusd gives them: gcc 12 copies those whose type changes. */
struct fields {
    __v16si of[TILE_ROWS][FIELDS];
};

/*
 * Adds one block of `rows` rows; all but the pointers are constants. A row's fields are cut first
 * and multiplied then, which gcc 12 only leaves so with the masked `and`.
 */
static inline __attribute__((always_inline)) void add_block(int rows, const uint8_t *weights,
                                                            int64_t row_bytes,
                                                            const int8_t *ordered,
                                                            struct fields *sums)
{
    __m512i codes[TILE_ROWS], both[FIELDS];

    for (int i = 0; i < rows; i++) codes[i] = _mm512_loadu_si512(weights + i * row_bytes);
    for (int f = 0; f < FIELDS; f++) both[f] = _mm512_loadu_si512(ordered + 64 * f);
    for (int i = 0; i < rows; i++) {
        __m512i field[FIELDS];
        for (int f = 0; f < FIELDS; f++) {
            const __m512i mask = _mm512_set1_epi8((char)(3 << 2 * f));
            field[f] = _mm512_maskz_and_epi64(0xff, codes[i], mask);
        }
        for (int f = 0; f < FIELDS; f++) {
            sums->of[i][f] = (__v16si)_mm512_dpbusd_epi32((__m512i)sums->of[i][f], field[f],
                                                          both[f]);
        }
    }
}

/* All fields of one row, on the scale of the last. */
static inline __m512i joined(const __v16si of[FIELDS])
{
    const __m512i s32 = _mm512_add_epi32((__m512i)of[3], _mm512_slli_epi32((__m512i)of[2], 2));
    const __m512i s10 = _mm512_add_epi32(_mm512_slli_epi32((__m512i)of[1], 4),
                                         _mm512_slli_epi32((__m512i)of[0], 6));
    return _mm512_add_epi32(s32, s10);
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
code_sums(int rows, const uint8_t *weights, const int8_t *ordered, int64_t blocks)
{
    const uint8_t *ahead = weights + AHEAD_BYTES;
    struct fields sums;

    for (int i = 0; i < TILE_ROWS; i++) {
        for (int f = 0; f < FIELDS; f++) sums.of[i][f] = (__v16si)_mm512_setzero_si512();
    }
    for (int64_t n = 0; n < blocks; n++) {
        for (int i = 0; i < rows; i++) {
            _mm_prefetch((const char *)(ahead + BLOCK_BYTES * (rows * n + i)), _MM_HINT_T1);
        }
        add_block(rows, weights + BLOCK_BYTES * n, BLOCK_BYTES * blocks, ordered + BLOCK_COLS * n,
                  &sums);
    }
    return row_sums(&sums);
}

/* Puts one column of activations in the order in which fields meet them; returns their sum. */
static int32_t order(const int8_t *activations, int64_t cols, int8_t *ordered)
{
    __m512i sums[FIELDS] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                            _mm512_setzero_si512()};

    for (int64_t c = 0; c < cols; c += BLOCK_COLS) {
        for (int f = 0; f < FIELDS; f++) {
            const __m256i *from = (const __m256i *)(activations + c + 32 * f);
            const __m512i first = _mm512_castsi256_si512(_mm256_loadu_si256(from));
            const __m512i both = _mm512_inserti64x4(first, _mm256_loadu_si256(from + 4), 1);
            _mm512_storeu_si512(ordered + c + 64 * f, both);
            sums[f] = _mm512_dpbusd_epi32(sums[f], _mm512_set1_epi8(1), both);
        }
    }
    return _mm512_reduce_add_epi32(
        _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3])));
}

/* All rows of the call for `columns` columns from `first`, as many as fit when ordered. */
static void tile(const struct tg_problem *p, int64_t first, int64_t columns)
{
    const int64_t blocks = p->cols / BLOCK_COLS, row_bytes = BLOCK_BYTES * blocks;
    int32_t *results = (int32_t *)p->results + first * p->rows;
    int32_t minus[TILE_COLUMNS];
    _Alignas(64) int8_t ordered[ORDERED_BYTES];
    int64_t r = p->row_begin;

    for (int64_t b = 0; b < columns; b++) {
        const int8_t *activations = p->activations + (first + b) * p->cols;
        minus[b] = order(activations, p->cols, ordered + b * p->cols);
    }
    for (; r + TILE_ROWS <= p->row_end; r += TILE_ROWS) {
        const uint8_t *weights = p->weights + r * row_bytes;
        for (int64_t b = 0; b < columns; b++) {
            const __m128i sums = code_sums(TILE_ROWS, weights, ordered + b * p->cols, blocks);
            _mm_storeu_si128((__m128i *)(results + b * p->rows + r),
                             _mm_sub_epi32(sums, _mm_set1_epi32(minus[b])));
        }
    }
    for (; r < p->row_end; r++) {
        const uint8_t *weights = p->weights + r * row_bytes;
        for (int64_t b = 0; b < columns; b++) {
            const __m128i sums = code_sums(1, weights, ordered + b * p->cols, blocks);
            results[b * p->rows + r] = _mm_cvtsi128_si32(sums) - minus[b];
        }
    }
}

void tg_kernel_tq2_avx512vnni(const struct tg_problem *p)
{
    int64_t at_once = TILE_COLUMNS;

    assert(p->cols % BLOCK_COLS == 0 && p->cols <= 1 << 17);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    while (at_once * p->cols > ORDERED_BYTES) at_once /= 2;
    for (int64_t b = 0; b < p->batch; b += at_once) {
        tile(p, b, p->batch - b < at_once ? p->batch - b : at_once);
    }
}
