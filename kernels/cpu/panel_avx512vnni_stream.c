/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/ahead.h"
#include "kernels/cpu/batch_avx512vnni.h"
#include "kernels/kernel.h"

/*
 * panel_avx512vnni_stream: ternary product, one panel after the other, for weights in memory.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * As panel_avx512vnni with one column, but a panel at a time, so that a thread reads its weights as
 * one stream, from the first byte to the last: what hardware and prefetches for pages ahead know
 * best. Two steps have sums of their own, eight in all, so that no dpbusd waits for the one before.
 * Four panels at once load the activations once for four, and are faster where weights are in a
 * cache.
 *
 * More columns of activations meet the panel while it is in the first cache. For batches the codes
 * are cut again for each: panel_avx512vnni is for these.
 *
 * Limits: cols a multiple of 16 and at most 2^19, as there.
 */

enum { LANES = 16, FIELDS = 4, STEPS = 2, STEP_COLUMNS = 16, STEP_BYTES = 64 };

/* Accumulators are vectors of int: gcc 12 copies those whose type changes in the loop. */
struct sums {
    __v16si of[STEPS][FIELDS];
};

static inline void add_step(const uint8_t *weights, const int8_t *activations, __v16si *sums)
{
    const __m512i codes = _mm512_loadu_si512(weights);

    tg_ahead_fetch(weights);
    for (int f = 0; f < FIELDS; f++) {
        const __m512i mask = _mm512_set1_epi8((char)(0x03 << 2 * f));
        const __m512i four = tg_batch_avx512vnni_four(activations + 4 * f);
        sums[f] = tg_batch_avx512vnni_dot(sums[f], _mm512_and_si512(codes, mask), four);
    }
}

static inline __m512i both(const struct sums *sums, int field)
{
    return _mm512_add_epi32((__m512i)sums->of[0][field], (__m512i)sums->of[1][field]);
}

static void run(const struct tg_problem *p, int64_t panel, int64_t b, int32_t minus)
{
    const uint8_t *weights = p->weights + panel * 4 * p->cols;
    const int8_t *activations = p->activations + b * p->cols;
    int32_t *results = (int32_t *)p->results + b * p->rows + LANES * panel;
    struct sums sums;
    int64_t c = 0;

    for (int i = 0; i < STEPS; i++) {
        for (int f = 0; f < FIELDS; f++) sums.of[i][f] = (__v16si)_mm512_setzero_si512();
    }
    for (; c + STEPS * STEP_COLUMNS <= p->cols; c += STEPS * STEP_COLUMNS) {
        add_step(weights + 4 * c, activations + c, sums.of[0]);
        add_step(weights + 4 * c + STEP_BYTES, activations + c + STEP_COLUMNS, sums.of[1]);
    }
    if (c < p->cols) add_step(weights + 4 * c, activations + c, sums.of[0]);

    const __m512i low = _mm512_add_epi32(both(&sums, 0), _mm512_srai_epi32(both(&sums, 1), 2));
    const __m512i high = _mm512_add_epi32(_mm512_srai_epi32(both(&sums, 2), 4),
                                          _mm512_srai_epi32(both(&sums, 3), 6));
    _mm512_mask_storeu_epi32(
        results, tg_batch_avx512vnni_rows(p, panel),
        _mm512_sub_epi32(_mm512_add_epi32(low, high), _mm512_set1_epi32(minus)));
}

void tg_kernel_panel_avx512vnni_stream(const struct tg_problem *p)
{
    const int64_t end = (p->row_end + LANES - 1) / LANES;

    assert(p->cols % STEP_COLUMNS == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    if (p->row_begin == p->row_end) return;
    for (int64_t first = 0, some; first < p->batch; first += some) {
        int32_t minus[TG_BATCH_SMALL];
        some = p->batch - first < TG_BATCH_SMALL ? p->batch - first : TG_BATCH_SMALL;
        for (int64_t b = 0; b < some; b++) {
            minus[b] = tg_batch_avx512vnni_sum(p->activations + (first + b) * p->cols, p->cols);
        }
        for (int64_t panel = p->row_begin / LANES; panel < end; panel++) {
            for (int64_t b = 0; b < some; b++) run(p, panel, first + b, minus[b]);
        }
    }
}
