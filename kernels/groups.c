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

int64_t tg_groups_unpack(const uint8_t *packed, int64_t weights, int group, int8_t *ternary)
{
    const int bytes = group / 4;
    int64_t first_invalid = -1;

    assert(weights % group == 0 && group % 4 == 0);
    for (int64_t i = 0; i < weights; i++) {
        const int64_t place = i % group;
        const uint8_t byte = packed[i / group * bytes + place % bytes];
        const int c = byte >> (6 - 2 * (place / bytes)) & 3;
        if (c == 3 && first_invalid < 0) first_invalid = i;
        ternary[i] = (int8_t)(c == 3 ? 0 : c - 1);
    }
    return first_invalid;
}
