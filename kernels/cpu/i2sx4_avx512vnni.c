/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/ahead.h"
#include "kernels/kernel.h"

/*
 * i2sx4_avx512vnni: ternary product without a shift, the four rows of a byte at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * 64 bytes are 64 columns of four rows. A row's field is kept where it lies, by a mask, and meets
 * the activations as they are: nothing has to be put in order. The sums of row 0 are 64 times too
 * large, of row 1 16 times, of row 2 4 times, and are divided by exact shifts at the end. For one
 * column of activations two steps have sums of their own, so that no dpbusd waits for another; up
 * to four columns share the masked codes.
 *
 * The last columns of a row are loaded below masks. Rows outside of the call share bytes with rows
 * of it, and are computed but not stored.
 *
 * Limits: at most 2^17 columns: 64 * 2 * 128 * 2^17 is the largest sum before the shift; all is
 * modulo 2^32, and 2^31 is only reached from below.
 * Source: the layout is bitnet.cpp's without ACT_PARALLEL; the rest is ours.
 */

#define ALL (~UINT64_C(0))

enum { ROWS = 4, COLUMNS = 4, STEP = 64 };

/* Accumulators are vectors of int: gcc 12 copies those whose type changes in the loop. */
struct sums {
    __v16si of[COLUMNS][ROWS];
};

/* Loads the bytes of `lanes`, the others as zeros; a mask costs a load of bytes a second step. */
static inline __attribute__((always_inline)) __m512i load(__mmask64 lanes, const void *from)
{
    return lanes == ALL ? _mm512_loadu_si512(from) : _mm512_maskz_loadu_epi8(lanes, from);
}

/* Adds up to 64 columns, those of `lanes`, for `columns` (a constant) columns of activations. */
static inline __attribute__((always_inline)) void add(int columns, __mmask64 lanes,
                                                      const uint8_t *weights,
                                                      const int8_t *activations, int64_t cols,
                                                      __v16si sums[COLUMNS][ROWS])
{
    const __m512i codes = load(lanes, weights);
    __m512i field[ROWS];

    for (int r = 0; r < ROWS; r++) {
        field[r] = _mm512_and_si512(codes, _mm512_set1_epi8((char)(0xc0 >> 2 * r)));
    }
    for (int b = 0; b < columns; b++) {
        const __m512i a = load(lanes, activations + b * cols);
        for (int r = 0; r < ROWS; r++) {
            sums[b][r] = (__v16si)_mm512_dpbusd_epi32((__m512i)sums[b][r], field[r], a);
        }
    }
}

/* The sums of four registers, one a lane, each on the scale of its row. */
static inline __m128i lane_sums(const __v16si of[ROWS])
{
    const __m512i a = (__m512i)of[0], b = (__m512i)of[1], c = (__m512i)of[2], d = (__m512i)of[3];
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i quarters = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd),
                                              _mm512_unpackhi_epi64(ab, cd));
    const __m256i halves = _mm256_add_epi32(_mm512_castsi512_si256(quarters),
                                            _mm512_extracti64x4_epi64(quarters, 1));
    const __m128i sums = _mm_add_epi32(_mm256_castsi256_si128(halves),
                                       _mm256_extracti128_si256(halves, 1));

    return _mm_srav_epi32(sums, _mm_setr_epi32(6, 4, 2, 0));
}

static inline __mmask64 lanes_of(int64_t left)
{
    return left >= STEP ? ALL : (UINT64_C(1) << left) - 1;
}

static int32_t activation_sum(const int8_t *activations, int64_t cols)
{
    __m512i sum = _mm512_setzero_si512();

    for (int64_t c = 0; c < cols; c += STEP) {
        const __m512i a = _mm512_maskz_loadu_epi8(lanes_of(cols - c), activations + c);
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), a);
    }
    return _mm512_reduce_add_epi32(sum);
}

/* Four rows from r on, a multiple of four, and `columns` columns of activations from b on. */
static inline __attribute__((always_inline)) void
four_rows(int columns, const struct tg_problem *p, int64_t r, int64_t b, const int32_t *minus)
{
    const uint8_t *weights = p->weights + r / ROWS * p->cols;
    const int8_t *activations = p->activations + b * p->cols;
    const int64_t before = p->row_begin - r, behind = p->row_end - r;
    const unsigned from = before > 0 ? 15u << before : 15u;
    const __mmask8 rows = (__mmask8)(behind < ROWS ? from & ((1u << behind) - 1) : from & 15u);
    struct sums sums[2];
    int64_t c = 0;

    for (int i = 0; i < columns * ROWS; i++) {
        sums[0].of[i / ROWS][i % ROWS] = sums[1].of[i / ROWS][i % ROWS] = (__v16si){0};
    }
    for (; columns == 1 && c + 2 * STEP <= p->cols; c += 2 * STEP) {
        tg_ahead_fetch(weights + c);
        tg_ahead_fetch(weights + c + STEP);
        add(1, ALL, weights + c, activations + c, p->cols, sums[0].of);
        add(1, ALL, weights + c + STEP, activations + c + STEP, p->cols, sums[1].of);
    }
    for (; c + STEP <= p->cols; c += STEP) {
        add(columns, ALL, weights + c, activations + c, p->cols, sums[0].of);
    }
    if (c < p->cols) {
        add(columns, lanes_of(p->cols - c), weights + c, activations + c, p->cols, sums[0].of);
    }
    for (int i = 0; i < columns; i++) {
        int32_t *results = (int32_t *)p->results + (b + i) * p->rows + r;
        for (int k = 0; columns == 1 && k < ROWS; k++) sums[0].of[0][k] += sums[1].of[0][k];
        _mm_mask_storeu_epi32(results, rows,
                              _mm_sub_epi32(lane_sums(sums[0].of[i]), _mm_set1_epi32(minus[i])));
    }
}

/* All rows of the call for `columns` (1, 2 or 4) columns from `first`. */
static inline __attribute__((always_inline)) void tile(int columns, const struct tg_problem *p,
                                                       int64_t first)
{
    int32_t minus[COLUMNS];

    for (int b = 0; b < columns; b++) {
        minus[b] = activation_sum(p->activations + (first + b) * p->cols, p->cols);
    }
    for (int64_t r = p->row_begin / ROWS * ROWS; r < p->row_end; r += ROWS) {
        four_rows(columns, p, r, first, minus);
    }
}

void tg_kernel_i2sx4_avx512vnni(const struct tg_problem *p)
{
    int64_t b = 0;

    assert(p->cols <= 1 << 17);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    if (p->row_begin == p->row_end) return;
    for (; b + 4 <= p->batch; b += 4) tile(4, p, b);
    for (; b + 2 <= p->batch; b += 2) tile(2, p, b);
    for (; b < p->batch; b++) tile(1, p, b);
}
