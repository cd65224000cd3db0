/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/fields_avx512vnni.h"
#include "kernels/cpu/rows_avx512vnni.h"
#include "kernels/kernel.h"

/*
 * qk256_avx512vnni: ternary product without a shift, four rows at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * As kernels/cpu/fields_avx512vnni.h says, and from six columns of activations on as
 * kernels/cpu/rows_avx512vnni.h does. Byte i of 64 bytes of codes has the columns 4i to 4i + 3, the
 * first in the lowest bits, so a field meets every fourth activation.
 *
 * Limits: cols a multiple of 256, at most 2^17. 206 KiB of stack.
 * Source: the layout is that of BitNet-rs.
 */

static inline void order(const int8_t *activations, int64_t cols, __m512i ordered[TG_FIELDS])
{
    const __m512i apart = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __m512i x[4], y[4];

    (void)cols;
    for (int i = 0; i < 4; i++) {
        const __m512i from = _mm512_loadu_si512(activations + 64 * i);
        x[i] = _mm512_shuffle_epi8(from, apart);
    }
    /* Word k of each 16 bytes has the columns that field 3 - k meets. */
    const __m512i even = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25,
                                           29);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(2));
    for (int i = 0; i < 2; i++) {
        y[i] = _mm512_permutex2var_epi32(x[2 * i], even, x[2 * i + 1]);
        y[2 + i] = _mm512_permutex2var_epi32(x[2 * i], odd, x[2 * i + 1]);
    }
    ordered[3] = _mm512_shuffle_i64x2(y[0], y[1], 0x44);
    ordered[2] = _mm512_shuffle_i64x2(y[0], y[1], 0xee);
    ordered[1] = _mm512_shuffle_i64x2(y[2], y[3], 0x44);
    ordered[0] = _mm512_shuffle_i64x2(y[2], y[3], 0xee);
}

/* Codes have of 16 columns those four apart side by side. */
static const int8_t within[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};

/* The four places, among 16, of field k of bytes 4d to 4d + 3. */
static inline int four(int d, int k)
{
    return 4 * d + 3 - k;
}

static void cut(const struct tg_problem *p, int64_t panel, int panels, int64_t from,
                int64_t columns, uint8_t *codes)
{
    const struct tg_rows_avx512vnni format = {64, TG_FIELDS, tg_rows_avx512vnni_field, four};

    tg_rows_avx512vnni_cut(&format, 16, p->cols / 4, p, panel, panels, from, columns, codes);
}

void tg_kernel_qk256_avx512vnni(const struct tg_problem *p)
{
    static const struct tg_batch_avx512vnni batch = {cut, TG_FIELDS_BLOCK_COLS, 0, within};

    assert(p->cols % TG_FIELDS_BLOCK_COLS == 0);
    if (p->batch <= TG_FIELDS_FEW) {
        tg_fields_avx512vnni_multiply(p, 64, p->cols / 4, order);
    } else {
        tg_batch_avx512vnni_multiply(p, &batch);
    }
}
