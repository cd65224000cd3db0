/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/fields_avx2.h"
#include "kernels/kernel.h"

/*
 * i2s64_avx2: ternary product, 128 weights at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * As kernels/cpu/fields_avx2.h says. 32 bytes are two groups of 64 columns, whose first 16 each are
 * in the highest bits; activations are put in that order once, on the stack, for all rows of the
 * call. An odd group at the end of a row is read with 16 bytes of the next row behind it, which
 * meet zeros; the last row of all is copied, for there is nothing behind it.
 *
 * Limits: cols a multiple of 64, at most 2^17. 160 KiB of stack.
 * Source: the layout is that of the ARM build of bitnet.cpp, arXiv:2502.11880.
 */

enum { GROUP = 64, STEP = 128 };

/* Two groups, or one and zeros. */
static inline void order(const int8_t *activations, int is_one, __m256i ordered[4])
{
    const __m256i *from = (const __m256i *)activations, zero = _mm256_setzero_si256();
    const __m256i first[2] = {_mm256_loadu_si256(from), _mm256_loadu_si256(from + 1)};
    const __m256i last[2] = {is_one ? zero : _mm256_loadu_si256(from + 2),
                             is_one ? zero : _mm256_loadu_si256(from + 3)};

    for (int i = 0; i < 2; i++) {
        ordered[2 * i] = _mm256_permute2x128_si256(first[i], last[i], 0x20);
        ordered[2 * i + 1] = _mm256_permute2x128_si256(first[i], last[i], 0x31);
    }
}

static const struct tg_fields_avx2 format = {0, 64};

/* All rows of the call; the last of the matrix apart, from a copy. */
static void multiply(const struct tg_problem *p, int64_t row_bytes)
{
    struct tg_problem most = *p, last = *p;
    uint8_t copy[(TG_COLUMNS_MOST + STEP) / 4];

    if (p->row_end < p->rows || p->row_begin == p->row_end) {
        tg_fields_avx2_multiply(p, row_bytes, format);
        return;
    }
    memset(copy, 0, sizeof copy);
    memcpy(copy, p->weights + (p->rows - 1) * row_bytes, (size_t)row_bytes);
    most.row_end--;
    tg_fields_avx2_multiply(&most, row_bytes, format);
    last.weights = copy;
    last.results = (int32_t *)p->results + p->rows - 1;
    last.row_begin = 0;
    last.row_end = 1;
    tg_fields_avx2_multiply(&last, row_bytes, format);
}

void tg_kernel_i2s64_avx2(const struct tg_problem *p)
{
    _Alignas(32) int8_t ordered[TG_COLUMNS_MOST];
    struct tg_problem some = *p;
    int64_t at_once = TG_FIELDS_AVX2_COLUMNS;

    assert(p->cols % GROUP == 0 && p->cols <= TG_COLUMNS_MOST);
    some.cols = (p->cols + STEP - 1) / STEP * STEP;
    while (at_once * some.cols > TG_COLUMNS_MOST) at_once /= 2;
    some.activations = ordered;
    for (int64_t b = 0; b < p->batch; b += at_once) {
        some.batch = p->batch - b < at_once ? p->batch - b : at_once;
        some.results = (int32_t *)p->results + b * p->rows;
        for (int64_t i = 0; i < some.batch; i++) {
            for (int64_t c = 0; c < some.cols; c += STEP) {
                order(p->activations + (b + i) * p->cols + c, c + GROUP == p->cols,
                      (__m256i *)(ordered + i * some.cols + c));
            }
        }
        multiply(&some, p->cols / 4);
    }
}
