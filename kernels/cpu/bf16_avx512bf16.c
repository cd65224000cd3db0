/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/kernel.h"

/*
 * bf16_avx512bf16: dense product, 32 columns at a time, four rows by four columns of the batch.
 *
 *   results[b][r] = sum over c of weight[r][c] * activations[b][c]
 *
 * One instruction adds two products of bf16 to each of 16 sums, rounding to nearest after each
 * addition, and takes denormal numbers for zeros.
 * A tile of four by four keeps 16 sums in registers, so that each vector that is loaded is used
 * four times; columns of the batch that are left over are done a row at a time, which is one
 * stream from memory, in four sums. The columns that 32 does not divide are loaded below a
 * mask, as zeros where there are none.
 *
 * Limits: none on cols.
 */

enum { LANES = 32, TILE_ROWS = 4, TILE_COLUMNS = 4, STEPS = 4 };

/* The sums of `rows` rows by `columns` columns of the batch; both are constants. */
static inline __attribute__((always_inline)) void add_tile(const struct tg_problem *p, int64_t r,
                                                           int64_t b, int rows, int columns)
{
    const uint16_t *w = (const uint16_t *)(const void *)p->weights + r * p->cols;
    const uint16_t *x = p->activations_16 + b * p->cols;
    float *results = (float *)p->results + b * p->rows + r;
    const int64_t n = p->cols;
    __m512 sums[TILE_ROWS][TILE_COLUMNS];
    int64_t c = 0;

    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < columns; j++) sums[i][j] = _mm512_setzero_ps();
    }
    for (; c + LANES <= n; c += LANES) {
        __m512i of[TILE_COLUMNS];
        for (int j = 0; j < columns; j++) of[j] = _mm512_loadu_si512(x + j * n + c);
        for (int i = 0; i < rows; i++) {
            const __m512i weights = _mm512_loadu_si512(w + i * n + c);
            for (int j = 0; j < columns; j++)
                sums[i][j] = _mm512_dpbf16_ps(sums[i][j], (__m512bh)weights, (__m512bh)of[j]);
        }
    }
    if (c < n) {
        const __mmask32 left = (__mmask32)((UINT64_C(1) << (n - c)) - 1);
        for (int i = 0; i < rows; i++) {
            const __m512i weights = _mm512_maskz_loadu_epi16(left, w + i * n + c);
            for (int j = 0; j < columns; j++) {
                const __m512i of = _mm512_maskz_loadu_epi16(left, x + j * n + c);
                sums[i][j] = _mm512_dpbf16_ps(sums[i][j], (__m512bh)weights, (__m512bh)of);
            }
        }
    }
    for (int j = 0; j < columns; j++) {
        for (int i = 0; i < rows; i++) results[j * p->rows + i] = _mm512_reduce_add_ps(sums[i][j]);
    }
}

/* One result. */
static inline float add_row(const uint16_t *w, const uint16_t *x, int64_t n)
{
    __m512 sums[STEPS];
    int64_t c = 0;

    for (int k = 0; k < STEPS; k++) sums[k] = _mm512_setzero_ps();
    for (; c + STEPS * LANES <= n; c += STEPS * LANES) {
        for (int k = 0; k < STEPS; k++) {
            const __m512i weights = _mm512_loadu_si512(w + c + LANES * k);
            const __m512i of = _mm512_loadu_si512(x + c + LANES * k);
            sums[k] = _mm512_dpbf16_ps(sums[k], (__m512bh)weights, (__m512bh)of);
        }
    }
    for (; c < n; c += LANES) {
        const __mmask32 left = n - c >= LANES ? (__mmask32)-1
                                              : (__mmask32)((UINT64_C(1) << (n - c)) - 1);
        const __m512i weights = _mm512_maskz_loadu_epi16(left, w + c);
        const __m512i of = _mm512_maskz_loadu_epi16(left, x + c);
        sums[0] = _mm512_dpbf16_ps(sums[0], (__m512bh)weights, (__m512bh)of);
    }
    return _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
}

/* All columns of the batch of a few rows, whose weights stay in the caches meanwhile. */
static inline __attribute__((always_inline)) void add_rows(const struct tg_problem *p, int64_t r,
                                                           int rows)
{
    int64_t b = 0;

    for (; b + TILE_COLUMNS <= p->batch; b += TILE_COLUMNS) add_tile(p, r, b, rows, TILE_COLUMNS);
    for (; b < p->batch; b++) {
        for (int i = 0; i < rows; i++) {
            const uint16_t *w = (const uint16_t *)(const void *)p->weights + (r + i) * p->cols;
            ((float *)p->results)[b * p->rows + r + i] = add_row(w, p->activations_16 + b * p->cols,
                                                                 p->cols);
        }
    }
}

void tg_kernel_bf16_avx512bf16(const struct tg_problem *p)
{
    int64_t r = p->row_begin;

    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (; r + TILE_ROWS <= p->row_end; r += TILE_ROWS) add_rows(p, r, TILE_ROWS);
    for (; r < p->row_end; r++) add_rows(p, r, 1);
}
