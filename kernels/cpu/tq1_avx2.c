/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/ahead.h"
#include "kernels/cpu/fields_avx2.h"
#include "kernels/kernel.h"

/*
 * tq1_avx2: ternary product, eight rows at a time, digits of 32 bytes in pairs.
 *
 *   results[b][r] = sum over c of digit[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * A byte is a fraction of 256 to the base of three. Nine times it has the first two digits above
 * 255, as a number from 0 to 8, and below 256 the fraction of the others. maddubs multiplies the
 * even bytes without a mask, and the odd ones, to 16 bits each, and then the lower halves of
 * these. The upper halves of both are brought into one register, in which pshufb looks up the first
 * digit of a pair, and the second. The fifth digit is what three times the last fraction has above
 * 255. The next register is cut while this one is multiplied: one by itself is a chain of 30
 * cycles, of which too few fit into the scheduler at once.
 *
 * A block of 256 columns is 32 bytes, with the columns 32 k to 32 k + 31 in digit k, 16 bytes with
 * 160 + 16 k to 175 + 16 k, and 4 bytes with 240 + 4 k to 243 + 4 k, of which digit 4 is no weight;
 * a scale that is left out follows. So that registers are full, the 32 bytes are summed of one row,
 * the 16 of two rows, and the 4 of eight, which meet the same activations.
 *
 * Limits: cols a multiple of 256 and below 2^23 (int32 sums). A block adds 5 products of pairs of
 * at most 512 in size to a lane, so sums are widened after 12 blocks (30720).
 * Source: the layout is ggml's; digits in pairs are ours.
 */

enum {
    DIGITS = 5,
    BLOCK_COLS = 256,
    BLOCK_BYTES = 54,
    FLUSH_BLOCKS = 12,
    ROWS = 8,
    HALF_ROWS = 4,
    COLUMNS = TG_FIELDS_AVX2_COLUMNS
};

/* The rows of which a register has bytes of a block: 32 of one, 16 of two, or 4 of eight. */
enum part { ONE, TWO, EIGHT };

/* The bytes of a part that begin in block n; two rows are a row and the fourth after it. */
static inline __attribute__((always_inline)) __m256i bytes_of(enum part part,
                                                              const uint8_t *const *rows, int64_t n)
{
    const int64_t at = BLOCK_BYTES * n;
    int32_t four[ROWS];

    if (part == ONE) {
        tg_ahead_fetch(rows[0] + at);
        return _mm256_loadu_si256((const __m256i *)(rows[0] + at));
    }
    if (part == TWO) {
        const __m128i first = _mm_loadu_si128((const __m128i *)(rows[0] + at + 32));
        const __m128i second = _mm_loadu_si128((const __m128i *)(rows[HALF_ROWS] + at + 32));
        return _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
    }
    for (int i = 0; i < ROWS; i++) memcpy(&four[i], rows[i] + at + 48, sizeof four[i]);
    return _mm256_setr_epi32(four[0], four[1], four[2], four[3], four[4], four[5], four[6],
                             four[7]);
}

/* The activations of a block that meet digit k of a part. */
static inline __attribute__((always_inline)) __m256i activations_of(enum part part,
                                                                    const int8_t *block, int k)
{
    int32_t four;

    if (part == ONE) return _mm256_loadu_si256((const __m256i *)(block + 32 * k));
    if (part == TWO) {
        const __m128i *sixteen = (const __m128i *)(block + 160 + 16 * k);
        return _mm256_broadcastsi128_si256(_mm_loadu_si128(sixteen));
    }
    memcpy(&four, block + 240 + 4 * k, sizeof four);
    return _mm256_set1_epi32(four);
}

/* What even and odd bytes have above 255, each in its place. */
static inline __m256i above_255(__m256i even, __m256i odd)
{
    return _mm256_or_si256(_mm256_srli_epi16(even, 8),
                           _mm256_and_si256(odd, _mm256_set1_epi16((short)0xff00)));
}

/* Digits 0 and 1 of bytes as numbers from 0 to 8, digits 2 and 3, and digit 4. */
struct digits {
    __m256i first, second, last;
};

static inline __attribute__((always_inline)) struct digits cut(enum part part, __m256i bytes)
{
    const __m256i nine = _mm256_set1_epi16(9), three = _mm256_set1_epi16(3);
    const __m256i even = _mm256_maddubs_epi16(bytes, nine);
    const __m256i odd = _mm256_maddubs_epi16(bytes, _mm256_set1_epi16(9 << 8));
    const __m256i next_even = _mm256_maddubs_epi16(even, nine);
    const __m256i next_odd = _mm256_maddubs_epi16(odd, nine);
    struct digits digits = {above_255(even, odd), above_255(next_even, next_odd), {0}};

    if (part != EIGHT) {
        digits.last = above_255(_mm256_maddubs_epi16(next_even, three),
                                _mm256_maddubs_epi16(next_odd, three));
    }
    return digits;
}

/* Adds the products of cut bytes with a block of `columns` columns, which are `cols` apart. */
static inline __attribute__((always_inline)) void add(enum part part, int columns,
                                                      struct digits digits, const int8_t *block,
                                                      int64_t cols, __m256i *narrow)
{
    const __m256i high = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0));
    const __m256i low = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0));
    const __m256i codes[DIGITS] = {_mm256_shuffle_epi8(high, digits.first),
                                   _mm256_shuffle_epi8(low, digits.first),
                                   _mm256_shuffle_epi8(high, digits.second),
                                   _mm256_shuffle_epi8(low, digits.second), digits.last};
    const int count = part == EIGHT ? DIGITS - 1 : DIGITS;

    for (int b = 0; b < columns; b++) {
        for (int k = 0; k < count; k++) {
            const __m256i with = activations_of(part, block + b * cols, k);
            narrow[b] = _mm256_add_epi16(narrow[b], _mm256_maddubs_epi16(codes[k], with));
        }
    }
}

/* Sums of a part of all blocks for `columns` columns; part and columns are constants. */
static inline __attribute__((always_inline)) void part_sums(enum part part, int columns,
                                                            const uint8_t *const *rows,
                                                            const int8_t *activations, int64_t cols,
                                                            __m256i sums[COLUMNS])
{
    const int64_t blocks = cols / BLOCK_COLS;

    for (int b = 0; b < columns; b++) sums[b] = _mm256_setzero_si256();
    for (int64_t begin = 0; begin < blocks; begin += FLUSH_BLOCKS) {
        const int64_t last = (blocks - begin < FLUSH_BLOCKS ? blocks : begin + FLUSH_BLOCKS) - 1;
        struct digits digits = cut(part, bytes_of(part, rows, begin));
        __m256i narrow[COLUMNS];
        for (int b = 0; b < columns; b++) narrow[b] = _mm256_setzero_si256();
        for (int64_t n = begin; n < last; n++) {
            const struct digits next = cut(part, bytes_of(part, rows, n + 1));
            add(part, columns, digits, activations + BLOCK_COLS * n, cols, narrow);
            digits = next;
        }
        add(part, columns, digits, activations + BLOCK_COLS * last, cols, narrow);
        for (int b = 0; b < columns; b++) {
            const __m256i pairs = _mm256_madd_epi16(narrow[b], _mm256_set1_epi16(1));
            sums[b] = _mm256_add_epi32(sums[b], pairs);
        }
    }
}

/* The sums of eight rows for `columns` columns: a row a lane. */
static inline __attribute__((always_inline)) void eight_rows(int columns,
                                                             const uint8_t *const rows[ROWS],
                                                             const int8_t *activations,
                                                             int64_t cols, __m256i results[COLUMNS])
{
    __m256i sums[HALF_ROWS][COLUMNS]; /* of row i in the lower half, of row i + 4 in the upper */

    for (int i = 0; i < HALF_ROWS; i++) {
        __m256i first[COLUMNS], second[COLUMNS];
        part_sums(ONE, columns, rows + i, activations, cols, first);
        part_sums(ONE, columns, rows + i + HALF_ROWS, activations, cols, second);
        part_sums(TWO, columns, rows + i, activations, cols, sums[i]);
        for (int b = 0; b < columns; b++) {
            const __m256i halves[2] = {_mm256_permute2x128_si256(first[b], second[b], 0x20),
                                       _mm256_permute2x128_si256(first[b], second[b], 0x31)};
            sums[i][b] = _mm256_add_epi32(sums[i][b], _mm256_add_epi32(halves[0], halves[1]));
        }
    }
    part_sums(EIGHT, columns, rows, activations, cols, results);
    for (int b = 0; b < columns; b++) {
        const __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0][b], sums[1][b]),
                                              _mm256_hadd_epi32(sums[2][b], sums[3][b]));
        results[b] = _mm256_add_epi32(results[b], all);
    }
}

/* All rows of the call for `columns` (1, 2 or 4) columns from `first`. */
static inline __attribute__((always_inline)) void tile(int columns, const struct tg_problem *p,
                                                       int64_t first)
{
    const int64_t row_bytes = p->cols / BLOCK_COLS * BLOCK_BYTES;
    const int8_t *activations = p->activations + first * p->cols;
    int32_t minus[COLUMNS], lanes[ROWS];

    for (int b = 0; b < columns; b++) {
        minus[b] = tg_fields_avx2_activation_sum(activations + b * p->cols, p->cols);
    }
    for (int64_t r = p->row_begin; r < p->row_end; r += ROWS) {
        const int64_t count = p->row_end - r < ROWS ? p->row_end - r : ROWS;
        const uint8_t *rows[ROWS];
        __m256i sums[COLUMNS];
        for (int i = 0; i < ROWS; i++) { /* the last stands in for those that are not there */
            rows[i] = p->weights + (r + (i < count ? i : count - 1)) * row_bytes;
        }
        eight_rows(columns, rows, activations, p->cols, sums);
        for (int b = 0; b < columns; b++) {
            const __m256i results = _mm256_sub_epi32(sums[b], _mm256_set1_epi32(minus[b]));
            int32_t *to = (int32_t *)p->results + (first + b) * p->rows + r;
            _mm256_storeu_si256((__m256i *)lanes, results);
            memcpy(to, lanes, (size_t)count * sizeof *to);
        }
    }
}

void tg_kernel_tq1_avx2(const struct tg_problem *p)
{
    int64_t b = 0;

    assert(p->cols % BLOCK_COLS == 0 && p->cols < 1 << 23);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (; b + 4 <= p->batch; b += 4) tile(4, p, b);
    for (; b + 2 <= p->batch; b += 2) tile(2, p, b);
    for (; b < p->batch; b++) tile(1, p, b);
}
