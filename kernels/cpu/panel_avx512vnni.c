/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/batch_avx512vnni.h"
#include "kernels/kernel.h"

/*
 * panel_avx512vnni: ternary product, one row a lane, for one column of activations and for many.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * 64 bytes of codes are a step: 16 rows and 16 columns. Field f of the 32-bit lane of a row (bits
 * 1-0 of its bytes for f = 0, then 3-2, 5-4, 7-6) has columns 4f to 4f + 3, and meets these four
 * activations, given to all lanes. The sums of a register are results as they are stored: there is
 * nothing to add across lanes, and rows outside the call are masked.
 *
 * One column, or two: four panels at once, so that 16 sums hide the latency of dpbusd and each four
 * activations are loaded once for 64 rows. A field is kept where it lies, by a mask; its sum is
 * 1, 4, 16 or 64 times too large, and divided by an exact shift at the end. The four streams are
 * prefetched as the one that they are.
 *
 * More columns: as kernels/cpu/batch_avx512vnni.h says. The fields of a step are its codes, cut by
 * a shift and a mask.
 *
 * Limits: cols a multiple of 16 and at most 2^19: 128 * 128 * 2^17 is the largest sum of the last
 * field before the shift. 206 KiB of stack.
 * Source: panels of rows as in Goto and van de Geijn, Anatomy of High-Performance Matrix
 * Multiplication, ACM TOMS 34(3), 2008.
 */

enum {
    LANES = 16,
    FIELDS = 4,
    STEP_COLUMNS = 16,
    STEP_BYTES = 64,
    RUN_PANELS = 4,
    AHEAD_BYTES = 8192,
    AHEAD_OF_CUT_BYTES = 1024
};

/* Accumulators are vectors of int: gcc 12 copies those whose type changes in the loop. */
struct run_sums {
    __v16si of[RUN_PANELS][FIELDS];
};

/* Adds a step of so many panels; `panels` is a constant. */
static inline __attribute__((always_inline)) void add_step(int panels, const uint8_t *weights,
                                                           int64_t panel_bytes,
                                                           const int8_t *activations,
                                                           struct run_sums *sums)
{
    __m512i fours[FIELDS];

    for (int f = 0; f < FIELDS; f++) fours[f] = tg_batch_avx512vnni_four(activations + 4 * f);
    for (int i = 0; i < panels; i++) {
        const __m512i codes = _mm512_loadu_si512(weights + i * panel_bytes);
        for (int f = 0; f < FIELDS; f++) {
            const __m512i mask = _mm512_set1_epi8((char)(0x03 << 2 * f));
            sums->of[i][f] = tg_batch_avx512vnni_dot(sums->of[i][f], _mm512_and_si512(codes, mask),
                                                     fours[f]);
        }
    }
}

/* The fields of a panel, all on the scale of codes. */
static inline __m512i joined(const __v16si of[FIELDS])
{
    const __m512i s01 = _mm512_add_epi32((__m512i)of[0], _mm512_srai_epi32((__m512i)of[1], 2));
    const __m512i s23 = _mm512_add_epi32(_mm512_srai_epi32((__m512i)of[2], 4),
                                         _mm512_srai_epi32((__m512i)of[3], 6));
    return _mm512_add_epi32(s01, s23);
}

/* So many panels from `panel`, and activation column b. */
static inline __attribute__((always_inline)) void run(int panels, const struct tg_problem *p,
                                                      int64_t panel, int64_t b, int32_t minus)
{
    const int64_t panel_bytes = 4 * p->cols;
    const uint8_t *weights = p->weights + panel * panel_bytes;
    const int8_t *activations = p->activations + b * p->cols;
    int32_t *results = (int32_t *)p->results + b * p->rows + LANES * panel;
    struct run_sums sums;

    for (int i = 0; i < panels; i++) {
        for (int f = 0; f < FIELDS; f++) sums.of[i][f] = (__v16si)_mm512_setzero_si512();
    }
    for (int64_t c = 0; c < p->cols; c += STEP_COLUMNS) {
        const char *ahead = (const char *)weights + panels * 4 * c + AHEAD_BYTES;
        for (int i = 0; i < panels; i++) _mm_prefetch(ahead + STEP_BYTES * i, _MM_HINT_T1);
        add_step(panels, weights + 4 * c, panel_bytes, activations + c, &sums);
    }
    for (int i = 0; i < panels; i++) {
        _mm512_mask_storeu_epi32(results + LANES * i, tg_batch_avx512vnni_rows(p, panel + i),
                                 _mm512_sub_epi32(joined(sums.of[i]), _mm512_set1_epi32(minus)));
    }
}

static void few_columns(const struct tg_problem *p, int64_t panel, int64_t panel_end)
{
    int32_t minus[2];

    for (int64_t b = 0; b < p->batch; b++) {
        minus[b] = tg_batch_avx512vnni_sum(p->activations + b * p->cols, p->cols);
    }
    for (; panel + RUN_PANELS <= panel_end; panel += RUN_PANELS) {
        for (int64_t b = 0; b < p->batch; b++) run(RUN_PANELS, p, panel, b, minus[b]);
    }
    for (; panel < panel_end; panel++) {
        for (int64_t b = 0; b < p->batch; b++) run(1, p, panel, b, minus[b]);
    }
}

/* Cuts the columns of so many panels, a constant, into codes of one byte. */
static inline __attribute__((always_inline)) void cut_panels(int panels, const struct tg_problem *p,
                                                             int64_t panel, int64_t from,
                                                             int64_t columns, uint8_t *codes)
{
    const __m512i mask = _mm512_set1_epi8(3);

    for (int i = 0; i < panels; i++) {
        const uint8_t *packed = p->weights + 4 * (panel + i) * p->cols + 4 * from;
        uint8_t *to = codes + STEP_BYTES * i;
        for (int64_t step = 0; step < columns / STEP_COLUMNS; step++) {
            const uint8_t *at = packed + STEP_BYTES * step;
            const __m512i four_codes = _mm512_loadu_si512(at);
            const __m512i fields[FIELDS] = {four_codes, _mm512_srli_epi32(four_codes, 2),
                                            _mm512_srli_epi32(four_codes, 4),
                                            _mm512_srli_epi32(four_codes, 6)};
            _mm_prefetch((const char *)at + AHEAD_OF_CUT_BYTES, _MM_HINT_T0);
            for (int f = 0; f < FIELDS; f++) {
                _mm512_store_si512(to, _mm512_and_si512(fields[f], mask));
                to += STEP_BYTES * panels;
            }
        }
    }
}

static void cut(const struct tg_problem *p, int64_t panel, int panels, int64_t from,
                int64_t columns, uint8_t *codes)
{
    if (panels == 2) {
        cut_panels(2, p, panel, from, columns, codes);
    } else {
        cut_panels(1, p, panel, from, columns, codes);
    }
}

void tg_kernel_panel_avx512vnni(const struct tg_problem *p)
{
    static const struct tg_batch_avx512vnni batch = {cut, STEP_COLUMNS, 0, NULL};
    const int64_t panel_begin = p->row_begin / LANES;
    const int64_t panel_end = (p->row_end + LANES - 1) / LANES;

    assert(p->cols % STEP_COLUMNS == 0 && p->cols <= 1 << 19);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    if (p->row_begin == p->row_end) return;
    if (p->batch <= 2) {
        few_columns(p, panel_begin, panel_end);
    } else {
        tg_batch_avx512vnni_multiply(p, &batch);
    }
}
