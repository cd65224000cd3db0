/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/groups.h"

#include <assert.h>

static int code(int8_t weight)
{
    assert(-1 <= weight && weight <= 1);
    return weight + 1;
}

void tg_groups_pack(const int8_t *ternary, int64_t weights, int group, uint8_t *packed)
{
    const int bytes = group / 4;

    assert(weights % group == 0 && group % 4 == 0);
    for (int64_t begin = 0; begin < weights; begin += group) {
        const int8_t *w = ternary + begin;
        for (int i = 0; i < bytes; i++) {
            *packed++ = (uint8_t)(code(w[i]) << 6 | code(w[bytes + i]) << 4 |
                                  code(w[2 * bytes + i]) << 2 | code(w[3 * bytes + i]));
        }
    }
}

/* A quarter of a group: one field of its bytes. Returns whether a code is 3, which is no weight. */
static int unpack_quarter(const uint8_t *packed, int bytes, int shift, int8_t *ternary)
{
    int invalid = 0;

    for (int i = 0; i < bytes; i++) {
        const int c = packed[i] >> shift & 3;
        invalid |= c == 3;
        ternary[i] = (int8_t)(c == 3 ? 0 : c - 1);
    }
    return invalid;
}

int64_t tg_groups_unpack(const uint8_t *packed, int64_t weights, int group, int8_t *ternary)
{
    const int bytes = group / 4;
    int64_t first_invalid = -1;

    assert(weights % group == 0 && group % 4 == 0);
    for (int64_t begin = 0; begin < weights; begin += bytes) {
        const int shift = 6 - 2 * (int)(begin % group / bytes);
        const uint8_t *from = packed + begin / group * bytes;
        if (unpack_quarter(from, bytes, shift, ternary + begin) && first_invalid < 0) {
            first_invalid = begin;
            while ((from[first_invalid - begin] >> shift & 3) != 3) first_invalid++;
        }
    }
    return first_invalid;
}
