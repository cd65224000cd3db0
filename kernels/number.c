/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/number.h"

#include <string.h>

#include "kernels/fill.h"

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t tg_number_to_f16(float value)
{
    const uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;

    if (size > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (size >= 0x47800000) return (uint16_t)(sign | 0x7c00); /* from 2^16 on */
    /* Below 2^-14 an f16 counts steps of 2^-24, as an f32 does between 1/2 and 1. */
    if (size < 0x38800000) return (uint16_t)(sign | (bits_of(float_of(size) + 0.5f) - 0x3f000000));
    /* The exponent's bias is 112 less; a carry out of the fraction goes where it belongs. */
    return (uint16_t)(sign | (size + 0xfff + (size >> 13 & 1) - (112u << 23)) >> 13);
}

float tg_number_of_f16(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, size = half & 0x7fff;

    if (size < 0x400) return float_of(sign | bits_of((float)size * 0x1p-24f));
    if (size >= 0x7c00) return float_of(sign | 0x7f800000 | (size & 0x3ff) << 13);
    return float_of(sign | ((size << 13) + (112u << 23)));
}

uint16_t tg_number_to_bf16(float value)
{
    const uint32_t bits = bits_of(value);

    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float tg_number_of_bf16(uint16_t half)
{
    return float_of((uint32_t)half << 16);
}

static void fill_int8(uint64_t seed, void *values, size_t count)
{
    tg_fill_int8(seed, values, count);
}

static void put_int8(void *values, size_t i, float value)
{
    ((int8_t *)values)[i] = (int8_t)value;
}

static float get_int8(const void *values, size_t i)
{
    return ((const int8_t *)values)[i];
}

static void fill_f32(uint64_t seed, void *values, size_t count)
{
    tg_fill_normal(seed, values, count);
}

static void put_f32(void *values, size_t i, float value)
{
    ((float *)values)[i] = value;
}

static float get_f32(const void *values, size_t i)
{
    return ((const float *)values)[i];
}

static void put_f16(void *values, size_t i, float value)
{
    ((uint16_t *)values)[i] = tg_number_to_f16(value);
}

static float get_f16(const void *values, size_t i)
{
    return tg_number_of_f16(((const uint16_t *)values)[i]);
}

static void put_bf16(void *values, size_t i, float value)
{
    ((uint16_t *)values)[i] = tg_number_to_bf16(value);
}

static float get_bf16(const void *values, size_t i)
{
    return tg_number_of_bf16(((const uint16_t *)values)[i]);
}

/* Normal numbers, some at a time, rounded by `put`. */
static void fill_rounded(uint64_t seed, void *values, size_t count,
                         void (*put)(void *values, size_t i, float value))
{
    float some[64];

    for (size_t i = 0; i < count; i++) {
        if (i % 64 == 0) tg_fill_normal(tg_fill_next(&seed), some, 64);
        put(values, i, some[i % 64]);
    }
}

static void fill_f16(uint64_t seed, void *values, size_t count)
{
    fill_rounded(seed, values, count, put_f16);
}

static void fill_bf16(uint64_t seed, void *values, size_t count)
{
    fill_rounded(seed, values, count, put_bf16);
}

static void fill_none(uint64_t seed, void *values, size_t count)
{
    (void)seed;
    (void)values;
    (void)count;
}

static void put_none(void *values, size_t i, float value)
{
    (void)values;
    (void)i;
    (void)value;
}

static float get_none(const void *values, size_t i)
{
    (void)values;
    (void)i;
    return 0;
}

const struct tg_number tg_number_int8 = {"int8", 1, 0, fill_int8, put_int8, get_int8};
const struct tg_number tg_number_f32 = {"f32", 4, 1, fill_f32, put_f32, get_f32};
const struct tg_number tg_number_f16 = {"f16", 2, 1, fill_f16, put_f16, get_f16};
const struct tg_number tg_number_bf16 = {"bf16", 2, 1, fill_bf16, put_bf16, get_bf16};
const struct tg_number tg_number_none = {"none", 0, 0, fill_none, put_none, get_none};
