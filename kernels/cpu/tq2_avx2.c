/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/kernel.h"

/*
 * tq2_avx2: ternary product, 128 weights at a time, with one shift.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * A block of 256 columns is two halves of 32 bytes of 2-bit codes, and a scale that is left out.
 * Fields (bits 1-0, 3-2, 5-4, 7-6 for columns 0, 32, 64, 96 and those after them) are kept where
 * they lie, the upper two after one shift by 4, so that two have codes times 1 and two times 4.
 * maddubs multiplies them with activations and adds neighbouring products. Sums of the two kinds
 * are kept apart in 16-bit lanes; widening multiplies the first by 4, and the end divides all by 4
 * without rest. Up to four batch columns share the fields of a row.
 *
 * Limits: cols a multiple of 256 and below 2^23 (int32 sums; the lanes that are times 4 are divided
 * before they are added). A block adds four products of pairs, -2048 to 2032 each, to a 16-bit
 * lane of the kind times 4, so sums are widened after every 4 blocks (-32768 to 32512), never
 * later.
 * Source: the layout is ggml's, maddubs on codes bitnet.cpp's, arXiv:2502.11880; fewer shifts are
 * ours.
 */

enum { BLOCK_COLS = 256, BLOCK_BYTES = 66, FLUSH_BLOCKS = 4, TILE_COLUMNS = 4 };
enum { AHEAD_BYTES = 4096 };

static int32_t lane_sum(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

static inline __m256i products(__m256i codes, const int8_t *activations)
{
    return _mm256_maddubs_epi16(codes, _mm256_loadu_si256((const __m256i *)activations));
}

/* The 16-bit sums of some columns: of codes, and of codes times 4. */
struct narrow {
    __m256i once[TILE_COLUMNS], fourfold[TILE_COLUMNS];
};

/* Adds half a block, 32 bytes, for `columns` columns that are `cols` apart. */
static inline __attribute__((always_inline)) void add_half(int columns, const uint8_t *weights,
                                                           const int8_t *activations, int64_t cols,
                                                           struct narrow *sums)
{
    const __m256i low = _mm256_set1_epi8(0x03), high = _mm256_set1_epi8(0x0c);
    const __m256i w = _mm256_loadu_si256((const __m256i *)weights);
    const __m256i shifted = _mm256_srli_epi16(w, 4);
    const __m256i w0 = _mm256_and_si256(w, low), w1 = _mm256_and_si256(w, high);
    const __m256i w2 = _mm256_and_si256(shifted, low), w3 = _mm256_and_si256(shifted, high);

    for (int b = 0; b < columns; b++) {
        const int8_t *a = activations + b * cols;
        sums->once[b] = _mm256_add_epi16(sums->once[b],
                                         _mm256_add_epi16(products(w0, a), products(w2, a + 64)));
        sums->fourfold[b] = _mm256_add_epi16(
            sums->fourfold[b], _mm256_add_epi16(products(w1, a + 32), products(w3, a + 96)));
    }
}

/* Sums of code times activation of one row with `columns` (1, 2 or 4) columns. */
static inline __attribute__((always_inline)) void code_sums(int columns, const uint8_t *weights,
                                                            const int8_t *activations, int64_t cols,
                                                            int32_t *sums)
{
    const __m256i one = _mm256_set1_epi16(1), four = _mm256_set1_epi16(4);
    const int64_t blocks = cols / BLOCK_COLS;
    __m256i wide[TILE_COLUMNS];

    for (int b = 0; b < columns; b++) wide[b] = _mm256_setzero_si256();
    for (int64_t begin = 0; begin < blocks; begin += FLUSH_BLOCKS) {
        const int64_t end = begin + FLUSH_BLOCKS < blocks ? begin + FLUSH_BLOCKS : blocks;
        struct narrow narrow;
        for (int b = 0; b < columns; b++) {
            narrow.once[b] = narrow.fourfold[b] = _mm256_setzero_si256();
        }
        for (int64_t n = begin; n < end; n++) {
            const uint8_t *from = weights + BLOCK_BYTES * n;
            const int8_t *with = activations + BLOCK_COLS * n;
            _mm_prefetch((const char *)(from + AHEAD_BYTES), _MM_HINT_T0);
            add_half(columns, from, with, cols, &narrow);
            add_half(columns, from + 32, with + 128, cols, &narrow);
        }
        for (int b = 0; b < columns; b++) {
            wide[b] = _mm256_add_epi32(wide[b], _mm256_madd_epi16(narrow.once[b], four));
            wide[b] = _mm256_add_epi32(wide[b], _mm256_madd_epi16(narrow.fourfold[b], one));
        }
    }
    for (int b = 0; b < columns; b++) sums[b] = lane_sum(_mm256_srai_epi32(wide[b], 2));
}

static int32_t activation_sum(const int8_t *activations, int64_t cols)
{
    const __m256i ones = _mm256_set1_epi8(1);
    __m256i sum = _mm256_setzero_si256();

    for (int64_t c = 0; c < cols; c += 32) {
        const __m256i pairs = products(ones, activations + c);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    return lane_sum(sum);
}

/* All rows of the call for `columns` (1, 2 or 4) columns from `first`. */
static inline __attribute__((always_inline)) void tile(int columns, const struct tg_problem *p,
                                                       int64_t first)
{
    const int64_t row_bytes = p->cols / BLOCK_COLS * BLOCK_BYTES;
    const int8_t *activations = p->activations + first * p->cols;
    int32_t *results = (int32_t *)p->results + first * p->rows;
    int32_t minus[TILE_COLUMNS], sums[TILE_COLUMNS];

    for (int b = 0; b < columns; b++) {
        minus[b] = activation_sum(activations + b * p->cols, p->cols);
    }
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        code_sums(columns, p->weights + r * row_bytes, activations, p->cols, sums);
        for (int b = 0; b < columns; b++) results[b * p->rows + r] = sums[b] - minus[b];
    }
}

void tg_kernel_tq2_avx2(const struct tg_problem *p)
{
    int64_t b = 0;

    assert(p->cols % BLOCK_COLS == 0 && p->cols < 1 << 23);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (; b + 4 <= p->batch; b += 4) tile(4, p, b);
    for (; b + 2 <= p->batch; b += 2) tile(2, p, b);
    for (; b < p->batch; b++) tile(1, p, b);
}
