/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/peak.h"

/*
 * peak_avx512vnni: 64 bytes at a time; one stream, which hardware prefetchers know best.
 *
 * A dpbusd adds four products to each of 16 sums. Its result can be used 5 cycles later, and two
 * begin in a cycle where there are two units: so twelve accumulators, for 2 codes times 6 vectors
 * of activations. Those stay in registers while the passes go by: a load for each dpbusd costs 4 %.
 * A step adds at most 4 * 254 to a lane, so that even all lanes of an accumulator together stay
 * below 2^31 in 1000 passes.
 */

enum { LOADS = 6, STEP = 64 * LOADS };

uint64_t tg_peak_read_avx512vnni(const uint64_t *from, int64_t words)
{
    __m512i sums[8];
    uint64_t lanes[8];
    int64_t i = 0;

    for (int k = 0; k < 8; k++) sums[k] = _mm512_setzero_si512();
    for (; i + 64 <= words; i += 64) {
        for (int k = 0; k < 8; k++) {
            sums[k] = _mm512_xor_si512(sums[k], _mm512_load_si512(from + i + 8 * k));
        }
    }
    for (int k = 1; k < 8; k++) sums[0] = _mm512_xor_si512(sums[0], sums[k]);
    _mm512_storeu_si512(lanes, sums[0]);
    for (int k = 1; k < 8; k++) lanes[0] ^= lanes[k];
    for (; i < words; i++) lanes[0] ^= from[i];
    return lanes[0];
}

void tg_peak_write_avx512vnni(uint64_t *to, int64_t words, uint64_t value, int is_past)
{
    const __m512i wide = _mm512_set1_epi64((long long)value);
    int64_t i = 0;

    for (; is_past && i + 8 <= words; i += 8) _mm512_stream_si512((__m512i *)(to + i), wide);
    for (; i + 8 <= words; i += 8) _mm512_store_si512(to + i, wide);
    for (; i < words; i++) to[i] = value;
    _mm_sfence();
}

int64_t tg_peak_dot_avx512vnni(const uint8_t codes[2][32], const int8_t *activations,
                               int64_t columns, int64_t passes)
{
    const __m512i both[2] = {_mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)codes[0])),
                             _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)codes[1]))};
    __m512i sums[2][LOADS];
    int64_t sum = 0;

    assert(columns % TG_PEAK_COLUMNS == 0 && columns <= 16 * TG_PEAK_COLUMNS && passes <= 1000);
    for (int j = 0; j < 2; j++) {
        for (int k = 0; k < LOADS; k++) sums[j][k] = _mm512_setzero_si512();
    }
    for (int64_t c = 0; c < columns; c += STEP) {
        __m512i a[LOADS];
        for (int k = 0; k < LOADS; k++) a[k] = _mm512_load_si512(activations + c + 64 * k);
        for (int64_t pass = 0; pass < passes; pass++) {
            for (int k = 0; k < LOADS; k++) {
                for (int j = 0; j < 2; j++) {
                    sums[j][k] = _mm512_dpbusd_epi32(sums[j][k], both[j], a[k]);
                }
            }
        }
    }
    for (int j = 0; j < 2; j++) {
        for (int k = 0; k < LOADS; k++) sum += _mm512_reduce_add_epi32(sums[j][k]);
    }
    return sum;
}
