/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/kernel.h"

/*
 * i2s_avx2_unpack_f32: codes to f32, 8 at a time.
 *
 *   results[r][c] = code[r][c] - 1
 *
 * 8 packed bytes become 8 lanes of 32 bits. A field that is shifted to the bottom of its lane is an
 * index into a register of 8 numbers; the instruction takes three bits of it, of which the upper
 * one belongs to the field above, so the four numbers are there twice, and nothing is masked. What
 * is more than a core's own cache holds is written past the caches.
 *
 * Limits: cols a multiple of 128; codes 0..2; results 64-byte aligned.
 */

enum { CACHED_BYTES = 1 << 20 };

static inline __attribute__((always_inline)) void unpack(const uint8_t *codes, int64_t groups,
                                                         float *to, int is_streamed)
{
    const __m256 numbers = _mm256_setr_ps(-1, 0, 1, 0, -1, 0, 1, 0);

    for (int64_t g = 0; g < groups; g++, codes += 32) {
        __m256i eight[4];
        for (int k = 0; k < 4; k++)
            eight[k] = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(codes + 8 * k)));
        for (int i = 0; i < 16; i++, to += 8) {
            const __m256i index = _mm256_srli_epi32(eight[i % 4], 6 - i / 4 * 2);
            const __m256 values = _mm256_permutevar8x32_ps(numbers, index);
            if (is_streamed)
                _mm256_stream_ps(to, values);
            else
                _mm256_storeu_ps(to, values);
        }
    }
}

void tg_kernel_i2s_avx2_unpack_f32(const struct tg_problem *p)
{
    const int64_t begin = p->row_begin * p->cols, count = p->row_end * p->cols - begin;
    float *to = (float *)p->results + begin;

    assert(p->cols % 128 == 0 && (uintptr_t)p->results % 64 == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    if (count * (int64_t)sizeof *to <= CACHED_BYTES) {
        unpack(p->weights + begin / 4, count / 128, to, 0);
        return;
    }
    unpack(p->weights + begin / 4, count / 128, to, 1);
    _mm_sfence();
}
