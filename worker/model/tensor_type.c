/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/tensor_type.h"

#include <assert.h>
#include <string.h>

static const struct tg_tensor_type types[] = {
#define TYPE(number, name, origin, weights, bytes)                                                 \
    {number, #name, TG_ORIGIN_##origin, weights, bytes},
#include "worker/model/tensor_types.def"
#undef TYPE
};

enum { TAIL_BYTES = 32, TL2_TAIL_COLUMNS = 256 };

size_t tg_tensor_type_count(void)
{
    return sizeof types / sizeof *types;
}

const struct tg_tensor_type *tg_tensor_type_at(size_t i)
{
    assert(i < tg_tensor_type_count());
    return &types[i];
}

const struct tg_tensor_type *tg_tensor_type_find(const char *name)
{
    for (size_t i = 0; i < tg_tensor_type_count(); i++)
        if (strcmp(types[i].name, name) == 0) return &types[i];
    return NULL;
}

static int64_t up_to(int64_t bytes, int64_t multiple)
{
    return (bytes + multiple - 1) / multiple * multiple;
}

/*
 * TL2 budgets 256 columns in twos (4 bits) and the others in threes (5 bits), whatever the tiles of
 * the shape are; divisions as its converter makes them, one after the other.
 */
static int64_t tl2_codes(int64_t rows, int64_t cols)
{
    if (cols < TL2_TAIL_COLUMNS) return -1;
    return up_to((cols - TL2_TAIL_COLUMNS) * rows / 3 * 5 / 8 + TL2_TAIL_COLUMNS * rows / 2 * 4 / 8,
                 TAIL_BYTES);
}

int64_t tg_tensor_type_scale_at(const struct tg_tensor_type *type, int64_t rows, int64_t cols)
{
    if (strcmp(type->name, "I2_S") == 0) return rows * cols % 4 ? -1 : rows * cols / 4;
    if (strcmp(type->name, "TL1") == 0)
        return rows * cols % 4 ? -1 : up_to(rows * cols / 4, TAIL_BYTES);
    if (strcmp(type->name, "TL2") == 0) return tl2_codes(rows, cols);
    return -1;
}

int64_t tg_tensor_type_bytes(const struct tg_tensor_type *type, int64_t rows, int64_t cols)
{
    if (type->block_weights == 0) {
        const int64_t scale = tg_tensor_type_scale_at(type, rows, cols);
        return scale < 0 ? -1 : scale + TAIL_BYTES;
    }
    if (cols % type->block_weights != 0) return -1;
    return rows * (cols / type->block_weights) * type->block_bytes;
}

uint16_t tg_tensor_type_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float tg_tensor_type_f32(const uint8_t *bytes)
{
    return from_bits((uint32_t)tg_tensor_type_u16(bytes) | (uint32_t)tg_tensor_type_u16(bytes + 2)
                                                               << 16);
}

float tg_tensor_type_bf16(uint16_t bits)
{
    return from_bits((uint32_t)bits << 16);
}

/* The exponent is moved by a product with 2^112, which is exact for small numbers too. */
float tg_tensor_type_f16(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000) << 16, rest = (uint32_t)(bits & 0x7fff) << 13;
    const float size = from_bits(rest) * 0x1p112f;

    if ((bits & 0x7c00) == 0x7c00) return from_bits(sign | 0x7f800000 | rest);
    return sign ? -size : size;
}

/* Rounds by the processor's own addition: the last bits fall off behind a large enough number. */
uint16_t tg_tensor_type_to_f16(float value)
{
    uint32_t bits, magnitude;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return sign | 0x7e00;
    if (magnitude >= 0x477ff000) return sign | 0x7c00; /* 65520 and more */
    if (magnitude < 0x38800000) {                      /* below 2^-14: steps of 2^-24 */
        const float shifted = from_bits(magnitude) + 0.5f;
        memcpy(&magnitude, &shifted, sizeof magnitude);
        return (uint16_t)(sign | (magnitude - 0x3f000000));
    }
    magnitude += 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | ((magnitude - 0x38000000) >> 13));
}

/* Q8_0: a float16 scale, then 32 int8. */
static void decode_q8_0(const uint8_t *bytes, int64_t count, float *out)
{
    for (int64_t block = 0; block < count / 32; block++, bytes += 34) {
        const float scale = tg_tensor_type_f16(tg_tensor_type_u16(bytes));
        for (int i = 0; i < 32; i++) *out++ = scale * (float)(int8_t)bytes[2 + i];
    }
}

/*
 * Q6_K, 256 numbers: 128 bytes of low four bits, 64 of high two bits, 16 int8 scales of 16 numbers
 * each, a float16 scale. In each half the numbers 0..31 have the low digits of bytes 0..31, 32..63
 * of bytes 32..63, 64..95 the high digits of bytes 0..31, 96..127 of bytes 32..63; the two bits of
 * these four are bits 1-0, 3-2, 5-4 and 7-6 of the half's bytes 0..31.
 */
static void decode_q6_k(const uint8_t *bytes, int64_t count, float *out)
{
    for (int64_t block = 0; block < count / 256; block++, bytes += 210) {
        const float scale = tg_tensor_type_f16(tg_tensor_type_u16(bytes + 208));
        for (int i = 0; i < 256; i++) {
            const int half = i / 128, quarter = i % 128 / 32, at = i % 32;
            const uint8_t low = bytes[64 * half + 32 * (quarter % 2) + at];
            const uint8_t high = bytes[128 + 32 * half + at];
            const int code = (quarter < 2 ? low & 15 : low >> 4) | (high >> 2 * quarter & 3) << 4;
            *out++ = scale * (float)((int8_t)bytes[192 + i / 16] * (code - 32));
        }
    }
}

int tg_tensor_type_decode(const struct tg_tensor_type *type, const uint8_t *bytes, int64_t count,
                          float *out)
{
    switch (type->number) {
    case 0:
        for (int64_t i = 0; i < count; i++) out[i] = tg_tensor_type_f32(bytes + 4 * i);
        return 0;
    case 1:
        for (int64_t i = 0; i < count; i++)
            out[i] = tg_tensor_type_f16(tg_tensor_type_u16(bytes + 2 * i));
        return 0;
    case 30:
        for (int64_t i = 0; i < count; i++)
            out[i] = tg_tensor_type_bf16(tg_tensor_type_u16(bytes + 2 * i));
        return 0;
    case 8: decode_q8_0(bytes, count, out); return 0;
    case 14: decode_q6_k(bytes, count, out); return 0;
    default: return -1;
    }
}
