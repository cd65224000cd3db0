/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/peak.h"

/*
 * peak_avx2: 32 bytes at a time; one stream, which hardware prefetchers know best.
 *
 * A multiply-add of int8 is a maddubs, which gives 16-bit sums of two products, and an add. Eight
 * 16-bit accumulators, for 2 codes times 4 loads of activations; what is added to one in a step is
 * at most 2 * 254 = 508, so they are widened after at most 64 steps (32512), which is as seldom as
 * an exact kernel can.
 */

enum { LOADS = 4, STEP = 32 * LOADS, STEPS_MOST = 64 };

uint64_t tg_peak_read_avx2(const uint64_t *from, int64_t words)
{
    __m256i sums[8];
    uint64_t lanes[4];
    int64_t i = 0;

    for (int k = 0; k < 8; k++) sums[k] = _mm256_setzero_si256();
    for (; i + 32 <= words; i += 32) {
        for (int k = 0; k < 8; k++) {
            const __m256i *at = (const __m256i *)(from + i + 4 * k);
            sums[k] = _mm256_xor_si256(sums[k], _mm256_load_si256(at));
        }
    }
    for (int k = 1; k < 8; k++) sums[0] = _mm256_xor_si256(sums[0], sums[k]);
    _mm256_storeu_si256((__m256i *)lanes, sums[0]);
    for (; i < words; i++) lanes[0] ^= from[i];
    return lanes[0] ^ lanes[1] ^ lanes[2] ^ lanes[3];
}

void tg_peak_write_avx2(uint64_t *to, int64_t words, uint64_t value, int is_past)
{
    const __m256i wide = _mm256_set1_epi64x((long long)value);
    int64_t i = 0;

    for (; is_past && i + 4 <= words; i += 4) _mm256_stream_si256((__m256i *)(to + i), wide);
    for (; i + 4 <= words; i += 4) _mm256_store_si256((__m256i *)(to + i), wide);
    for (; i < words; i++) to[i] = value;
    _mm_sfence();
}

/* Adds so many passes, few enough for 16 bits, to the 32-bit sums. */
static inline __m256i add_passes(__m256i wide, const __m256i codes[2], const int8_t *activations,
                                 int64_t columns, int64_t passes)
{
    __m256i narrow[2][LOADS];

    for (int j = 0; j < 2; j++) {
        for (int k = 0; k < LOADS; k++) narrow[j][k] = _mm256_setzero_si256();
    }
    for (int64_t pass = 0; pass < passes; pass++) {
        for (int64_t c = 0; c < columns; c += STEP) {
            for (int k = 0; k < LOADS; k++) {
                const __m256i a = _mm256_load_si256((const __m256i *)(activations + c + 32 * k));
                for (int j = 0; j < 2; j++) {
                    narrow[j][k] = _mm256_add_epi16(narrow[j][k],
                                                    _mm256_maddubs_epi16(codes[j], a));
                }
            }
        }
    }
    for (int j = 0; j < 2; j++) {
        for (int k = 0; k < LOADS; k++) {
            wide = _mm256_add_epi32(wide, _mm256_madd_epi16(narrow[j][k], _mm256_set1_epi16(1)));
        }
    }
    return wide;
}

int64_t tg_peak_dot_avx2(const uint8_t codes[2][32], const int8_t *activations, int64_t columns,
                         int64_t passes)
{
    const __m256i both[2] = {_mm256_loadu_si256((const __m256i *)codes[0]),
                             _mm256_loadu_si256((const __m256i *)codes[1])};
    const int64_t at_once = STEPS_MOST * STEP / columns;
    int64_t sum = 0;
    int32_t lanes[8];

    assert(columns % TG_PEAK_COLUMNS == 0 && columns <= 16 * TG_PEAK_COLUMNS);
    for (int64_t left = passes; left > 0; left -= at_once) {
        const __m256i wide = add_passes(_mm256_setzero_si256(), both, activations, columns,
                                        left < at_once ? left : at_once);
        _mm256_storeu_si256((__m256i *)lanes, wide);
        for (int i = 0; i < 8; i++) sum += lanes[i];
    }
    return sum;
}
