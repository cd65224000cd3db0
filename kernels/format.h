/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_FORMAT_H
#define TG_KERNELS_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How ternary weights (-1, 0, +1) lie in memory: one row a layout, with packing both ways. */

struct tg_format {
    const char *name;
    const char *meaning;
    int64_t column_multiple; /* cols must be a multiple of this */

    /* Bytes of a packed matrix of rows x cols, without scales. */
    int64_t (*packed_bytes)(int64_t rows, int64_t cols);

    /* Packs int8 weights (rows x cols, row-major, each -1, 0 or +1). */
    void (*pack)(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed);

    /*
     * Unpacks into int8 (rows x cols). Returns the index (row * cols + col) of the first weight
     * whose code stands for nothing, or -1 when every code is valid; what an invalid code left is
     * 0.
     */
    int64_t (*unpack)(const uint8_t *packed, int64_t rows, int64_t cols, int8_t *ternary);
};

/* The row of formats.def of that name, or NULL. */
const struct tg_format *tg_format_find(const char *name);

/* The rows in order; tg_format_at(i) for i < tg_format_count(). */
size_t tg_format_count(void);
const struct tg_format *tg_format_at(size_t i);

/* The functions of each row, in its format_<name>.c. */
#define FORMAT(name, column_multiple, meaning)                                                     \
    int64_t tg_format_##name##_packed_bytes(int64_t rows, int64_t cols);                           \
    void tg_format_##name##_pack(const int8_t *ternary, int64_t rows, int64_t cols,                \
                                 uint8_t *packed);                                                 \
    int64_t tg_format_##name##_unpack(const uint8_t *packed, int64_t rows, int64_t cols,           \
                                      int8_t *ternary);
#include "kernels/formats.def"
#undef FORMAT

#ifdef __cplusplus
}
#endif
#endif
