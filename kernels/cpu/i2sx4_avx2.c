/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/ahead.h"
#include "kernels/kernel.h"

/*
 * i2sx4_avx2: ternary product, the four rows of a byte at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * 32 bytes are 32 columns of four rows, which meet the activations as they are. Rows 3 and 2 are
 * kept where they lie, by masks, rows 1 and 0 after one shift by 4, so that codes of rows 2 and 0
 * are times 4. maddubs multiplies them with activations and adds neighbouring products in 16 bits;
 * the sums are widened before they can overflow, and those times 4 are divided at the end.
 *
 * The last columns of a row are copied, with zeros behind them. Rows outside of the call share
 * bytes with rows of it, and are computed but not stored.
 *
 * Limits: below 2^23 columns (int32 sums, divided by lanes before they are added). A step adds a
 * pair of products of -2048 to 2032 to a 16-bit sum, so sums are widened after 16 steps, -32768 to
 * 32512.
 * Source: the layout is bitnet.cpp's without ACT_PARALLEL; maddubs on codes is bitnet.cpp's,
 * arXiv:2502.11880.
 */

enum { ROWS = 4, COLUMNS = 2, STEP = 32, FLUSH = 16 * STEP };

struct sums {
    __m256i of[COLUMNS][ROWS];
};

/* Adds 32 columns; from one column of activations to the next are `apart` bytes. */
static inline __attribute__((always_inline)) void add(int columns, const uint8_t *weights,
                                                      const int8_t *activations, int64_t apart,
                                                      struct sums *narrow)
{
    const __m256i once = _mm256_set1_epi8(0x03), fourfold = _mm256_set1_epi8(0x0c);
    const __m256i w = _mm256_loadu_si256((const __m256i *)weights);
    const __m256i shifted = _mm256_srli_epi16(w, 4);
    const __m256i codes[ROWS] = {_mm256_and_si256(shifted, fourfold),
                                 _mm256_and_si256(shifted, once), _mm256_and_si256(w, fourfold),
                                 _mm256_and_si256(w, once)};

    for (int b = 0; b < columns; b++) {
        const __m256i a = _mm256_loadu_si256((const __m256i *)(activations + b * apart));
        for (int r = 0; r < ROWS; r++) {
            narrow->of[b][r] = _mm256_add_epi16(narrow->of[b][r],
                                                _mm256_maddubs_epi16(codes[r], a));
        }
    }
}

static inline __attribute__((always_inline)) void set_zero(int columns, struct sums *sums)
{
    for (int i = 0; i < columns * ROWS; i++) sums->of[i / ROWS][i % ROWS] = _mm256_setzero_si256();
}

static inline __attribute__((always_inline)) void widen(int columns, const struct sums *narrow,
                                                        struct sums *wide)
{
    for (int i = 0; i < columns * ROWS; i++) {
        __m256i *sum = &wide->of[i / ROWS][i % ROWS];
        *sum = _mm256_add_epi32(
            *sum, _mm256_madd_epi16(narrow->of[i / ROWS][i % ROWS], _mm256_set1_epi16(1)));
    }
}

/* The sums of four registers, one a lane, each on the scale of its row. */
static inline __m128i lane_sums(const __m256i of[ROWS])
{
    const __m256i ab = _mm256_hadd_epi32(_mm256_srai_epi32(of[0], 2), of[1]);
    const __m256i cd = _mm256_hadd_epi32(_mm256_srai_epi32(of[2], 2), of[3]);
    const __m256i halves = _mm256_hadd_epi32(ab, cd);

    return _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

static int32_t activation_sum(const int8_t *activations, int64_t cols)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum = _mm256_setzero_si256();
    int32_t lanes[8], rest = 0;
    int64_t c = 0;

    for (; c + STEP <= cols; c += STEP) {
        const __m256i a = _mm256_loadu_si256((const __m256i *)(activations + c));
        sum = _mm256_add_epi32(
            sum, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), a), ones));
    }
    for (; c < cols; c++) rest += activations[c];
    _mm256_storeu_si256((__m256i *)lanes, sum);
    for (int i = 0; i < 8; i++) rest += lanes[i];
    return rest;
}

/* Sums of the four rows of so many bytes for `columns` (1 or 2) columns of activations. */
static inline __attribute__((always_inline)) void sum_rows(int columns, const uint8_t *weights,
                                                           const int8_t *activations, int64_t cols,
                                                           struct sums *wide)
{
    const int64_t whole = cols / STEP * STEP;
    struct sums narrow;

    set_zero(columns, wide);
    for (int64_t begin = 0; begin < whole; begin += FLUSH) {
        const int64_t end = begin + FLUSH < whole ? begin + FLUSH : whole;
        set_zero(columns, &narrow);
        for (int64_t c = begin; c < end; c += STEP) {
            if (c % (2 * STEP) == 0) tg_ahead_fetch(weights + c);
            add(columns, weights + c, activations + c, cols, &narrow);
        }
        widen(columns, &narrow, wide);
    }
    if (whole < cols) {
        uint8_t codes[STEP] = {0};
        int8_t last[COLUMNS * STEP] = {0};
        memcpy(codes, weights + whole, (size_t)(cols - whole));
        for (int b = 0; b < columns; b++) {
            memcpy(last + STEP * b, activations + b * cols + whole, (size_t)(cols - whole));
        }
        set_zero(columns, &narrow);
        add(columns, codes, last, STEP, &narrow);
        widen(columns, &narrow, wide);
    }
}

/* All rows of the call for `columns` (1 or 2) columns from `first`. */
static inline __attribute__((always_inline)) void tile(int columns, const struct tg_problem *p,
                                                       int64_t first)
{
    const int8_t *activations = p->activations + first * p->cols;
    int32_t minus[COLUMNS], four[ROWS];

    for (int b = 0; b < columns; b++) {
        minus[b] = activation_sum(activations + b * p->cols, p->cols);
    }
    for (int64_t r = p->row_begin / ROWS * ROWS; r < p->row_end; r += ROWS) {
        struct sums wide;
        sum_rows(columns, p->weights + r / ROWS * p->cols, activations, p->cols, &wide);
        for (int b = 0; b < columns; b++) {
            int32_t *results = (int32_t *)p->results + (first + b) * p->rows;
            _mm_storeu_si128((__m128i *)four,
                             _mm_sub_epi32(lane_sums(wide.of[b]), _mm_set1_epi32(minus[b])));
            for (int64_t k = 0; k < ROWS; k++) {
                if (r + k >= p->row_begin && r + k < p->row_end) results[r + k] = four[k];
            }
        }
    }
}

void tg_kernel_i2sx4_avx2(const struct tg_problem *p)
{
    int64_t b = 0;

    assert(p->cols < 1 << 23);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    if (p->row_begin == p->row_end) return;
    for (; b + 2 <= p->batch; b += 2) tile(2, p, b);
    for (; b < p->batch; b++) tile(1, p, b);
}
