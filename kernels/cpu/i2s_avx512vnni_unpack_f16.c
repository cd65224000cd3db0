/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/kernel.h"

/*
 * i2s_avx512vnni_unpack_f16: codes to f16, 32 at a time.
 *
 *   results[r][c] = code[r][c] - 1
 *
 * 32 packed bytes become 32 lanes of 16 bits. A field that is shifted to the bottom of its lane is
 * an index into a register of 32 numbers; the instruction takes five bits of it, of which the upper
 * three belong to the fields above, so the four numbers are there eight times, and nothing is
 * masked. What is written is 8 times what is read. Where it is more than a core's own cache holds,
 * it goes past the caches, in whole lines in their order: else each line would be read before it is
 * written.
 *
 * Limits: cols a multiple of 128; codes 0..2; results 64-byte aligned.
 */

enum { CACHED_BYTES = 1 << 20 };

static inline __attribute__((always_inline)) void unpack(const uint8_t *codes, int64_t groups,
                                                         uint16_t *to, int is_streamed)
{
    const __m512i numbers = _mm512_set1_epi64(0x00003c000000bc00);

    for (int64_t g = 0; g < groups; g++, codes += 32) {
        const __m512i all = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)codes));
        for (int field = 0; field < 4; field++, to += 32) {
            const __m512i index = _mm512_srli_epi16(all, (unsigned)(6 - 2 * field));
            const __m512i values = _mm512_permutexvar_epi16(index, numbers);
            if (is_streamed)
                _mm512_stream_si512((__m512i *)to, values);
            else
                _mm512_storeu_si512(to, values);
        }
    }
}

void tg_kernel_i2s_avx512vnni_unpack_f16(const struct tg_problem *p)
{
    const int64_t begin = p->row_begin * p->cols, count = p->row_end * p->cols - begin;
    uint16_t *to = (uint16_t *)p->results + begin;

    assert(p->cols % 128 == 0 && (uintptr_t)p->results % 64 == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    if (count * (int64_t)sizeof *to <= CACHED_BYTES) {
        unpack(p->weights + begin / 4, count / 128, to, 0);
        return;
    }
    unpack(p->weights + begin / 4, count / 128, to, 1);
    _mm_sfence();
}
