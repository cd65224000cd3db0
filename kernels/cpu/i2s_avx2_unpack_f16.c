/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/kernel.h"

/*
 * i2s_avx2_unpack_f16: codes to f16, 32 at a time.
 *
 *   results[r][c] = code[r][c] - 1
 *
 * The lower byte of -1, 0 and 1 is 0 in f16; the upper ones are 0xbc, 0 and 0x3c, which one shuffle
 * finds for 32 codes. Interleaving with zeros works within halves of 128 bits, so the quarters of
 * 8 bytes are put in the order 0 2 1 3 before. What is more than a core's own cache holds is
 * written past the caches.
 *
 * Limits: cols a multiple of 128; codes 0..2; results 64-byte aligned.
 */

enum { CACHED_BYTES = 1 << 20 };

static inline void store(uint16_t *to, __m256i values, int is_streamed)
{
    if (is_streamed)
        _mm256_stream_si256((__m256i *)to, values);
    else
        _mm256_storeu_si256((__m256i *)to, values);
}

static inline __attribute__((always_inline)) void unpack(const uint8_t *codes, int64_t groups,
                                                         uint16_t *to, int is_streamed)
{
    const __m256i upper = _mm256_set1_epi32(0x003c00bc), mask = _mm256_set1_epi8(3);
    const __m256i zero = _mm256_setzero_si256();

    for (int64_t g = 0; g < groups; g++, codes += 32) {
        const __m256i all = _mm256_permute4x64_epi64(_mm256_loadu_si256((const __m256i *)codes),
                                                     _MM_SHUFFLE(3, 1, 2, 0));
        for (int field = 0; field < 4; field++, to += 32) {
            const __m256i index = _mm256_and_si256(_mm256_srli_epi16(all, 6 - 2 * field), mask);
            const __m256i bytes = _mm256_shuffle_epi8(upper, index);
            store(to, _mm256_unpacklo_epi8(zero, bytes), is_streamed);
            store(to + 16, _mm256_unpackhi_epi8(zero, bytes), is_streamed);
        }
    }
}

void tg_kernel_i2s_avx2_unpack_f16(const struct tg_problem *p)
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
