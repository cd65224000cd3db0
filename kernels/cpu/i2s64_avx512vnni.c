/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/fields_avx512vnni.h"
#include "kernels/cpu/rows_avx512vnni.h"
#include "kernels/kernel.h"

/*
 * i2s64_avx512vnni: ternary product without a shift, four rows at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * As kernels/cpu/fields_avx512vnni.h says, and from six columns of activations on as
 * kernels/cpu/rows_avx512vnni.h does. 64 bytes of codes are four groups of 64 columns:
 *
 *   codes          bytes 0..15          bytes 16..31         ...   bytes 48..63
 *   & 11000000     columns   0.. 15     columns  64.. 79           columns 192..207
 *   & 00110000     columns  16.. 31     columns  80.. 95           columns 208..223
 *   & 00001100     columns  32.. 47     columns  96..111           columns 224..239
 *   & 00000011     columns  48.. 63     columns 112..127           columns 240..255
 *
 * Limits: cols a multiple of 64, at most 2^17. 206 KiB of stack.
 * Source: the layout is that of the ARM build of bitnet.cpp, arXiv:2502.11880.
 */

static inline void order(const int8_t *activations, int64_t cols, __m512i ordered[TG_FIELDS])
{
    __m512i groups[4];

    for (int i = 0; i < 4; i++) {
        groups[i] = 64 * i < cols ? _mm512_loadu_si512(activations + 64 * i)
                                  : _mm512_setzero_si512();
    }
    const __m512i low01 = _mm512_shuffle_i32x4(groups[0], groups[1], 0x44);
    const __m512i low23 = _mm512_shuffle_i32x4(groups[2], groups[3], 0x44);
    const __m512i high01 = _mm512_shuffle_i32x4(groups[0], groups[1], 0xee);
    const __m512i high23 = _mm512_shuffle_i32x4(groups[2], groups[3], 0xee);
    ordered[0] = _mm512_shuffle_i32x4(low01, low23, 0x88);
    ordered[1] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
    ordered[2] = _mm512_shuffle_i32x4(high01, high23, 0x88);
    ordered[3] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
}

/* The four columns of field k of bytes 4d to 4d + 3. */
static inline int four(int d, int k)
{
    return d / 4 * 16 + 4 * k + d % 4;
}

static void cut(const struct tg_problem *p, int64_t panel, int panels, int64_t from,
                int64_t columns, uint8_t *codes)
{
    const struct tg_rows_avx512vnni format = {64, TG_FIELDS, tg_rows_avx512vnni_field, four};

    tg_rows_avx512vnni_cut(&format, 16, p->cols / 4, p, panel, panels, from, columns, codes);
}

void tg_kernel_i2s64_avx512vnni(const struct tg_problem *p)
{
    static const struct tg_batch_avx512vnni batch = {cut, TG_FIELDS_BLOCK_COLS, 0, NULL};

    assert(p->cols % 64 == 0);
    if (p->batch <= TG_FIELDS_FEW) {
        tg_fields_avx512vnni_multiply(p, 64, p->cols / 4, order);
    } else {
        tg_batch_avx512vnni_multiply(p, &batch);
    }
}
