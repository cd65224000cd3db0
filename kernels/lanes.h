/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_LANES_H
#define TG_KERNELS_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What all rows of vectors.def share: numbers of 16 bits, and blocks of ggml to float. These are
 * compiled into each of them, with its flags, and are exact: a scale of 11 bits times a code of at
 * most 13 is a float.
 */

static inline float tg_lanes_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The bits without the sign: a NaN is above infinity, and that above all other numbers. */
static inline uint32_t tg_lanes_magnitude(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x7fffffff;
}

/* What a token of this largest magnitude is quantised by; NaN where that is not finite. */
static inline float tg_lanes_scale(uint32_t magnitude)
{
    const double most = (double)tg_lanes_bits(magnitude);
    return magnitude >= 0x7f800000 ? NAN : (float)(127.0 / (most > 1e-5 ? most : 1e-5));
}

static inline uint16_t tg_lanes_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

/* The exponent is moved by a product with 2^112, which is exact for small numbers too. */
static inline float tg_lanes_f16(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000) << 16, rest = (uint32_t)(bits & 0x7fff) << 13;
    const float size = tg_lanes_bits(rest) * 0x1p112f;

    if ((bits & 0x7c00) == 0x7c00) return tg_lanes_bits(sign | 0x7f800000 | rest);
    return sign ? -size : size;
}

static inline uint16_t tg_lanes_to_f16(float value)
{
    uint32_t bits, magnitude;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) {
        const float shifted = tg_lanes_bits(magnitude) + 0.5f;
        memcpy(&magnitude, &shifted, sizeof magnitude);
        return (uint16_t)(sign | (magnitude - 0x3f000000));
    }
    magnitude += 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | ((magnitude - 0x38000000) >> 13));
}

/* How many numbers are made float at a time: whole blocks, whole lanes, and in the first cache. */
#define TG_LANES_CHUNK 256

static inline void tg_lanes_decode_bf16(const uint8_t *bytes, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = tg_lanes_bits((uint32_t)tg_lanes_u16(bytes + 2 * i) << 16);
}

static inline void tg_lanes_decode_q8_0(const uint8_t *bytes, int64_t n, float *out)
{
    for (int64_t b = 0; b < n / 32; b++) {
        const uint8_t *block = bytes + 34 * b;
        const float scale = tg_lanes_f16(tg_lanes_u16(block));
        for (int i = 0; i < 32; i++) out[32 * b + i] = scale * (float)(int8_t)block[2 + i];
    }
}

/* One block of 256; the layout is drawn in worker/model/tensor_type.c. */
static inline void tg_lanes_decode_q6_k(const uint8_t *block, int64_t n, float *out)
{
    const float scale = tg_lanes_f16(tg_lanes_u16(block + 208));
    for (int64_t half = 0; half < n / 128; half++) {
        const uint8_t *low = block + 64 * half, *high = block + 128 + 32 * half;
        for (int q = 0; q < 4; q++) {
            const uint8_t *nibbles = low + 32 * (q % 2);
            const int8_t *scales = (const int8_t *)block + 192 + 8 * half + 2 * q;
            for (int i = 0; i < 32; i++) {
                const int code = (nibbles[i] >> (q / 2 * 4) & 15) | (high[i] >> (2 * q) & 3) << 4;
                out[128 * half + 32 * q + i] = scale * (float)(scales[i / 16] * (code - 32));
            }
        }
    }
}

#ifdef __cplusplus
}
#endif
#endif
