/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/peak.h"

/* peak_scalar: a word at a time. Four sums, so that no XOR waits for the one before it. */

uint64_t tg_peak_read_scalar(const uint64_t *from, int64_t words)
{
    uint64_t sums[4] = {0};
    int64_t i = 0;

    for (; i + 4 <= words; i += 4) {
        for (int k = 0; k < 4; k++) sums[k] ^= from[i + k];
    }
    for (; i < words; i++) sums[0] ^= from[i];
    return sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
}

void tg_peak_write_scalar(uint64_t *to, int64_t words, uint64_t value, int is_past)
{
    (void)is_past;
    for (int64_t i = 0; i < words; i++) to[i] = value;
}
