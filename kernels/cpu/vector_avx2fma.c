/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>
#include <math.h>

#include "kernels/cpu/q6k_avx2.h"
#include "kernels/isa.h"
#include "kernels/lanes.h"
#include "kernels/vector.h"

/*
 * kernels/vector.h in registers of eight floats; eight of them are the 64 lanes of a sum. What is
 * left at an end is copied and filled up with zeros. Of the set only the conversions of float16 are
 * used beside AVX2: products are rounded before they are added. Of two numbers of which one is a
 * NaN, min and max give the second, so limits come first.
 */

enum { LANES = 8, PARTS = 8, STEP = LANES * PARTS };

struct sums {
    __m256 of[PARTS];
};

static inline struct sums nothing(void)
{
    struct sums s;
    for (int k = 0; k < PARTS; k++) s.of[k] = _mm256_setzero_ps();
    return s;
}

static inline __m256 product(__m256 sum, __m256 a, __m256 b)
{
    return _mm256_add_ps(sum, _mm256_mul_ps(a, b));
}

static inline float total(struct sums s)
{
    const __m256 low = _mm256_add_ps(_mm256_add_ps(s.of[0], s.of[2]),
                                     _mm256_add_ps(s.of[4], s.of[6]));
    const __m256 high = _mm256_add_ps(_mm256_add_ps(s.of[1], s.of[3]),
                                      _mm256_add_ps(s.of[5], s.of[7]));
    const __m256 eight = _mm256_add_ps(low, high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

static inline struct sums add_step(struct sums s, const float *a, const float *b)
{
    for (int k = 0; k < PARTS; k++)
        s.of[k] = product(s.of[k], _mm256_loadu_ps(a + LANES * k), _mm256_loadu_ps(b + LANES * k));
    return s;
}

static inline struct sums add_products(struct sums s, const float *a, const float *b, int64_t n)
{
    int64_t i = 0;
    for (; i + STEP <= n; i += STEP) s = add_step(s, a + i, b + i);
    if (i < n) {
        float rest[2][STEP] = {{0}};
        memcpy(rest[0], a + i, (size_t)(n - i) * sizeof *a);
        memcpy(rest[1], b + i, (size_t)(n - i) * sizeof *b);
        s = add_step(s, rest[0], rest[1]);
    }
    return s;
}

static inline __m256 exponential(__m256 x)
{
    const __m256 magic = _mm256_set1_ps(12582912.0f);
    const __m256 least = _mm256_set1_ps(-87.3f), most = _mm256_set1_ps(88.3f);
    const __m256 clipped = _mm256_min_ps(most, _mm256_max_ps(least, x));
    const __m256 t = _mm256_mul_ps(clipped, _mm256_set1_ps(1.44269504f));
    const __m256 n = _mm256_sub_ps(_mm256_add_ps(t, magic), magic);
    const __m256 high = _mm256_mul_ps(n, _mm256_set1_ps(0.693359375f));
    const __m256 low = _mm256_mul_ps(n, _mm256_set1_ps(-2.12194440e-4f));
    const __m256 r = _mm256_sub_ps(_mm256_sub_ps(clipped, high), low);
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);

    p = product(_mm256_set1_ps(1.3981999507e-3f), p, r);
    p = product(_mm256_set1_ps(8.3334519073e-3f), p, r);
    p = product(_mm256_set1_ps(4.1665795894e-2f), p, r);
    p = product(_mm256_set1_ps(1.6666665459e-1f), p, r);
    p = product(_mm256_set1_ps(5.0000001201e-1f), p, r);
    p = _mm256_add_ps(_mm256_mul_ps(p, _mm256_mul_ps(r, r)), r);
    p = _mm256_add_ps(p, _mm256_set1_ps(1.0f));
    const __m256i power = _mm256_slli_epi32(
        _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(power));
}

/* Eight numbers from i on, with `filler` where there are none. */
static inline __m256 eight(const float *x, int64_t i, int64_t n, float filler)
{
    float rest[LANES];
    if (i + LANES <= n) return _mm256_loadu_ps(x + i);
    for (int k = 0; k < LANES; k++) rest[k] = i + k < n ? x[i + k] : filler;
    return _mm256_loadu_ps(rest);
}

static inline void put_eight(float *out, int64_t i, int64_t n, __m256 values)
{
    float rest[LANES];
    if (i + LANES <= n) {
        _mm256_storeu_ps(out + i, values);
        return;
    }
    _mm256_storeu_ps(rest, values);
    for (int k = 0; i + k < n; k++) out[i + k] = rest[k];
}

static inline float largest_of(__m256 values)
{
    float each[LANES], most;
    _mm256_storeu_ps(each, values);
    most = each[0];
    for (int k = 1; k < LANES; k++) most = each[k] > most ? each[k] : most;
    return most;
}

static void norm(const float *x, const float *weight, float epsilon, int64_t n, float *out)
{
    const float sum = total(add_products(nothing(), x, x, n));
    const __m256 factor = _mm256_set1_ps(1.0f / sqrtf(sum / (float)n + epsilon));
    for (int64_t i = 0; i < n; i += LANES)
        put_eight(out, i, n,
                  _mm256_mul_ps(_mm256_mul_ps(eight(x, i, n, 0), factor), eight(weight, i, n, 0)));
}

/* Compared by their bits without the sign, among which a NaN is the largest. */
static uint32_t largest_magnitude(const float *x, int64_t n)
{
    const __m256i size = _mm256_set1_epi32(0x7fffffff);
    __m256i largest = _mm256_setzero_si256();
    uint32_t each[LANES], most = 0;
    for (int64_t i = 0; i < n; i += LANES) {
        const __m256i bits = _mm256_castps_si256(eight(x, i, n, 0));
        largest = _mm256_max_epi32(largest, _mm256_and_si256(bits, size));
    }
    _mm256_storeu_si256((__m256i *)(void *)each, largest);
    for (int k = 0; k < LANES; k++) most = each[k] > most ? each[k] : most;
    return most;
}

static float quantise(const float *x, int64_t n, int8_t *out)
{
    const float scale = tg_lanes_scale(largest_magnitude(x, n));
    if (isnan(scale)) {
        memset(out, 0, (size_t)n);
        return scale;
    }
    for (int64_t i = 0; i < n; i += LANES) {
        const __m256i q = _mm256_cvtps_epi32(
            _mm256_mul_ps(eight(x, i, n, 0), _mm256_set1_ps(scale)));
        const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(q),
                                              _mm256_extracti128_si256(q, 1));
        int8_t rest[16];
        _mm_storeu_si128((__m128i *)(void *)rest, _mm_packs_epi16(words, words));
        memcpy(out + i, rest, (size_t)(n - i < LANES ? n - i : LANES));
    }
    return scale;
}

static void rescale(const int32_t *sums, float activation, float weight, int64_t n, float *out)
{
    const __m256 by = _mm256_set1_ps(activation), times = _mm256_set1_ps(weight);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const __m256i sum = _mm256_loadu_si256((const __m256i *)(const void *)(sums + i));
        _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_div_ps(_mm256_cvtepi32_ps(sum), by), times));
    }
    for (; i < n; i++) out[i] = (float)sums[i] / activation * weight;
}

static void gate_silu(float *gate, const float *up, int64_t n)
{
    const __m256 one = _mm256_set1_ps(1.0f), zero = _mm256_setzero_ps();
    for (int64_t i = 0; i < n; i += LANES) {
        const __m256 g = eight(gate, i, n, 0);
        const __m256 e = exponential(_mm256_sub_ps(zero, g));
        const __m256 silu = _mm256_div_ps(g, _mm256_add_ps(one, e));
        put_eight(gate, i, n, _mm256_mul_ps(silu, eight(up, i, n, 0)));
    }
}

static void gate_squared_relu(float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        const __m256 g = _mm256_max_ps(_mm256_setzero_ps(), eight(gate, i, n, 0));
        put_eight(gate, i, n, _mm256_mul_ps(_mm256_mul_ps(g, g), eight(up, i, n, 0)));
    }
}

static void softmax(float *x, int64_t n)
{
    struct sums s = nothing();
    __m256 largest = _mm256_set1_ps(x[0]);
    for (int64_t i = 0; i < n; i += LANES) largest = _mm256_max_ps(largest, eight(x, i, n, x[0]));
    const __m256 most = _mm256_set1_ps(largest_of(largest));
    for (int64_t i = 0; i < n; i += LANES) {
        put_eight(x, i, n, exponential(_mm256_sub_ps(eight(x, i, n, 0), most)));
        const int64_t k = i / LANES % PARTS;
        s.of[k] = _mm256_add_ps(s.of[k], eight(x, i, n, 0));
    }
    const __m256 factor = _mm256_set1_ps(1.0f / total(s));
    for (int64_t i = 0; i < n; i += LANES)
        put_eight(x, i, n, _mm256_mul_ps(eight(x, i, n, 0), factor));
}

static void dots_f32(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                     float *out)
{
    for (int64_t r = 0; r < count; r++) {
        const void *row = (const char *)rows + r * row_bytes;
        out[r] = total(add_products(nothing(), row, x, n));
    }
}

static inline __m256 eight_halves(const uint8_t *from)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)from));
}

static inline struct sums add_halves(struct sums s, const uint8_t *row, const float *x)
{
    for (int k = 0; k < PARTS; k++)
        s.of[k] = product(s.of[k], eight_halves(row + 2 * LANES * k),
                          _mm256_loadu_ps(x + LANES * k));
    return s;
}

/* The last numbers of a row, fewer than eight, and zeros. */
static inline __m256 last_halves(const uint8_t *row, int64_t n)
{
    static const uint8_t moves[] = {0,   1,   2,   3,   4,   5,   6,   7,   8,   9,   10,
                                    11,  12,  13,  14,  15,  128, 128, 128, 128, 128, 128,
                                    128, 128, 128, 128, 128, 128, 128, 128, 128, 128};
    const int64_t left = n % LANES;
    uint8_t few[2 * LANES] = {0};
    if (n < LANES) {
        memcpy(few, row, (size_t)(2 * n));
        return eight_halves(few);
    }
    const __m128i eight = _mm_loadu_si128((const __m128i *)(const void *)(row + 2 * (n - LANES)));
    const __m128i move = _mm_loadu_si128(
        (const __m128i *)(const void *)(moves + 2 * (LANES - left)));
    return _mm256_cvtph_ps(_mm_shuffle_epi8(eight, move));
}

static void dots_f16(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                     float *out)
{
    const int64_t steps = n / STEP * STEP, whole = n / LANES * LANES;
    const __m256 last = eight(x, whole, n, 0);
    for (int64_t r = 0; r < count; r++) {
        const uint8_t *row = (const uint8_t *)rows + r * row_bytes;
        struct sums s = nothing();
        int64_t i = 0;
        for (; i < steps; i += STEP) s = add_halves(s, row + 2 * i, x + i);
        for (int k = 0; k < PARTS && steps < n; k++, i += LANES)
            if (i < whole)
                s.of[k] = product(s.of[k], eight_halves(row + 2 * i), _mm256_loadu_ps(x + i));
            else if (i < n)
                s.of[k] = product(s.of[k], last_halves(row, n), last);
        out[r] = total(s);
    }
}

static inline void dots_blocks(void (*decode)(const uint8_t *, int64_t, float *),
                               int64_t chunk_bytes, const void *rows, int64_t row_bytes,
                               int64_t count, const float *x, int64_t n, float *out)
{
    for (int64_t r = 0; r < count; r++) {
        const uint8_t *row = (const uint8_t *)rows + r * row_bytes;
        struct sums s = nothing();
        for (int64_t i = 0; i < n; i += TG_LANES_CHUNK, row += chunk_bytes) {
            const int64_t part = n - i < TG_LANES_CHUNK ? n - i : TG_LANES_CHUNK;
            float chunk[TG_LANES_CHUNK];
            decode(row, part, chunk);
            s = add_products(s, chunk, x + i, part);
        }
        out[r] = total(s);
    }
}

static void dots_bf16(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                      float *out)
{
    dots_blocks(tg_lanes_decode_bf16, 512, rows, row_bytes, count, x, n, out);
}

/* Eight codes times their scale: whole numbers below 2^24 times a half, so exact. */
static inline __m256 eight_codes(const void *codes, float scale)
{
    const __m128i bytes = _mm_loadl_epi64(codes);
    return _mm256_mul_ps(_mm256_set1_ps(scale), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
}

static void dots_q8_0(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                      float *out)
{
    enum { BLOCK_BYTES = 34 };
    for (int64_t r = 0; r < count; r++) {
        const uint8_t *block = (const uint8_t *)rows + r * row_bytes;
        struct sums s = nothing();
        for (int64_t i = 0; i < n; i += STEP)
            for (int k = 0; k < PARTS && i + LANES * k < n; k += 4, block += BLOCK_BYTES) {
                const float scale = tg_lanes_f16(tg_lanes_u16(block));
                for (int j = k; j < k + 4; j++)
                    s.of[j] = product(s.of[j], eight_codes(block + 2 + LANES * (j - k), scale),
                                      _mm256_loadu_ps(x + i + LANES * j));
            }
        out[r] = total(s);
    }
}

static void dots_q6_k(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                      float *out)
{
    enum { BLOCK = 256, BLOCK_BYTES = 210 };
    for (int64_t r = 0; r < count; r++) {
        const uint8_t *block = (const uint8_t *)rows + r * row_bytes;
        struct sums s = nothing();
        for (int64_t i = 0; i < n; i += BLOCK, block += BLOCK_BYTES) {
            const float scale = tg_lanes_f16(tg_lanes_u16(block + 208));
            int8_t codes[BLOCK];
            float scales[16];
            for (int k = 0; k < 16; k += LANES)
                _mm256_storeu_ps(scales + k, eight_codes(block + 192 + k, scale));
            tg_q6k_codes_avx2(block, block + 128, codes);
            tg_q6k_codes_avx2(block + 64, block + 160, codes + BLOCK / 2);
            for (int k = 0; k < BLOCK / LANES; k++)
                s.of[k % PARTS] = product(s.of[k % PARTS],
                                          eight_codes(codes + LANES * k, scales[k / 2]),
                                          _mm256_loadu_ps(x + i + LANES * k));
        }
        out[r] = total(s);
    }
}

static void mix_f32(const void *rows, int64_t row_bytes, int64_t count, const float *shares,
                    int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i += LANES) {
        __m256 sum = _mm256_setzero_ps();
        for (int64_t r = 0; r < count; r++) {
            const void *row = (const char *)rows + r * row_bytes;
            sum = product(sum, _mm256_set1_ps(shares[r]), eight(row, i, n, 0));
        }
        put_eight(out, i, n, sum);
    }
}

/* So many eights of the rows: sums of several, since one waits for itself. */
static inline __attribute__((always_inline)) void mix_eights(int many, const uint8_t *rows,
                                                             int64_t row_bytes, int64_t count,
                                                             const float *shares, float *out)
{
    struct sums s = nothing();
    for (int64_t r = 0; r < count; r++) {
        const __m256 share = _mm256_set1_ps(shares[r]);
        for (int k = 0; k < many; k++)
            s.of[k] = product(s.of[k], share, eight_halves(rows + r * row_bytes + 2 * LANES * k));
    }
    for (int k = 0; k < many; k++) _mm256_storeu_ps(out + LANES * k, s.of[k]);
}

/* The last eight numbers may be such as were there before: they come out the same. */
static void mix_f16(const void *rows, int64_t row_bytes, int64_t count, const float *shares,
                    int64_t n, float *out)
{
    const uint8_t *from = rows;
    int64_t i = 0;
    for (; i + 8 * LANES <= n; i += 8 * LANES)
        mix_eights(8, from + 2 * i, row_bytes, count, shares, out + i);
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        mix_eights(4, from + 2 * i, row_bytes, count, shares, out + i);
    for (; i < n && n >= LANES; i += LANES) {
        if (i + LANES > n) i = n - LANES;
        mix_eights(1, from + 2 * i, row_bytes, count, shares, out + i);
    }
    for (; i < n; i++) {
        float sum = 0;
        for (int64_t r = 0; r < count; r++)
            sum += shares[r] * tg_lanes_f16(tg_lanes_u16(from + r * row_bytes + 2 * i));
        out[i] = sum;
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
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        _mm_storeu_si128((__m128i *)(void *)(out + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++) out[i] = tg_lanes_to_f16(x[i]);
}

const struct tg_vector tg_vector_avx2fma = {"avx2fma",
                                            "eight lanes, float16 by conversion",
                                            tg_isa_here_AVX2FMA,
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
