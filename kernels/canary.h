/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CANARY_H
#define TG_KERNELS_CANARY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Two canaries: work that never changes, so that when its time does, the machine has. One is bound
 * by arithmetic, the other by bandwidth; they are what is left to compare by when two measurements
 * were not made side by side.
 *
 * Frozen means the machine code, not only the source. Both functions lie in a section of their own,
 * call nothing, use no table, and are compiled with flags of their own, the same in every build
 * type and for every instruction set. Two programs whose sections are equal byte for byte time the
 * same canaries; times of unequal ones say nothing of each other. The program times its own
 * canaries, never those of a library under test.
 */

/*
 * Bytes that the second canary reads: more than a core's own cache has on today's servers (1 to 2
 * MiB), so that it is the shared part of the memory system that is asked, and little enough to be
 * read in less than a millisecond.
 */
#define TG_CANARY_BYTES (8 << 20)

/*
 * Four chains x = x * 6364136223846793005 + 1442695040888963407 (mod 2^64; the multiplier is
 * Knuth's MMIX), begun at seed, seed + 1, seed + 2 and seed + 3, each `steps` long; returns the XOR
 * of their ends. A step takes the latency of a multiplication and an addition, and four chains fill
 * a multiplier whose latency is three: it is bound by the core's clock and whoever shares the core.
 */
uint64_t tg_canary_dot(uint64_t seed, int64_t steps);

/*
 * The sum (mod 2^64) of the first word of each of `lines` lines of 64 bytes, 8-byte aligned. Lines
 * travel whole, so one word of each makes the transfer the work, and not the loading of words.
 */
uint64_t tg_canary_read(const uint64_t *words, int64_t lines);

/* The machine code of both, as this program has it in memory. */
const unsigned char *tg_canary_code(size_t *bytes);

#ifdef __cplusplus
}
#endif
#endif
