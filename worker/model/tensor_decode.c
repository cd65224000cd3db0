/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <string.h>

#include "kernels/format.h"
#include "worker/model/tensor_type.h"

/*
 * Numbers of tensors that are no ternary matrices: tensor_type.h.
 *
 * Blocks of 32 (Q4_0 to Q8_0) and of 256 (Q2_K to Q6_K, TQ1_0, TQ2_0). A scale d and an offset m
 * are float16. Source of all layouts: ggml-common.h and ggml-quants.c of ggml.
 */

static float half_at(const uint8_t *bytes)
{
    return tg_tensor_type_f16(tg_tensor_type_u16(bytes));
}

/* Types without blocks, of which whole embeddings are. */
static int decode_numbers(const char *name, const uint8_t *bytes, int64_t count, float *out)
{
    if (strcmp(name, "F32") == 0)
        for (int64_t i = 0; i < count; i++) out[i] = tg_tensor_type_f32(bytes + 4 * i);
    else if (strcmp(name, "F16") == 0)
        for (int64_t i = 0; i < count; i++) out[i] = half_at(bytes + 2 * i);
    else if (strcmp(name, "BF16") == 0)
        for (int64_t i = 0; i < count; i++)
            out[i] = tg_tensor_type_bf16(tg_tensor_type_u16(bytes + 2 * i));
    else
        return -1;
    return 0;
}

/* 32 codes of four bits: the low digits of 16 bytes, then the high ones. */
static int digit(const uint8_t *bytes, int i)
{
    return i < 16 ? bytes[i] & 15 : bytes[i - 16] >> 4;
}

/* d, codes: d (code - 8). */
static void decode_q4_0(const uint8_t *block, float *out)
{
    const float d = half_at(block);
    for (int i = 0; i < 32; i++) out[i] = d * (float)(digit(block + 2, i) - 8);
}

/* d, m, codes: d code + m. */
static void decode_q4_1(const uint8_t *block, float *out)
{
    const float d = half_at(block), m = half_at(block + 2);
    for (int i = 0; i < 32; i++) out[i] = d * (float)digit(block + 4, i) + m;
}

/* d, a fifth bit of each code, the others: d (code - 16). */
static void decode_q5_0(const uint8_t *block, float *out)
{
    const float d = half_at(block);
    for (int i = 0; i < 32; i++) {
        const int code = digit(block + 6, i) | (block[2 + i / 8] >> i % 8 & 1) << 4;
        out[i] = d * (float)(code - 16);
    }
}

/* d, m, a fifth bit of each code, the others: d code + m. */
static void decode_q5_1(const uint8_t *block, float *out)
{
    const float d = half_at(block), m = half_at(block + 2);
    for (int i = 0; i < 32; i++) {
        const int code = digit(block + 8, i) | (block[4 + i / 8] >> i % 8 & 1) << 4;
        out[i] = d * (float)code + m;
    }
}

/* d, then 32 int8. */
static void decode_q8_0(const uint8_t *block, float *out)
{
    const float d = half_at(block);
    for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)block[2 + i];
}

/* Two bits of code i of 256: bytes 0..31 have the codes 0..31, 32..63, 64..95 and 96..127. */
static int two_bits(const uint8_t *bytes, int i)
{
    return bytes[32 * (i / 128) + i % 32] >> i % 128 / 32 * 2 & 3;
}

/* A scale and an offset of four bits each for 16 numbers, codes of two bits, d, m. */
static void decode_q2_k(const uint8_t *block, float *out)
{
    const float d = half_at(block + 80), m = half_at(block + 82);
    for (int i = 0; i < 256; i++) {
        const int both = block[i / 16];
        out[i] = d * (float)(both & 15) * (float)two_bits(block + 16, i) - m * (float)(both >> 4);
    }
}

/*
 * A third bit of each code, two bits of each, 16 scales of six bits, d. Bit k of byte j is that of
 * number 32 k + j. Scales: four low bits each in 8 bytes, two high bits each in 4.
 */
static void decode_q3_k(const uint8_t *block, float *out)
{
    const float d = half_at(block + 108);
    for (int i = 0; i < 256; i++) {
        const int s = i / 16;
        const int low = s < 8 ? block[96 + s] & 15 : block[96 + s - 8] >> 4;
        const int scale = low | (block[104 + s % 4] >> s / 4 * 2 & 3) << 4;
        const int code = two_bits(block + 32, i) | (block[i % 32] >> i / 32 & 1) << 2;
        out[i] = d * (float)(scale - 32) * (float)(code - 4);
    }
}

/*
 * Of Q4_K and Q5_K: scale and offset of 32 numbers, eight of each in 12 bytes. Those of the first
 * four are six bits of a byte; of the others four bits are in a byte of both, and two above those.
 */
static void six_bits(const uint8_t *bytes, int s, int *scale, int *offset)
{
    *scale = s < 4 ? bytes[s] & 63 : (bytes[s + 4] & 15) | bytes[s - 4] >> 6 << 4;
    *offset = s < 4 ? bytes[s + 4] & 63 : bytes[s + 4] >> 4 | bytes[s] >> 6 << 4;
}

/* d, m, scales and offsets, a fifth bit of each code (Q5_K), digits of 64 codes in 32 bytes. */
static void decode_q4_or_q5_k(const uint8_t *block, bool has_fifth, float *out)
{
    const float d = half_at(block), m = half_at(block + 2);
    const uint8_t *fifth = block + 16, *digits = has_fifth ? fifth + 32 : fifth;
    for (int i = 0; i < 256; i++) {
        const int s = i / 32, byte = digits[32 * (s / 2) + i % 32];
        const int high = has_fifth ? (fifth[i % 32] >> s & 1) << 4 : 0;
        int scale, offset;
        six_bits(block + 4, s, &scale, &offset);
        out[i] = d * (float)scale * (float)((s % 2 ? byte >> 4 : byte & 15) | high) -
                 m * (float)offset;
    }
}

static void decode_q4_k(const uint8_t *block, float *out)
{
    decode_q4_or_q5_k(block, false, out);
}

static void decode_q5_k(const uint8_t *block, float *out)
{
    decode_q4_or_q5_k(block, true, out);
}

/*
 * 128 bytes of low four bits, 64 of high two bits, 16 int8 scales of 16 numbers each, d. In each
 * half the numbers 0..31 have the low digits of bytes 0..31, 32..63 of bytes 32..63, 64..95 the
 * high digits of bytes 0..31, 96..127 of bytes 32..63.
 */
static void decode_q6_k(const uint8_t *block, float *out)
{
    const float d = half_at(block + 208);
    for (int i = 0; i < 256; i++) {
        const int quarter = i % 128 / 32, low = block[64 * (i / 128) + 32 * (quarter % 2) + i % 32];
        const int code = (quarter < 2 ? low & 15 : low >> 4) | two_bits(block + 128, i) << 4;
        out[i] = d * (float)((int8_t)block[192 + i / 16] * (code - 32));
    }
}

/* Codes as the ternary format has them, then d. */
static void decode_ternary(const uint8_t *block, const char *format, int codes, float *out)
{
    const float d = half_at(block + codes);
    int8_t ternary[256];
    tg_format_find(format)->unpack(block, 1, 256, ternary);
    for (int i = 0; i < 256; i++) out[i] = d * (float)ternary[i];
}

static void decode_tq1_0(const uint8_t *block, float *out)
{
    decode_ternary(block, "tq1", 52, out);
}

static void decode_tq2_0(const uint8_t *block, float *out)
{
    decode_ternary(block, "tq2", 64, out);
}

int tg_tensor_type_decode(const struct tg_tensor_type *type, const uint8_t *bytes, int64_t count,
                          float *out)
{
    static const struct {
        const char *name;
        void (*decode)(const uint8_t *block, float *out);
    } rows[] = {{"Q4_0", decode_q4_0}, {"Q4_1", decode_q4_1},   {"Q5_0", decode_q5_0},
                {"Q5_1", decode_q5_1}, {"Q8_0", decode_q8_0},   {"Q2_K", decode_q2_k},
                {"Q3_K", decode_q3_k}, {"Q4_K", decode_q4_k},   {"Q5_K", decode_q5_k},
                {"Q6_K", decode_q6_k}, {"TQ1_0", decode_tq1_0}, {"TQ2_0", decode_tq2_0}};
    if (type->block_weights == 1) return decode_numbers(type->name, bytes, count, out);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, type->name) != 0) continue;
        for (int64_t at = 0; at < count; at += type->block_weights, bytes += type->block_bytes)
            rows[i].decode(bytes, out + at);
        return 0;
    }
    return -1;
}
