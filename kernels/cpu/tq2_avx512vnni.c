/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/fields_avx512vnni.h"
#include "kernels/cpu/rows_avx512vnni.h"
#include "kernels/kernel.h"

/*
 * tq2_avx512vnni: ternary product without a shift, four rows at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * As kernels/cpu/fields_avx512vnni.h says, and from six columns of activations on as
 * kernels/cpu/rows_avx512vnni.h does. The codes of a block of 256 columns are the first 64 of
 * its 66 bytes; the scale behind them is never loaded. Blocks of 66 bytes make most loads cross a
 * cache line.
 *
 *   codes          bytes 0..31          bytes 32..63
 *   & 11000000     columns  96..127     columns 224..255
 *   & 00110000     columns  64.. 95     columns 192..223
 *   & 00001100     columns  32.. 63     columns 160..191
 *   & 00000011     columns   0.. 31     columns 128..159
 *
 * Limits: cols a multiple of 256, at most 2^17. 206 KiB of stack.
 * Source: the layout is ggml's.
 */

enum { BLOCK_BYTES = 66 };

static inline void order(const int8_t *activations, int64_t cols, __m512i ordered[TG_FIELDS])
{
    const __m256i *from = (const __m256i *)activations;

    (void)cols;
    for (int f = 0; f < TG_FIELDS; f++) {
        const __m512i first = _mm512_castsi256_si512(_mm256_loadu_si256(from + 3 - f));
        ordered[f] = _mm512_inserti64x4(first, _mm256_loadu_si256(from + 7 - f), 1);
    }
}

/* The four columns of field k of bytes 4d to 4d + 3. */
static inline int four(int d, int k)
{
    return d / 8 * 32 + 8 * (3 - k) + d % 8;
}

static void cut(const struct tg_problem *p, int64_t panel, int panels, int64_t from,
                int64_t columns, uint8_t *codes)
{
    const struct tg_rows_avx512vnni format = {BLOCK_BYTES, TG_FIELDS, tg_rows_avx512vnni_field,
                                              four};

    tg_rows_avx512vnni_cut(&format, 16, p->cols / TG_FIELDS_BLOCK_COLS * BLOCK_BYTES, p, panel,
                           panels, from, columns, codes);
}

void tg_kernel_tq2_avx512vnni(const struct tg_problem *p)
{
    static const struct tg_batch_avx512vnni batch = {cut, TG_FIELDS_BLOCK_COLS, 0, NULL};

    assert(p->cols % TG_FIELDS_BLOCK_COLS == 0);
    if (p->batch <= TG_FIELDS_FEW) {
        tg_fields_avx512vnni_multiply(p, BLOCK_BYTES, p->cols / TG_FIELDS_BLOCK_COLS * BLOCK_BYTES,
                                      order);
    } else {
        tg_batch_avx512vnni_multiply(p, &batch);
    }
}
