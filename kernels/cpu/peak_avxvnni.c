/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/peak.h"

/*
 * peak_avxvnni: dpbusd, four products to each of 8 sums. Its result can be used 5 cycles later, and
 * two begin in a cycle: so twelve accumulators, for 2 codes times 6 vectors of activations; two
 * codes and twelve sums leave two of the 16 registers for loads. A step adds at most 4 * 254 to a
 * lane, so that even all lanes of an accumulator together stay below 2^31 in 1000 passes. Reading
 * and writing are those of AVX2.
 */

enum { LOADS = 6, STEP = 32 * LOADS };

uint64_t tg_peak_read_avxvnni(const uint64_t *from, int64_t words)
{
    return tg_peak_read_avx2(from, words);
}

void tg_peak_write_avxvnni(uint64_t *to, int64_t words, uint64_t value, int is_past)
{
    tg_peak_write_avx2(to, words, value, is_past);
}

int64_t tg_peak_dot_avxvnni(const uint8_t codes[2][32], const int8_t *activations, int64_t columns,
                            int64_t passes)
{
    const __m256i both[2] = {_mm256_loadu_si256((const __m256i *)codes[0]),
                             _mm256_loadu_si256((const __m256i *)codes[1])};
    __v8si sums[2][LOADS] = {0};
    int64_t sum = 0;

    assert(columns % TG_PEAK_COLUMNS == 0 && columns <= 16 * TG_PEAK_COLUMNS && passes <= 1000);
    for (int64_t pass = 0; pass < passes; pass++) {
        for (int64_t c = 0; c < columns; c += STEP) {
            for (int k = 0; k < LOADS; k++) {
                const __m256i a = _mm256_load_si256((const __m256i *)(activations + c + 32 * k));
                for (int j = 0; j < 2; j++) {
                    sums[j][k] = (__v8si)_mm256_dpbusd_avx_epi32((__m256i)sums[j][k], both[j], a);
                }
            }
        }
    }
    for (int j = 0; j < 2; j++) {
        for (int k = 0; k < LOADS; k++) {
            for (int i = 0; i < 8; i++) sum += sums[j][k][i];
        }
    }
    return sum;
}
