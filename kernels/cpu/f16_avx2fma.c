/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/kernel.h"

/*
 * f16_avx2fma: dense product, 8 columns at a time, four rows by three columns of the batch.
 *
 *   results[b][r] = sum over c of weight[r][c] * activations[b][c]
 *
 * Both are made f32, which is exact, and so are the products; they are fused with their additions,
 * one rounding each, in 8 sums a result.
 * A tile of four by three keeps 12 sums in registers, so that vectors that are loaded are used
 * three or four times; columns of the batch that are left over are
 * done a row at a time, which is one stream from memory, in four sums. The columns that 8 does not
 * divide are added one by one.
 *
 * Limits: none on cols.
 */

enum { LANES = 8, TILE_ROWS = 4, TILE_COLUMNS = 3, STEPS = 4 };

static inline float sum_of(__m256 sums)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* The sums of `rows` rows by `columns` columns of the batch; both are constants. */
static inline __attribute__((always_inline)) void add_tile(const struct tg_problem *p, int64_t r,
                                                           int64_t b, int rows, int columns)
{
    const uint16_t *w = (const uint16_t *)(const void *)p->weights + r * p->cols;
    const uint16_t *x = p->activations_16 + b * p->cols;
    float *results = (float *)p->results + b * p->rows + r;
    const int64_t n = p->cols;
    __m256 sums[TILE_ROWS][TILE_COLUMNS];
    int64_t c = 0;

    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < columns; j++) sums[i][j] = _mm256_setzero_ps();
    }
    for (; c + LANES <= n; c += LANES) {
        __m256 of[TILE_COLUMNS];
        for (int j = 0; j < columns; j++)
            of[j] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + j * n + c)));
        for (int i = 0; i < rows; i++) {
            const __m256 weights = _mm256_cvtph_ps(
                _mm_loadu_si128((const __m128i *)(w + i * n + c)));
            for (int j = 0; j < columns; j++)
                sums[i][j] = _mm256_fmadd_ps(weights, of[j], sums[i][j]);
        }
    }
    for (int j = 0; j < columns; j++) {
        for (int i = 0; i < rows; i++) {
            float sum = sum_of(sums[i][j]);
            for (int64_t k = c; k < n; k++)
                sum += _cvtsh_ss(w[i * n + k]) * _cvtsh_ss(x[j * n + k]);
            results[j * p->rows + i] = sum;
        }
    }
}

/* One result. */
static inline float add_row(const uint16_t *w, const uint16_t *x, int64_t n)
{
    __m256 sums[STEPS];
    int64_t c = 0;

    for (int k = 0; k < STEPS; k++) sums[k] = _mm256_setzero_ps();
    for (; c + STEPS * LANES <= n; c += STEPS * LANES) {
        for (int k = 0; k < STEPS; k++) {
            const __m256 weights = _mm256_cvtph_ps(
                _mm_loadu_si128((const __m128i *)(w + c + LANES * k)));
            const __m256 of = _mm256_cvtph_ps(
                _mm_loadu_si128((const __m128i *)(x + c + LANES * k)));
            sums[k] = _mm256_fmadd_ps(weights, of, sums[k]);
        }
    }
    for (; c + LANES <= n; c += LANES) {
        const __m256 weights = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(w + c)));
        const __m256 of = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + c)));
        sums[0] = _mm256_fmadd_ps(weights, of, sums[0]);
    }
    float sum = sum_of(
        _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
    for (; c < n; c++) sum += _cvtsh_ss(w[c]) * _cvtsh_ss(x[c]);
    return sum;
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

void tg_kernel_f16_avx2fma(const struct tg_problem *p)
{
    int64_t r = p->row_begin;

    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (; r + TILE_ROWS <= p->row_end; r += TILE_ROWS) add_rows(p, r, TILE_ROWS);
    for (; r < p->row_end; r++) add_rows(p, r, 1);
}
