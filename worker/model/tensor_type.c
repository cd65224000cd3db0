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

/* Sources: ggml.h of ggml, of ik_llama.cpp, and of the llama.cpp of PrismML. */
static const struct {
    uint32_t number;
    const char *name;
} elsewhere[] = {
    {9, "Q8_1 of llama.cpp"},
    {16, "IQ2_XXS of llama.cpp"},
    {17, "IQ2_XS of llama.cpp"},
    {18, "IQ3_XXS of llama.cpp"},
    {19, "IQ1_S of llama.cpp"},
    {20, "IQ4_NL of llama.cpp"},
    {21, "IQ3_S of llama.cpp"},
    {22, "IQ2_S of llama.cpp"},
    {23, "IQ4_XS of llama.cpp"},
    {29, "IQ1_M of llama.cpp"},
    {31, "Q4_0_4_4 of llama.cpp"},
    {32, "Q4_0_4_8 of llama.cpp"},
    {33, "Q4_0_8_8 of llama.cpp"},
    {40, "NVFP4 of llama.cpp"},
    {41, "Q1_0 of llama.cpp"},
    {133, "Q6_0 of ik_llama.cpp"},
    {134, "IQ1_BN of ik_llama.cpp"},
    {135, "IQ2_BN of ik_llama.cpp"},
    {137, "IQ2_K of ik_llama.cpp"},
    {138, "IQ3_K of ik_llama.cpp"},
    {139, "IQ4_K of ik_llama.cpp"},
    {140, "IQ5_K of ik_llama.cpp"},
    {141, "IQ6_K of ik_llama.cpp"},
    {142, "IQ2_TN of ik_llama.cpp, or PQ2_0 of PrismML"},
    {143, "IQ1_TN of ik_llama.cpp, or PTQ1_0 of PrismML"},
    {335, "IQ2_BN_R4 of ik_llama.cpp"},
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

const char *tg_tensor_type_elsewhere(uint32_t number)
{
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (elsewhere[i].number == number) return elsewhere[i].name;
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
