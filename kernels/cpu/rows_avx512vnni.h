/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_ROWS_AVX512VNNI_H
#define TG_KERNELS_ROWS_AVX512VNNI_H

/*
 * Batches of formats whose rows follow each other: 16 rows are turned so that each has a lane, as
 * kernels/cpu/batch_avx512vnni.h wants them, and then cut. Only for kernels that are compiled for
 * AVX-512 VNNI; elsewhere there is nothing here.
 */

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)

#include <immintrin.h>

#include "kernels/cpu/batch_avx512vnni.h"
#include "kernels/op.h"

/* How a format cuts; all are constants of a kernel. */
struct tg_rows_avx512vnni {
    int64_t block_bytes; /* from one block of 256 columns to the next */
    int pieces;          /* fields or digits of a byte */

    /* The piece k of 64 bytes, as codes of one byte; takes pieces in order, and may change them. */
    __m512i (*code)(__m512i *bytes, int k);

    /* Which four columns of the block, by their number, have piece k of the bytes 4d to 4d + 3. */
    int (*four)(int d, int k);
};

/* Loads up to 64 bytes, those of `words` of 4 bytes, of 16 rows; turned[d] has word d of each. */
static inline void tg_rows_avx512vnni_turn(const uint8_t *const rows[16], int64_t offset,
                                           __mmask16 words, __m512i turned[16])
{
    __m512i fours[4][4];

    for (int g = 0; g < 4; g++) {
        __m512i row[4];
        for (int i = 0; i < 4; i++) {
            row[i] = _mm512_maskz_loadu_epi32(words, rows[4 * g + i] + offset);
        }
        const __m512i low01 = _mm512_unpacklo_epi32(row[0], row[1]);
        const __m512i low23 = _mm512_unpacklo_epi32(row[2], row[3]);
        const __m512i high01 = _mm512_unpackhi_epi32(row[0], row[1]);
        const __m512i high23 = _mm512_unpackhi_epi32(row[2], row[3]);
        fours[0][g] = _mm512_unpacklo_epi64(low01, low23);
        fours[1][g] = _mm512_unpackhi_epi64(low01, low23);
        fours[2][g] = _mm512_unpacklo_epi64(high01, high23);
        fours[3][g] = _mm512_unpackhi_epi64(high01, high23);
    }
    for (int j = 0; j < 4; j++) {
        const __m512i even01 = _mm512_shuffle_i32x4(fours[j][0], fours[j][1], 0x88);
        const __m512i even23 = _mm512_shuffle_i32x4(fours[j][2], fours[j][3], 0x88);
        const __m512i odd01 = _mm512_shuffle_i32x4(fours[j][0], fours[j][1], 0xdd);
        const __m512i odd23 = _mm512_shuffle_i32x4(fours[j][2], fours[j][3], 0xdd);
        turned[j] = _mm512_shuffle_i32x4(even01, even23, 0x88);
        turned[4 + j] = _mm512_shuffle_i32x4(odd01, odd23, 0x88);
        turned[8 + j] = _mm512_shuffle_i32x4(even01, even23, 0xdd);
        turned[12 + j] = _mm512_shuffle_i32x4(odd01, odd23, 0xdd);
    }
}

/* Cuts `cols` columns, at most 256, of 16 rows; `words` have them. From four to four is `step`. */
static inline __attribute__((always_inline)) void
tg_rows_avx512vnni_cut_block(const struct tg_rows_avx512vnni *format, const uint8_t *const rows[16],
                             int64_t offset, int words, int64_t cols, int64_t step, uint8_t *codes)
{
    __m512i turned[16];

    tg_rows_avx512vnni_turn(rows, offset, (__mmask16)((1 << words) - 1), turned);
    for (int d = 0; d < words; d++) {
        for (int k = 0; k < format->pieces; k++) {
            const int four = format->four(d, k);
            const __m512i code = format->code(&turned[d], k);
            if (four >= 0 && 4 * four < cols) _mm512_store_si512(codes + step * four, code);
        }
    }
}

/*
 * As tg_batch_avx512vnni_cut_fn says. Rows that the matrix does not have are read as its last. A
 * block of 256 columns has `words` of 4 bytes with codes; one of fewer columns has as many less.
 */
static inline __attribute__((always_inline)) void
tg_rows_avx512vnni_cut(const struct tg_rows_avx512vnni *format, int words, int64_t row_bytes,
                       const struct tg_problem *p, int64_t panel, int panels, int64_t from,
                       int64_t columns, uint8_t *codes)
{
    const int64_t step = TG_BATCH_STEP_BYTES * panels;

    for (int i = 0; i < panels; i++) {
        const int64_t first = TG_BATCH_LANES * (panel + i);
        const uint8_t *rows[16];
        int64_t c = 0;
        for (int k = 0; k < 16; k++) {
            const int64_t row = first + k < p->rows ? first + k : p->rows - 1;
            rows[k] = p->weights + row * row_bytes;
        }
        for (; c + 256 <= columns; c += 256) {
            tg_rows_avx512vnni_cut_block(format, rows, (from + c) / 256 * format->block_bytes,
                                         words, 256, step,
                                         codes + TG_BATCH_STEP_BYTES * i + step * (c / 4));
        }
        if (c < columns) {
            tg_rows_avx512vnni_cut_block(format, rows, (from + c) / 256 * format->block_bytes,
                                         (int)(columns - c) / 16, columns - c, step,
                                         codes + TG_BATCH_STEP_BYTES * i + step * (c / 4));
        }
    }
}

/* The code of field k of bytes, from the high bits on. */
static inline __m512i tg_rows_avx512vnni_field(__m512i *bytes, int k)
{
    const __m512i mask = _mm512_set1_epi8(3);

    return _mm512_and_si512(k == 3 ? *bytes : _mm512_srli_epi16(*bytes, 6 - 2 * k), mask);
}

#endif
#endif
