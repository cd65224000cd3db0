/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_GROUPS_H
#define TG_KERNELS_GROUPS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Weights in groups, four in a byte: what the formats that differ in the size of a group share.
 *
 * A group of n weights is n / 4 bytes; byte i has the weights i, n / 4 + i, 2 n / 4 + i and
 * 3 n / 4 + i, the first in its highest bits. A code is the weight plus one: 0, 1, 2 for -1, 0, +1;
 * code 3 stands for nothing. Groups follow each other.
 */

/* Packs so many weights, each -1, 0 or +1, a multiple of `group`. */
void tg_groups_pack(const int8_t *ternary, int64_t weights, int group, uint8_t *packed);

/* Unpacks as unpack of kernels/format.h does, and returns what it returns. */
int64_t tg_groups_unpack(const uint8_t *packed, int64_t weights, int group, int8_t *ternary);

#ifdef __cplusplus
}
#endif
#endif
