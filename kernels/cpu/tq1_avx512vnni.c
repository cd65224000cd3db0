/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/ahead.h"
#include "kernels/cpu/fields_avx512vnni.h"
#include "kernels/cpu/rows_avx512vnni.h"
#include "kernels/kernel.h"

/*
 * tq1_avx512vnni: ternary product without taking digits out, four rows at a time.
 *
 *   results[b][r] = sum over c of digit[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * With x[0] a byte of codes and x[k+1] = 3 x[k] modulo 256, digit k is the part of 3 x[k] above
 * 255, so 3 x[k] = 256 digit[k] + x[k+1], and for the activations a[k] of the digits
 *
 *   256 * sum over k of digit[k] * a[k] = 3 * sum of x[k] * a[k] - sum of x[k+1] * a[k]
 *
 * Both sums are dpbusd of the bytes as they are: two for a digit, where shifting and masking it out
 * takes three instructions before its one. Modulo 256 is what adding bytes does. A block of 256
 * columns is 52 bytes of codes, loaded together, and a scale that is left out. For each digit the
 * activations are put in their order once, on the stack, for all rows of the call:
 *
 *   codes          0..31                   32..47                    48..51              52..63
 *   ordered k      columns 32 k + 0..31    columns 160+16k + 0..15   240+4k + 0..3       0
 *
 * but for digit 4 of bytes 48 to 51, which is no weight and meets 0.
 *
 * From four columns of activations on digits are taken out once, by comparing, as
 * kernels/cpu/rows_avx512vnni.h says.
 *
 * Limits: cols a multiple of 256, at most 2^17: a block adds at most 256 * 2 * 128 * 20 to the
 * difference in a lane, and 512 blocks stay below 2^31, whatever the two sums wrap. The difference
 * is a multiple of 256 in each lane, so lanes are shifted before they are added. The ordered
 * activations are 160 KiB of stack, one column of that limit; a batch takes 206 KiB.
 * Source: the layout is ggml's; the sums without digits are ours.
 */

enum { DIGITS = 5, TILE_ROWS = 4, TILE_COLUMNS = 8 };
enum {
    BLOCK_COLS = 256,
    BLOCK_BYTES = 54,
    CODE_LANES = 0x1fff,
    CODE_WORDS = 13,
    FEW_COLUMNS = 3,
    ORDERED_BLOCK = 64 * DIGITS
};
enum { MOST_COLS = 1 << 17, ORDERED_BYTES = MOST_COLS / BLOCK_COLS * ORDERED_BLOCK };

/* The accumulators of some rows, as dpbusd gives them: gcc 12 copies those whose type changes. */
struct sums {
    __v16si threefold[TILE_ROWS], once[TILE_ROWS];
};

static inline __v16si add_products(__v16si sum, __m512i codes, __m512i activations)
{
    return (__v16si)_mm512_dpbusd_epi32((__m512i)sum, codes, activations);
}

/*
 * The digits of a byte, as a number that clang does not know: of five known rounds of additions
 * clang 14 makes products of the first bytes with 9, 27, 81 and 243, 16-bit multiplications of
 * halves that are half as slow again. gcc 12 must know it: its loop copies codes at each turn.
 */
static inline int64_t digits_of(int64_t cols)
{
#ifdef __clang__
    return DIGITS + cols % BLOCK_COLS;
#else
    return (void)cols, DIGITS;
#endif
}

/* Adds one block of `rows` rows; all but the pointers, and for clang the digits, are constants. */
static inline __attribute__((always_inline)) void add_block(int rows, const uint8_t *weights,
                                                            int64_t row_bytes,
                                                            const int8_t *ordered, int64_t digits,
                                                            struct sums *sums)
{
    __m512i codes[TILE_ROWS];

    for (int i = 0; i < rows; i++) {
        codes[i] = _mm512_maskz_loadu_epi32(CODE_LANES, weights + i * row_bytes);
    }
    for (int64_t k = 0; k < digits; k++) {
        const __m512i activations = _mm512_load_si512(ordered + 64 * k);
        for (int i = 0; i < rows; i++) {
            const __m512i twice = _mm512_add_epi8(codes[i], codes[i]);
            sums->threefold[i] = add_products(sums->threefold[i], codes[i], activations);
            codes[i] = _mm512_add_epi8(twice, codes[i]);
            sums->once[i] = add_products(sums->once[i], codes[i], activations);
        }
    }
}

/* Sums of digit times activation of a row, one a lane. */
static inline __m512i joined(__v16si threefold, __v16si once)
{
    const __m512i sum = (__m512i)threefold;
    const __m512i all = _mm512_add_epi32(sum, _mm512_slli_epi32(sum, 1));

    return _mm512_srai_epi32(_mm512_sub_epi32(all, (__m512i)once), 8);
}

/* The sum of each row, one a lane. */
static inline __m128i row_sums(const struct sums *sums)
{
    __m512i rows[TILE_ROWS];

    for (int i = 0; i < TILE_ROWS; i++) rows[i] = joined(sums->threefold[i], sums->once[i]);
    return tg_fields_avx512vnni_lane_sums(rows[0], rows[1], rows[2], rows[3]);
}

/* Sums of digit times activation of `rows` (1 or 4) neighbouring rows; the other lanes are 0. */
static inline __attribute__((always_inline)) __m128i digit_sums(int rows, const uint8_t *weights,
                                                                const int8_t *ordered, int64_t cols)
{
    const int64_t digits = digits_of(cols);
    const int64_t blocks = cols / BLOCK_COLS;
    struct sums sums;

    for (int i = 0; i < TILE_ROWS; i++) {
        sums.threefold[i] = sums.once[i] = (__v16si)_mm512_setzero_si512();
    }
    for (int64_t n = 0; n < blocks; n++) {
        for (int i = 0; i < rows; i++) {
            tg_ahead_fetch(weights + BLOCK_BYTES * (rows * n + i));
        }
        add_block(rows, weights + BLOCK_BYTES * n, BLOCK_BYTES * blocks,
                  ordered + ORDERED_BLOCK * n, digits, &sums);
    }
    return row_sums(&sums);
}

/* Puts one column of activations in the order in which digits meet them; returns their sum. */
static int32_t order(const int8_t *activations, int64_t blocks, int8_t *ordered)
{
    const __m512i one = _mm512_set1_epi8(1);
    __m512i sum = _mm512_setzero_si512();

    for (int64_t n = 0; n < blocks; n++) {
        const int8_t *from = activations + BLOCK_COLS * n;
        int8_t *to = ordered + ORDERED_BLOCK * n;
        for (int k = 0; k < DIGITS; k++) {
            const __m256i first = _mm256_loadu_si256((const __m256i *)(from + 32 * k));
            const __m128i next = _mm_loadu_si128((const __m128i *)(from + 160 + 16 * k));
            const __m128i last = _mm_maskz_loadu_epi32(k < 4, from + 240 + 4 * (k % 4));
            __m512i all = _mm512_inserti32x4(_mm512_castsi256_si512(first), next, 2);
            all = _mm512_inserti32x4(all, last, 3);
            _mm512_store_si512(to + 64 * k, all);
            sum = _mm512_dpbusd_epi32(sum, one, all);
        }
    }
    return _mm512_reduce_add_epi32(sum);
}

/* All rows of the call for `columns` columns from `first`, as many as fit when ordered. */
static void tile(const struct tg_problem *p, int64_t first, int64_t columns)
{
    const int64_t blocks = p->cols / BLOCK_COLS, row_bytes = BLOCK_BYTES * blocks;
    int32_t *results = (int32_t *)p->results + first * p->rows;
    int32_t minus[TILE_COLUMNS];
    _Alignas(64) int8_t ordered[ORDERED_BYTES];
    int64_t r = p->row_begin;

    for (int64_t b = 0; b < columns; b++) {
        const int8_t *activations = p->activations + (first + b) * p->cols;
        minus[b] = order(activations, blocks, ordered + b * blocks * ORDERED_BLOCK);
    }
    for (; r + TILE_ROWS <= p->row_end; r += TILE_ROWS) {
        const uint8_t *weights = p->weights + r * row_bytes;
        for (int64_t b = 0; b < columns; b++) {
            const int8_t *with = ordered + b * blocks * ORDERED_BLOCK;
            const __m128i sums = digit_sums(TILE_ROWS, weights, with, p->cols);
            _mm_storeu_si128((__m128i *)(results + b * p->rows + r),
                             _mm_sub_epi32(sums, _mm_set1_epi32(minus[b])));
        }
    }
    for (; r < p->row_end; r++) {
        const uint8_t *weights = p->weights + r * row_bytes;
        for (int64_t b = 0; b < columns; b++) {
            const int8_t *with = ordered + b * blocks * ORDERED_BLOCK;
            const __m128i sums = digit_sums(1, weights, with, p->cols);
            results[b * p->rows + r] = _mm_cvtsi128_si32(sums) - minus[b];
        }
    }
}

/* Takes the first digit out of bytes, and moves the others up. */
static inline __m512i digit(__m512i *bytes, int k)
{
    const __mmask64 not_0 = _mm512_cmpge_epu8_mask(*bytes, _mm512_set1_epi8(86));
    const __mmask64 is_2 = _mm512_cmpge_epu8_mask(*bytes, _mm512_set1_epi8((char)171));
    const __m512i low = _mm512_maskz_set1_epi8(not_0, 1);

    (void)k;
    *bytes = _mm512_add_epi8(*bytes, _mm512_add_epi8(*bytes, *bytes));
    return _mm512_mask_set1_epi8(low, is_2, 2);
}

/* The four columns of digit k of bytes 4d to 4d + 3, or -1. */
static inline int four(int d, int k)
{
    if (d < 8) return 8 * k + d;
    if (d < 12) return 40 + 4 * k + d - 8;
    return k < 4 ? 60 + k : -1;
}

static void cut(const struct tg_problem *p, int64_t panel, int panels, int64_t from,
                int64_t columns, uint8_t *codes)
{
    const struct tg_rows_avx512vnni format = {BLOCK_BYTES, DIGITS, digit, four};

    tg_rows_avx512vnni_cut(&format, CODE_WORDS, p->cols / BLOCK_COLS * BLOCK_BYTES, p, panel,
                           panels, from, columns, codes);
}

void tg_kernel_tq1_avx512vnni(const struct tg_problem *p)
{
    static const struct tg_batch_avx512vnni batch = {cut, BLOCK_COLS, 0, NULL};
    int64_t at_once = TILE_COLUMNS;

    assert(p->cols % BLOCK_COLS == 0 && p->cols <= MOST_COLS);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    if (p->batch > FEW_COLUMNS) {
        tg_batch_avx512vnni_multiply(p, &batch);
        return;
    }
    while (at_once * p->cols > MOST_COLS) at_once /= 2;
    for (int64_t b = 0; b < p->batch; b += at_once) {
        tile(p, b, p->batch - b < at_once ? p->batch - b : at_once);
    }
}
