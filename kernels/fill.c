/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/fill.h"

uint64_t tg_fill_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* 0..choices-1 by number i of a stream that takes four numbers of 16 bits from each draw. */
static int choose(uint64_t *state, uint64_t *draw, size_t i, uint32_t choices)
{
    *draw = i % 4 == 0 ? tg_fill_next(state) : *draw >> 16;
    return (int)((uint32_t)(*draw & 0xffff) * choices >> 16);
}

void tg_fill_ternary(uint64_t seed, int8_t *weights, size_t count)
{
    uint64_t draw = 0;

    for (size_t i = 0; i < count; i++) weights[i] = (int8_t)(choose(&seed, &draw, i, 3) - 1);
}

void tg_fill_int8(uint64_t seed, int8_t *activations, size_t count)
{
    uint64_t draw = 0;

    for (size_t i = 0; i < count; i++)
        activations[i] = (int8_t)(choose(&seed, &draw, i, 255) - 127);
}

void tg_fill_normal(uint64_t seed, float *values, size_t count)
{
    uint64_t draw = 0;

    for (size_t i = 0; i < count; i++) {
        int sum = -6 * 65535;
        for (size_t k = 0; k < 12; k++) sum += choose(&seed, &draw, k, 65536);
        values[i] = (float)sum / 65536.0f;
    }
}
