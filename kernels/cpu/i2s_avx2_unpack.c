/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/kernel.h"

/*
 * i2s_avx2_unpack: codes to weights, 128 at a time.
 *
 *   results[r][c] = code[r][c] - 1
 *
 * Each of the four fields of 32 packed bytes is 32 neighbouring columns, so one shift, mask and
 * subtraction makes 32 weights in their order. A shift works on 16 bits; what it carries from one
 * byte into the next is what the mask takes away.
 * Limits: cols a multiple of 128; codes 0..2.
 */
void tg_kernel_i2s_avx2_unpack(const struct tg_problem *p)
{
    const __m256i mask = _mm256_set1_epi8(3), one = _mm256_set1_epi8(1);
    const int64_t groups_begin = p->row_begin * p->cols / 128;
    const int64_t groups_end = p->row_end * p->cols / 128;

    assert(p->cols % 128 == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t group = groups_begin; group < groups_end; group++) {
        const __m256i w = _mm256_loadu_si256((const __m256i *)(p->weights + 32 * group));
        __m256i *to = (__m256i *)((int8_t *)p->results + 128 * group);
        for (int field = 0; field < 4; field++) {
            const __m256i codes = _mm256_and_si256(_mm256_srli_epi16(w, 6 - 2 * field), mask);
            _mm256_storeu_si256(to + field, _mm256_sub_epi8(codes, one));
        }
    }
}
