/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/isa.h"
#include "kernels/lanes.h"
#include "kernels/vector.h"

/* The definition of what kernels/vector.h says: plain loops over the 64 lanes of a sum. */

enum { LANES = 64 };

static void add_products(float sums[LANES], const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) sums[i % LANES] += a[i] * b[i];
}

static float total(float sums[LANES])
{
    for (int i = 0; i < 16; i++) sums[i] = (sums[i] + sums[i + 16]) + (sums[i + 32] + sums[i + 48]);
    for (int width = 8; width > 0; width /= 2)
        for (int i = 0; i < width; i++) sums[i] += sums[i + width];
    return sums[0];
}

static float exponential(float x)
{
    if (isnan(x)) return x;
    const float clipped = x < -87.3f ? -87.3f : x > 88.3f ? 88.3f : x;
    const float n = (clipped * 1.44269504f + 12582912.0f) - 12582912.0f;
    const float r = (clipped - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;

    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * (r * r) + r) + 1.0f;
    return p * tg_lanes_bits((uint32_t)((int32_t)n + 127) << 23);
}

static void norm(const float *x, const float *weight, float epsilon, int64_t n, float *out)
{
    float sums[LANES] = {0};
    add_products(sums, x, x, n);
    const float factor = 1.0f / sqrtf(total(sums) / (float)n + epsilon);
    for (int64_t i = 0; i < n; i++) out[i] = x[i] * factor * weight[i];
}

static float quantise(const float *x, int64_t n, int8_t *out)
{
    uint32_t most = 0;
    for (int64_t i = 0; i < n; i++)
        most = tg_lanes_magnitude(x[i]) > most ? tg_lanes_magnitude(x[i]) : most;
    const float scale = tg_lanes_scale(most);
    for (int64_t i = 0; i < n; i++) out[i] = isnan(scale) ? 0 : (int8_t)rintf(x[i] * scale);
    return scale;
}

static void rescale(const int32_t *sums, float activation, float weight, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = (float)sums[i] / activation * weight;
}

static void gate_silu(float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i++) gate[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
}

static void gate_squared_relu(float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float positive = gate[i] < 0 ? 0 : gate[i];
        gate[i] = positive * positive * up[i];
    }
}

static void softmax(float *x, int64_t n)
{
    float sums[LANES] = {0}, most = x[0];
    for (int64_t i = 1; i < n; i++) most = x[i] > most ? x[i] : most;
    for (int64_t i = 0; i < n; i++) sums[i % LANES] += x[i] = exponential(x[i] - most);
    const float factor = 1.0f / total(sums);
    for (int64_t i = 0; i < n; i++) x[i] *= factor;
}

static void dots_f32(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                     float *out)
{
    for (int64_t r = 0; r < count; r++) {
        float sums[LANES] = {0};
        add_products(sums, (const float *)(const void *)((const char *)rows + r * row_bytes), x, n);
        out[r] = total(sums);
    }
}

static void dots_f16(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                     float *out)
{
    for (int64_t r = 0; r < count; r++) {
        const uint8_t *row = (const uint8_t *)rows + r * row_bytes;
        float sums[LANES] = {0};
        for (int64_t i = 0; i < n; i++)
            sums[i % LANES] += tg_lanes_f16(tg_lanes_u16(row + 2 * i)) * x[i];
        out[r] = total(sums);
    }
}

/* Rows of blocks, made float in chunks of `chunk_bytes`. */
static void dots_blocks(void (*decode)(const uint8_t *, int64_t, float *), int64_t chunk_bytes,
                        const void *rows, int64_t row_bytes, int64_t count, const float *x,
                        int64_t n, float *out)
{
    for (int64_t r = 0; r < count; r++) {
        const uint8_t *row = (const uint8_t *)rows + r * row_bytes;
        float sums[LANES] = {0}, chunk[TG_LANES_CHUNK];
        for (int64_t i = 0; i < n; i += TG_LANES_CHUNK, row += chunk_bytes) {
            const int64_t part = n - i < TG_LANES_CHUNK ? n - i : TG_LANES_CHUNK;
            decode(row, part, chunk);
            add_products(sums, chunk, x + i, part);
        }
        out[r] = total(sums);
    }
}

static void dots_bf16(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                      float *out)
{
    dots_blocks(tg_lanes_decode_bf16, 512, rows, row_bytes, count, x, n, out);
}

static void dots_q8_0(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                      float *out)
{
    dots_blocks(tg_lanes_decode_q8_0, 272, rows, row_bytes, count, x, n, out);
}

static void dots_q6_k(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                      float *out)
{
    dots_blocks(tg_lanes_decode_q6_k, 210, rows, row_bytes, count, x, n, out);
}

static void mix_f32(const void *rows, int64_t row_bytes, int64_t count, const float *shares,
                    int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = 0;
    for (int64_t r = 0; r < count; r++) {
        const float *row = (const float *)(const void *)((const char *)rows + r * row_bytes);
        for (int64_t i = 0; i < n; i++) out[i] += shares[r] * row[i];
    }
}

static void mix_f16(const void *rows, int64_t row_bytes, int64_t count, const float *shares,
                    int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = 0;
    for (int64_t r = 0; r < count; r++) {
        const uint8_t *row = (const uint8_t *)rows + r * row_bytes;
        for (int64_t i = 0; i < n; i++)
            out[i] += shares[r] * tg_lanes_f16(tg_lanes_u16(row + 2 * i));
    }
}

static void dots_f16_many(const void *rows, int64_t row_bytes, int64_t count, const float *x,
                          int64_t many, int64_t n, float *out)
{
    for (int64_t q = 0; q < many; q++)
        dots_f16(rows, row_bytes, count, x + q * n, n, out + q * count);
}

static void mix_f16_many(const void *rows, int64_t row_bytes, int64_t count, const float *shares,
                         int64_t many, int64_t n, float *out)
{
    for (int64_t q = 0; q < many; q++)
        mix_f16(rows, row_bytes, count, shares + q * count, n, out + q * n);
}

static void to_f16(const float *x, int64_t n, uint16_t *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = tg_lanes_to_f16(x[i]);
}

const struct tg_vector tg_vector_scalar = {"scalar",
                                           "the definition, one lane after the other",
                                           tg_isa_here_SCALAR,
                                           norm,
                                           quantise,
                                           rescale,
                                           gate_silu,
                                           gate_squared_relu,
                                           softmax,
                                           dots_f32,
                                           dots_f16,
                                           dots_bf16,
                                           dots_q8_0,
                                           dots_q6_k,
                                           mix_f32,
                                           mix_f16,
                                           dots_f16_many,
                                           mix_f16_many,
                                           to_f16};
