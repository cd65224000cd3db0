/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_PEAK_H
#define TG_KERNELS_PEAK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What a core can do at most: read, write, and multiply-add int8, each as fast as an instruction
 * set allows. Who times them has the roofline of the machine. They are no rows of kernels.def, for
 * they have neither a format nor a reference on weights; and the program times its own, never those
 * of a library under test.
 *
 * A kernel has a limit only if its instruction set has a row here: what a wider one could do is not
 * known from narrower ones.
 */

/* Columns of `dot` are a multiple of this. */
#define TG_PEAK_COLUMNS 384

struct tg_peak {
    const char *isa;
    const char *how;
    int (*here)(void); /* whether this machine can run it */

    /* The XOR of `words` 64-bit words, 64-byte aligned. */
    uint64_t (*read)(const uint64_t *from, int64_t words);

    /*
     * Writes `value` `words` times, 64-byte aligned; past the caches if that is wanted and can be
     * asked for.
     */
    void (*write)(uint64_t *to, int64_t words, uint64_t value, int is_past);

    /*
     * The sum over all passes, over j < 2 and over c < columns of codes[j][c % 32] *
     * activations[c]. Codes are 0..2, activations -127..127, 64-byte aligned, and at most 16 *
     * TG_PEAK_COLUMNS of them; at most 1000 passes. A pass has 2 * columns multiply-adds. NULL
     * where multiplying is no limit: a register of plain integers can hold several small sums.
     */
    int64_t (*dot)(const uint8_t codes[2][32], const int8_t *activations, int64_t columns,
                   int64_t passes);
};

/* The row of that instruction set, or NULL. */
const struct tg_peak *tg_peak_find(const char *isa);

/* The widest row that this machine can run; never NULL. */
const struct tg_peak *tg_peak_widest(void);

/* The rows of this build in order; tg_peak_at(i) for i < tg_peak_count(). */
size_t tg_peak_count(void);
const struct tg_peak *tg_peak_at(size_t i);

/* The functions of each row; absent where its instruction set is not built, or the row has none. */
#define PEAK(ISA, name, dot, how)                                                                  \
    uint64_t tg_peak_read_##name(const uint64_t *from, int64_t words);                             \
    void tg_peak_write_##name(uint64_t *to, int64_t words, uint64_t value, int is_past);           \
    int64_t tg_peak_dot_##name(const uint8_t codes[2][32], const int8_t *activations,              \
                               int64_t columns, int64_t passes);
#include "kernels/peaks.def"
#undef PEAK

#ifdef __cplusplus
}
#endif
#endif
