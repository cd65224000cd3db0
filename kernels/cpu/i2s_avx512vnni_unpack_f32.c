/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/kernel.h"

/*
 * i2s_avx512vnni_unpack_f32: codes to f32, 16 at a time.
 *
 *   results[r][c] = code[r][c] - 1
 *
 * 16 packed bytes become 16 lanes of 32 bits. A field that is shifted to the bottom of its lane is
 * an index into a register of 16 numbers; the instruction takes four bits of it, of which the upper
 * two belong to the field above, so the four numbers are there four times, and nothing is masked.
 * What is written is 16 times what is read. Where it is more than a core's own cache holds, it goes
 * past the caches, in whole lines in their order: else each line would be read before it is
 * written.
 *
 * Limits: cols a multiple of 128; codes 0..2; results 64-byte aligned.
 */

enum { CACHED_BYTES = 1 << 20 };

static inline __attribute__((always_inline)) void unpack(const uint8_t *codes, int64_t groups,
                                                         float *to, int is_streamed)
{
    const __m512 numbers = _mm512_broadcast_f32x4(_mm_setr_ps(-1, 0, 1, 0));

    for (int64_t g = 0; g < groups; g++, codes += 32) {
        __m512i half[2];
        for (int h = 0; h < 2; h++)
            half[h] = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(codes + 16 * h)));
        for (int i = 0; i < 8; i++, to += 16) {
            const __m512i index = _mm512_srli_epi32(half[i % 2], (unsigned)(6 - i / 2 * 2));
            const __m512 values = _mm512_permutexvar_ps(index, numbers);
            if (is_streamed)
                _mm512_stream_ps(to, values);
            else
                _mm512_storeu_ps(to, values);
        }
    }
}

void tg_kernel_i2s_avx512vnni_unpack_f32(const struct tg_problem *p)
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
