/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "kernels/cpu/digits_avx2.h"
#include "kernels/kernel.h"

/*
 * tq1_avxvnni: ternary product, eight rows at a time, digits not taken out for one column.
 *
 *   results[b][r] = sum over c of digit[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * One column: three times a byte x, less the x' that this is modulo 256, is 256 times its first
 * digit. So dpbusd sums x and x', each with the same activations, and the difference of three times
 * the one and the other is divided by 256 at the end, without rest. Four registers at a time hide
 * the latency of dpbusd. Registers are those of kernels/cpu/digits_avx2.h, and so are the digits
 * that several columns share.
 *
 * Limits: cols a multiple of 256, at most 2^17: a block adds at most 256 * 2 * 128 * 20 to the
 * difference in a lane, and 512 blocks stay below 2^31, whatever the two sums wrap.
 * Source: the layout is ggml's; sums without digits are ours, as in tq1_avx512vnni.
 */

enum { AT_ONCE = 4 };

/* Accumulators are vectors of int: gcc 12 copies those whose type changes in the loop. */
static inline __v8si dot(__v8si sums, __m256i codes, __m256i activations)
{
    return (__v8si)_mm256_dpbusd_avx_epi32((__m256i)sums, codes, activations);
}

/* What clang does not see through: of known additions it makes slower multiplications. */
static inline __m256i threefold(__m256i bytes)
{
    __m256i sum = _mm256_add_epi8(_mm256_add_epi8(bytes, bytes), bytes);

    __asm__("" : "+x"(sum));
    return sum;
}

/* The sums of `count` (1 or 4) registers for one column. */
static inline __attribute__((always_inline)) void
one_column(enum tg_digits_part part, int count, const uint8_t *const *rows,
           const int8_t *activations, int64_t cols, __m256i (*sums)[TG_DIGITS_COLUMNS])
{
    __v8si once[AT_ONCE] = {0}, less[AT_ONCE] = {0};

    for (int64_t n = 0; n < cols / TG_DIGITS_BLOCK_COLS; n++) {
        const int8_t *block = activations + TG_DIGITS_BLOCK_COLS * n;
        __m256i bytes[AT_ONCE];
        for (int i = 0; i < count; i++) bytes[i] = tg_digits_bytes(part, rows + i, n);
        for (int k = 0; k < tg_digits_count(part); k++) {
            const __m256i with = tg_digits_activations(part, block, k);
            for (int i = 0; i < count; i++) {
                once[i] = dot(once[i], bytes[i], with);
                bytes[i] = threefold(bytes[i]);
                less[i] = dot(less[i], bytes[i], with);
            }
        }
    }
    for (int i = 0; i < count; i++) {
        sums[i][0] = _mm256_srai_epi32((__m256i)(once[i] + once[i] + once[i] - less[i]), 8);
    }
}

/* The sums of one register for `columns` columns, two for each, of digits 0 to 2 and of others. */
static inline __attribute__((always_inline)) void
columns_of(enum tg_digits_part part, int columns, const uint8_t *const *rows,
           const int8_t *activations, int64_t cols, __m256i sums[TG_DIGITS_COLUMNS])
{
    __v8si of[2][TG_DIGITS_COLUMNS] = {0};

    for (int64_t n = 0; n < cols / TG_DIGITS_BLOCK_COLS; n++) {
        const int8_t *block = activations + TG_DIGITS_BLOCK_COLS * n;
        __m256i codes[TG_DIGITS];
        tg_digits_codes(tg_digits_cut(part, tg_digits_bytes(part, rows, n)), codes);
        for (int b = 0; b < columns; b++) {
            for (int k = 0; k < tg_digits_count(part); k++) {
                const __m256i with = tg_digits_activations(part, block + b * cols, k);
                of[k / 3][b] = dot(of[k / 3][b], codes[k], with);
            }
        }
    }
    for (int b = 0; b < columns; b++) sums[b] = (__m256i)(of[0][b] + of[1][b]);
}

static inline __attribute__((always_inline)) void part_sums(enum tg_digits_part part, int columns,
                                                            const uint8_t *const *rows,
                                                            const int8_t *activations, int64_t cols,
                                                            __m256i (*sums)[TG_DIGITS_COLUMNS])
{
    const int registers = tg_digits_registers(part);
    const int count = columns > 1 || registers == 1 ? 1 : AT_ONCE;

    for (int i = 0; i < registers; i += count) {
        if (columns == 1) {
            one_column(part, count, rows + i, activations, cols, sums + i);
        } else {
            columns_of(part, columns, rows + i, activations, cols, sums[i]);
        }
    }
}

void tg_kernel_tq1_avxvnni(const struct tg_problem *p)
{
    assert(p->cols <= 1 << 17);
    tg_digits_multiply(p, part_sums);
}
