/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/canary.h"

/*
 * A change of these two functions, of FROZEN, or of their flags in cmake/kernels.cmake makes other
 * canaries: everything measured before can no longer be compared with them.
 */
#define FROZEN __attribute__((section("tg_canary")))

#define FACTOR UINT64_C(6364136223846793005)
#define STEP   UINT64_C(1442695040888963407)

/* Where the linker put the section's first byte, and the one after its last. */
extern const unsigned char __start_tg_canary[], __stop_tg_canary[];

FROZEN uint64_t tg_canary_dot(uint64_t seed, int64_t steps)
{
    uint64_t a = seed, b = seed + 1, c = seed + 2, d = seed + 3;

    for (int64_t i = 0; i < steps; i++) {
        a = a * FACTOR + STEP;
        b = b * FACTOR + STEP;
        c = c * FACTOR + STEP;
        d = d * FACTOR + STEP;
    }
    return a ^ b ^ c ^ d;
}

FROZEN uint64_t tg_canary_read(const uint64_t *words, int64_t lines)
{
    uint64_t even = 0, odd = 0;
    int64_t i = 0;

    for (; i + 2 <= lines; i += 2) {
        even += words[8 * i];
        odd += words[8 * i + 8];
    }
    if (i < lines) even += words[8 * i];
    return even + odd;
}

const unsigned char *tg_canary_code(size_t *bytes)
{
    *bytes = (size_t)(__stop_tg_canary - __start_tg_canary);
    return __start_tg_canary;
}
