/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/detect.h"

#include <assert.h>
#include <stddef.h>

enum { SET_BITS = 64, COLUMNS_AT_ONCE = 64 };

uint64_t tg_detect_possible(const uint8_t *packed, int64_t bytes, int64_t rows, int64_t cols,
                            int8_t *scratch)
{
    uint64_t set = 0;

    assert(tg_format_count() <= SET_BITS && rows > 0 && cols > 0);
    for (size_t i = 0; i < tg_format_count(); i++) {
        const struct tg_format *format = tg_format_at(i);
        if (cols % format->column_multiple != 0) continue;
        if (format->packed_bytes(rows, cols) != bytes) continue;
        if (format->unpack(packed, rows, cols, scratch) < 0) set |= UINT64_C(1) << i;
    }
    return set;
}

static int64_t zeros_of(const int8_t *ternary, int64_t count)
{
    int64_t zeros = 0;

    for (int64_t i = 0; i < count; i++) zeros += ternary[i] == 0;
    return zeros;
}

/* The sum of squares by which the zeros of the rows differ from an equal share of all. */
static double row_squares(const int8_t *ternary, int64_t rows, int64_t cols, double expected)
{
    double squares = 0;

    for (int64_t r = 0; r < rows; r++) {
        const double more = (double)zeros_of(ternary + r * cols, cols) - expected;
        squares += more * more;
    }
    return squares;
}

static double column_squares(const int8_t *ternary, int64_t rows, int64_t cols, double expected)
{
    double squares = 0;

    for (int64_t first = 0; first < cols; first += COLUMNS_AT_ONCE) {
        const int64_t left = cols - first;
        const int64_t count = left < COLUMNS_AT_ONCE ? left : COLUMNS_AT_ONCE;
        int64_t zeros[COLUMNS_AT_ONCE] = {0};
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t c = 0; c < count; c++) zeros[c] += ternary[r * cols + first + c] == 0;
        }
        for (int64_t c = 0; c < count; c++) {
            const double more = (double)zeros[c] - expected;
            squares += more * more;
        }
    }
    return squares;
}

/* Pearson's chi-squares of the zeros of rows and of columns, less their degrees of freedom. */
static double excess_of(const int8_t *ternary, int64_t rows, int64_t cols, int64_t zeros)
{
    const double share = (double)zeros / ((double)rows * (double)cols);
    const double in_row = (double)cols * share, in_column = (double)rows * share;

    if (share <= 0 || share >= 1) return 0;
    return row_squares(ternary, rows, cols, in_row) / (in_row * (1 - share)) +
           column_squares(ternary, rows, cols, in_column) / (in_column * (1 - share)) -
           (double)(rows + cols - 2);
}

uint64_t tg_detect_by_margins(uint64_t set, const uint8_t *packed, int64_t rows, int64_t cols,
                              double least, int8_t *scratch)
{
    double excess[SET_BITS] = {0}, largest = 0;
    int64_t zeros = -1;
    uint64_t left = 0;

    for (size_t i = 0; i < tg_format_count(); i++) {
        if (!(set >> i & 1)) continue;
        tg_format_at(i)->unpack(packed, rows, cols, scratch);
        const int64_t those = zeros_of(scratch, rows * cols);
        if (zeros >= 0 && those != zeros) return set;
        zeros = those;
        excess[i] = excess_of(scratch, rows, cols, zeros);
        if (excess[i] > largest) largest = excess[i];
    }
    if (largest <= 0 || largest * largest < least * least * 2 * (double)(rows + cols - 2))
        return set;
    for (size_t i = 0; i < tg_format_count(); i++) {
        if ((set >> i & 1) && 2 * excess[i] >= largest) left |= UINT64_C(1) << i;
    }
    return left;
}

static int is_answer(const int8_t *ternary, int64_t rows, int64_t cols, const int8_t *activations,
                     const int32_t *results)
{
    for (int64_t r = 0; r < rows; r++) {
        int64_t sum = 0;
        for (int64_t c = 0; c < cols; c++) sum += ternary[r * cols + c] * activations[c];
        if (sum != results[r]) return 0;
    }
    return 1;
}

uint64_t tg_detect_by_answer(uint64_t set, const uint8_t *packed, int64_t rows, int64_t cols,
                             const int8_t *activations, const int32_t *results, int8_t *scratch)
{
    uint64_t left = 0;

    for (size_t i = 0; i < tg_format_count(); i++) {
        if (!(set >> i & 1)) continue;
        tg_format_at(i)->unpack(packed, rows, cols, scratch);
        if (is_answer(scratch, rows, cols, activations, results)) left |= UINT64_C(1) << i;
    }
    return left;
}

const struct tg_format *tg_detect_only(uint64_t set)
{
    const struct tg_format *only = NULL;

    for (size_t i = 0; i < tg_format_count(); i++) {
        if (!(set >> i & 1)) continue;
        if (only) return NULL;
        only = tg_format_at(i);
    }
    return only;
}
