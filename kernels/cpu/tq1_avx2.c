/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "kernels/cpu/digits_avx2.h"
#include "kernels/kernel.h"

/*
 * tq1_avx2: ternary product, eight rows at a time, digits of 32 bytes in pairs.
 *
 *   results[b][r] = sum over c of digit[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * As kernels/cpu/digits_avx2.h says. maddubs multiplies digits with activations and adds neighbours
 * in 16-bit lanes. The next register is cut while one is multiplied: one by itself is a chain of 30
 * cycles, of which too few fit into the scheduler at once.
 *
 * Limits: cols a multiple of 256 and below 2^23 (int32 sums). A block adds 5 products of pairs of
 * at most 512 in size to a lane, so sums are widened after 12 blocks (30720).
 * Source: the layout is ggml's; digits in pairs are ours.
 */

enum { FLUSH_BLOCKS = 12 };

/* Adds the products of digits with a block of `columns` columns, which are `cols` apart. */
static inline __attribute__((always_inline)) void add(enum tg_digits_part part, int columns,
                                                      struct tg_digits digits, const int8_t *block,
                                                      int64_t cols, __m256i *narrow)
{
    __m256i codes[TG_DIGITS];

    tg_digits_codes(digits, codes);
    for (int b = 0; b < columns; b++) {
        for (int k = 0; k < tg_digits_count(part); k++) {
            const __m256i with = tg_digits_activations(part, block + b * cols, k);
            narrow[b] = _mm256_add_epi16(narrow[b], _mm256_maddubs_epi16(codes[k], with));
        }
    }
}

/* The sums of one register. */
static inline __attribute__((always_inline)) void
register_sums(enum tg_digits_part part, int columns, const uint8_t *const *rows,
              const int8_t *activations, int64_t cols, __m256i sums[TG_DIGITS_COLUMNS])
{
    const int64_t blocks = cols / TG_DIGITS_BLOCK_COLS;

    for (int b = 0; b < columns; b++) sums[b] = _mm256_setzero_si256();
    for (int64_t begin = 0; begin < blocks; begin += FLUSH_BLOCKS) {
        const int64_t last = (blocks - begin < FLUSH_BLOCKS ? blocks : begin + FLUSH_BLOCKS) - 1;
        struct tg_digits digits = tg_digits_cut(part, tg_digits_bytes(part, rows, begin));
        __m256i narrow[TG_DIGITS_COLUMNS];
        for (int b = 0; b < columns; b++) narrow[b] = _mm256_setzero_si256();
        for (int64_t n = begin; n < last; n++) {
            const struct tg_digits next = tg_digits_cut(part, tg_digits_bytes(part, rows, n + 1));
            add(part, columns, digits, activations + TG_DIGITS_BLOCK_COLS * n, cols, narrow);
            digits = next;
        }
        add(part, columns, digits, activations + TG_DIGITS_BLOCK_COLS * last, cols, narrow);
        for (int b = 0; b < columns; b++) {
            const __m256i pairs = _mm256_madd_epi16(narrow[b], _mm256_set1_epi16(1));
            sums[b] = _mm256_add_epi32(sums[b], pairs);
        }
    }
}

static inline __attribute__((always_inline)) void part_sums(enum tg_digits_part part, int columns,
                                                            const uint8_t *const *rows,
                                                            const int8_t *activations, int64_t cols,
                                                            __m256i (*sums)[TG_DIGITS_COLUMNS])
{
    for (int i = 0; i < tg_digits_registers(part); i++) {
        register_sums(part, columns, rows + i, activations, cols, sums[i]);
    }
}

void tg_kernel_tq1_avx2(const struct tg_problem *p)
{
    assert(p->cols < 1 << 23);
    tg_digits_multiply(p, part_sums);
}
